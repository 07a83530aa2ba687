"""Passwords: hashed with Argon2id in a thread, a few at a time."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from cloud_connect.errors import QuotaExceededError
from cloud_connect_relay.ids import ALPHABET

__all__ = ["MAX_PASSWORD", "MIN_PASSWORD", "Passwords", "random_password"]

MIN_PASSWORD: Final = 8  # characters
MAX_PASSWORD: Final = 1024  # characters; hashing costs memory, not length, but bodies have limits
_AT_ONCE: Final = 2  # hashes that run side by side; each takes 64 MiB
_MAX_WAITING: Final = 64  # hashes that wait for their turn: about two seconds' worth
_GROUPS: Final = 5  # of 4 characters: 100 bits


def random_password() -> str:
    """Return a password that can be read aloud: five groups of four characters."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(_GROUPS))
    return "-".join(groups)


class Passwords:
    """Hashes and checks passwords without holding up the event loop."""

    def __init__(self) -> None:
        # RFC 9106, 4: three passes over 64 MiB in four lanes. A stored hash says its own.
        self._hasher: Final = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._slots: Final = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0
        self._nobody: str | None = None
        self._first: Final = asyncio.Lock()

    async def hash(self, password: str) -> str:
        """Return what to store of *password*.

        Raises:
            QuotaExceededError: If too many wait already.
        """
        async with self._turn():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(
        self, password: str, stored: str | None, *, permit: Callable[[], None] = lambda: None
    ) -> bool:
        """Whether *stored* is of *password*; for nobody's (``None``) it takes as long.

        Args:
            permit: Asked once more when it is the password's turn: many that came at once must
                not all be looked at because none had failed by then.

        Raises:
            QuotaExceededError: If too many wait already.
        """
        nobody = await self._of_nobody()
        async with self._turn():
            permit()
            genuine = await asyncio.to_thread(
                self._verify, nobody if stored is None else stored, password
            )
        return genuine and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether *stored* was made with other parameters than are used today."""
        return self._hasher.check_needs_rehash(stored)

    async def _of_nobody(self) -> str:
        async with self._first:  # the first crowd of a day needs one hash, not one each
            if self._nobody is None:
                self._nobody = await self.hash(random_password())
        return self._nobody

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= _MAX_WAITING:
            raise QuotaExceededError(
                "Too many people sign in at the moment; try again in a few seconds.", retry_after=2
            )
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()
