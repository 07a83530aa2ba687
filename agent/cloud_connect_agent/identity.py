"""Who this agent is: its signing key, in the vault, and the counter that betrays a copy."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from cloud_connect.errors import ConfigurationError
from cloud_connect.live_secrets import learn_secret
from cloud_connect.signing import KEY_BYTES, SigningKey
from cloud_connect_agent.durable import NO_ROOM, write_durably
from cloud_connect_agent.vault.base import Vault

__all__ = ["AgentKeys", "Generation"]

_KEY: Final = "identity"
_CANDIDATE: Final = "identity-candidate"  # enrols; replaces the key once the relay knows it
_AUDIT_DIGEST: Final = "audit-digest"
_NEXT: Final = "identity-next"  # follows the key; replaces it once it has connected
_MAX_DIGITS: Final = 19


class AgentKeys:
    """The agent's Ed25519 key: made here, and it never leaves the vault."""

    def __init__(self, vault: Vault) -> None:
        self._vault: Final = vault

    async def load(self) -> SigningKey:
        """Return the key this agent is enrolled with.

        Raises:
            ConfigurationError: If there is none.
            VaultLockedError: If the vault cannot be opened.
        """
        key = await self._read(_KEY)
        if key is None:
            raise ConfigurationError(
                "The vault holds no key of this agent: enrol it again with a new join token."
            )
        return key

    async def candidate(self) -> SigningKey:
        """Return the key to enrol with; the same one until an enrolment succeeds.

        A relay that has enrolled it, but whose answer was lost, gives the same answer again.
        """
        key = await self._read(_CANDIDATE)
        if key is None:
            key = SigningKey.generate()
            learn_secret(key.seed())
            await self._vault.put(_CANDIDATE, key.seed())
        return key

    async def adopt(self, key: SigningKey) -> None:
        """Make the candidate the agent's key: the relay has enrolled it."""
        await self._vault.put(_KEY, key.seed())
        await self._vault.delete(_CANDIDATE)
        await self._vault.delete(_NEXT)

    async def following(self) -> SigningKey | None:
        """Return the key that shall take the place of the agent's, if there is one."""
        return await self._read(_NEXT)

    async def successor(self) -> SigningKey:
        """Return the key that shall take the place of the agent's; the same one until it has."""
        key = await self.following()
        if key is None:
            key = SigningKey.generate()
            learn_secret(key.seed())
            await self._vault.put(_NEXT, key.seed())
        return key

    async def succeed(self, key: SigningKey) -> None:
        """Make the successor the agent's key: it has connected."""
        await self._vault.put(_KEY, key.seed())
        await self._vault.delete(_NEXT)

    async def audit_digest_key(self) -> bytes:
        """Return what digests in the audit log are keyed with; it is made once."""
        key = await self._vault.get(_AUDIT_DIGEST)
        if key is None:
            key = os.urandom(KEY_BYTES)
            await self._vault.put(_AUDIT_DIGEST, key)
        return key

    async def forget(self) -> None:
        """Delete the key: this agent is no connector any more."""
        await self._vault.delete(_CANDIDATE)
        await self._vault.delete(_NEXT)
        await self._vault.delete(_KEY)

    async def _read(self, name: str) -> SigningKey | None:
        seed = await self._vault.get(name)
        if seed is None or len(seed) != KEY_BYTES:
            return None
        learn_secret(seed)
        return SigningKey(seed)


class Generation:
    """The counter that the relay advances at each connect, in a file of its own.

    A copied disk falls behind the original, and the relay notices.

    Args:
        behind: Called before a number is stored that is not the next: an administrator lets go on
            what may be such a copy, or a disk that was set back.
    """

    def __init__(self, file: Path, *, behind: Callable[[], Awaitable[None]] | None = None) -> None:
        self._file: Final = file
        self._behind: Final = behind

    async def read(self) -> int:
        """Return the last one that was stored.

        Raises:
            ConfigurationError: If the file is missing or damaged.
        """
        try:
            text = (await asyncio.to_thread(self._file.read_bytes)).strip()
        except OSError as exc:
            raise ConfigurationError(
                f"The file {self._file} cannot be read ({exc.strerror}): enrol this PC again."
            ) from exc
        if not text.isdigit() or len(text) > _MAX_DIGITS:
            raise ConfigurationError(f"The file {self._file} is damaged: enrol this PC again.")
        return int(text)

    async def store(self, generation: int) -> None:
        """Replace it; it is on disk when this returns.

        Raises:
            OSError: If the file cannot be written.
        """
        if self._behind is not None and generation > await self.read() + 1:
            await self._behind()
        await asyncio.to_thread(self._replace, b"%d\n" % generation)

    def _replace(self, data: bytes) -> None:
        try:
            write_durably(self._file, data)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            # A full disk has no room for a second file, and this one is never longer: so that
            # calls which write nothing go on.
            with self._file.open("r+b", buffering=0) as file:
                file.write(data)
                os.fsync(file.fileno())
