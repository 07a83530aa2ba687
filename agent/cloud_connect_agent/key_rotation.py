"""Changing the agent's key: by itself every ninety days, or when somebody says so."""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect.handshake import AgentCredentials
from cloud_connect.handshake_messages import rotate_transcript
from cloud_connect.signing import SigningKey, to_text
from cloud_connect_agent.durable import write_durably
from cloud_connect_agent.keyring import Keyring
from cloud_connect_agent.pinned_relay import SECONDS, tell_pinned_relay
from cloud_connect_agent.proxies import Proxy
from cloud_connect_agent.relay_address import RelayAddress
from cloud_connect_agent.relay_api import RelayProof

__all__ = ["KeyAge", "KeyRotation", "announce_key"]

log = structlog.get_logger(__name__)

_DAY: Final = 86_400.0
_LOOK_SECONDS: Final = 3600.0  # between two looks at the key's age
_RETRY_SECONDS: Final = 300.0  # after the relay could not be told


async def announce_key(
    url: str,
    credentials: AgentCredentials,
    new_key: SigningKey,
    *,
    tls: ssl.SSLContext,
    proxy: Proxy | None = None,
    seconds: float = SECONDS,
) -> None:
    """Have the relay accept the new key beside the old one, until it connects.

    Raises:
        RelayUnreachableError: If no relay answers there in time.
        RelayRefusedError: If the relay is another one than the pinned one, or refuses.
    """

    def sign(proof: RelayProof) -> Mapping[str, str]:
        transcript = rotate_transcript(
            relay_id=proof.relay_id,
            nonce=proof.nonce,
            connector_id=credentials.connector_id,
            key_id=credentials.key.key_id,
            new_public_key=new_key.public_key,
        )
        return {
            "connector_id": credentials.connector_id,
            "key_id": credentials.key.key_id,
            "new_public_key": to_text(new_key.public_key),
            "nonce": to_text(proof.nonce),
            "signature": to_text(credentials.key.sign(transcript)),
            "new_signature": to_text(new_key.sign(transcript)),
        }

    await tell_pinned_relay(
        url, credentials, "/api/enrol/rotate", sign, tls=tls, proxy=proxy, seconds=seconds
    )


class KeyAge:
    """Since when this PC uses its key, in a file; a key that it does not name is new."""

    def __init__(self, file: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._file: Final = file
        self._clock: Final = clock

    async def seconds(self, key: SigningKey) -> float:
        """Return the key's age; remember it from now on if nothing is known of it."""
        return await asyncio.to_thread(self._seconds, key.key_id)

    def _seconds(self, key_id: str) -> float:
        now = self._clock()
        try:
            known, _, since = self._file.read_text("ascii").strip().partition(" ")
            if known == key_id:
                return now - float(since)
        except (OSError, ValueError):
            pass  # there is none yet, or it is damaged: its age is no secret and no proof
        write_durably(self._file, f"{key_id} {now:.0f}\n".encode())
        return 0.0


class KeyRotation:
    """Announces the key that follows and has the connection change to it.

    Args:
        max_days: How old a key may become; 0 for any age.
    """

    def __init__(
        self, keyring: Keyring, address: RelayAddress, age: KeyAge, *, max_days: float
    ) -> None:
        self._keyring: Final = keyring
        self._address: Final = address
        self._age: Final = age
        self._max_age: Final = max_days * _DAY
        self._one: Final = asyncio.Lock()

    @property
    def key_id(self) -> str:
        """The key that the agent connects with."""
        return self._keyring.key.key_id

    async def rotate(self) -> str:
        """Announce the next key and return its id; it is used within half a minute.

        Raises:
            RelayUnreachableError: If no relay answers in time: nothing has changed.
            RelayRefusedError: If the relay refuses.
        """
        async with self._one:
            url = self._address.relay_url
            if url is None:
                raise ConfigurationError("The setting relay.url is missing.")
            following = await self._keyring.prepare()
            await announce_key(
                url,
                replace(self._address.credentials, key=self._keyring.current),
                following,
                tls=self._address.tls,
                proxy=await self._address.proxies.way(url),
            )
            self._keyring.announced()
            log.info("key_announced", key_id=following.key_id)
            return following.key_id

    async def keep(self) -> None:
        """Change keys when it is time, and finish a change that broke off, until cancelled."""
        while True:
            pause = _LOOK_SECONDS
            if await self._is_due():
                try:
                    await self.rotate()
                except (CloudConnectError, OSError) as exc:
                    pause = _RETRY_SECONDS
                    reason = exc.message if isinstance(exc, CloudConnectError) else exc.strerror
                    log.warning("key_not_rotated", reason=reason)
            await asyncio.sleep(pause)

    async def _is_due(self) -> bool:
        if self._keyring.following is not None:
            return True
        try:
            age = await self._age.seconds(self._keyring.current)
        except OSError as exc:
            log.warning("key_age_unknown", reason=exc.strerror)
            return False
        return 0 < self._max_age <= age
