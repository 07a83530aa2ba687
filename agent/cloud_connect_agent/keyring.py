"""Which of the agent's keys to connect with while one follows the other."""

import asyncio
from typing import TYPE_CHECKING, Final, Self

import structlog

from cloud_connect.signing import SigningKey
from cloud_connect_agent.identity import AgentKeys

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Keyring"]

log = structlog.get_logger(__name__)


class Keyring:
    """The agent's key and, while keys change, the one that follows it; signs with the former.

    The agent cannot know how much of the change the relay has heard of when a link breaks. So it
    keeps both keys until the new one has connected, and tries the other one where one is refused.

    Attributes:
        renewed: Set when the next key is announced: the session shall make room for one with it.
        rotated: Called with the id of a key that has taken over.
    """

    def __init__(
        self, key: SigningKey, *, keys: AgentKeys | None = None, following: SigningKey | None = None
    ) -> None:
        self.renewed: Final = asyncio.Event()
        self.rotated: Callable[[str], None] = _nobody_asks
        self._keys: Final = keys
        self._current = key
        self._following = following
        self._refused: set[str] = set()

    @classmethod
    async def load(cls, keys: AgentKeys) -> Self:
        """Read what the vault holds.

        Raises:
            ConfigurationError: If there is no key.
            VaultLockedError: If the vault cannot be opened.
        """
        return cls(await keys.load(), keys=keys, following=await keys.following())

    @property
    def current(self) -> SigningKey:
        """The key that has connected last, or enrolled."""
        return self._current

    @property
    def public_key(self) -> bytes:
        """Of the key that has connected last."""
        return self._current.public_key

    def sign(self, message: bytes) -> bytes:
        """Sign with the key that has connected last."""
        return self._current.sign(message)

    @property
    def following(self) -> SigningKey | None:
        """The key that takes its place."""
        return self._following

    @property
    def key(self) -> SigningKey:
        """The key to connect with."""
        following = self._following
        if following is None or following.key_id in self._refused:
            return self._current
        return following

    async def prepare(self) -> SigningKey:
        """Return the key that shall follow; made, and durable, if there was none."""
        if self._keys is None:
            raise RuntimeError("a fixed key has no successor")
        self._following = await self._keys.successor()
        return self._following

    def announced(self) -> None:
        """The relay knows the key that follows: connect with it."""
        self._refused.clear()
        self.renewed.set()

    def refused(self) -> bool:
        """The relay does not know the key; whether the other one is worth a try at once."""
        key = self.key
        if key is self._following:
            self._refused.add(key.key_id)
            return True
        self._refused.clear()  # both are: begin again with the new one, later
        return False

    async def accepted(self, key: SigningKey) -> None:
        """A session works with the key; the one that followed becomes the only one."""
        if key is not self._following:
            return
        if self._keys is not None:
            await self._keys.succeed(key)
        self._current, self._following = key, None
        self._refused.clear()
        log.info("key_rotated", key_id=key.key_id)
        self.rotated(key.key_id)


def _nobody_asks(_: str) -> None:
    pass
