"""Passwords: hashed with Argon2id in a thread, a few at a time."""

import asyncio
import secrets
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from cloud_connect_relay.ids import ALPHABET

__all__ = ["MAX_PASSWORD", "Passwords", "random_password"]

MAX_PASSWORD: Final = 1024  # characters; hashing costs memory, not length, but bodies have limits
_AT_ONCE: Final = 2  # hashes that run side by side; each takes 64 MiB
_GROUPS: Final = 5  # of 4 characters: 100 bits


def random_password() -> str:
    """Return a password that can be read aloud: five groups of four characters."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(_GROUPS))
    return "-".join(groups)


class Passwords:
    """Hashes and checks passwords without holding up the event loop."""

    def __init__(self) -> None:
        self._hasher: Final = PasswordHasher()
        self._slots: Final = asyncio.Semaphore(_AT_ONCE)
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        """Return what to store of *password*."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, password: str, stored: str | None) -> bool:
        """Whether *stored* is of *password*; for nobody's (``None``) it takes as long."""
        if self._nobody is None:
            self._nobody = await self.hash(random_password())
        genuine = await self._check(password, self._nobody if stored is None else stored)
        return genuine and stored is not None

    async def _check(self, password: str, stored: str) -> bool:
        async with self._slots:
            try:
                return await asyncio.to_thread(self._hasher.verify, stored, password)
            except (VerificationError, InvalidHashError):
                return False
