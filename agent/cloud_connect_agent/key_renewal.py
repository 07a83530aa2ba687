"""The end of a session whose key another one follows."""

import asyncio
import contextlib
from typing import Final

from websockets.asyncio.client import ClientConnection

from cloud_connect.closing import CloseCode
from cloud_connect.session import Session
from cloud_connect.signing import SigningKey
from cloud_connect_agent.keyring import Keyring

__all__ = ["renew"]

_QUIET_SECONDS: Final = 25.0  # at most until a session without calls makes room for the next key
_QUIET_LOOK: Final = 0.1


async def renew(
    session: Session, link: ClientConnection, keyring: Keyring, key: SigningKey, *, drain: float
) -> None:
    """When another key is announced, end the session in a quiet moment: the next one has it.

    A call that does not end in time is cut: for as long as it lasted, no other would be taken.

    Args:
        drain: Seconds that calls have to end, once no other is taken.
    """
    if key is keyring.following:
        keyring.renewed.clear()
    await keyring.renewed.wait()
    keyring.renewed.clear()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_QUIET_SECONDS):
            while session.in_flight:  # noqa: ASYNC110 - nobody tells when it falls quiet
                await asyncio.sleep(_QUIET_LOOK)
    session.drain()
    await asyncio.sleep(drain)
    await link.close(CloseCode.GOING_AWAY, "The agent has a new key.")
