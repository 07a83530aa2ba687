"""Leaving: this PC has its relay revoke its connector, with the key that it enrolled with."""

import asyncio
import ssl
from typing import Final

from cloud_connect.handshake import AgentCredentials
from cloud_connect.handshake_messages import leave_transcript
from cloud_connect.signing import to_text
from cloud_connect_agent.proxies import Proxy
from cloud_connect_agent.relay_api import (
    RelayApi,
    RelayRefusedError,
    RelayUnreachableError,
    refusal_in,
)

__all__ = ["leave"]

_SECONDS: Final = 10.0  # somebody waits for the PC to be cleared


async def leave(
    url: str,
    credentials: AgentCredentials,
    *,
    tls: ssl.SSLContext,
    proxy: Proxy | None = None,
    seconds: float = _SECONDS,
) -> None:
    """Have the relay revoke the connector; done already is done.

    Args:
        url: The relay's address, as ``check_url`` lets it pass.
        tls: Whom to trust.
        proxy: Whom to ask for the connection, if the relay is not reached directly.
        seconds: The most that it may take.

    Raises:
        RelayUnreachableError: If no relay answers there in time.
        RelayRefusedError: If the relay is another one than the pinned one, or refuses.
    """
    try:
        async with (
            asyncio.timeout(seconds),
            RelayApi.open(url, tls=tls, proxy=proxy) as relay,
        ):
            proof = await relay.challenge(credentials.connector_id)
            pinned = (credentials.relay_id, credentials.relay_public_key)
            if (proof.relay_id, proof.public_key) != pinned or not proof.holds_key:
                raise RelayRefusedError(
                    f"{url} could not prove that it is the relay this PC is enrolled at."
                )
            transcript = leave_transcript(
                relay_id=proof.relay_id,
                nonce=proof.nonce,
                connector_id=credentials.connector_id,
                key_id=credentials.key.key_id,
            )
            answer = await relay.post(
                "/api/enrol/leave",
                json={
                    "connector_id": credentials.connector_id,
                    "key_id": credentials.key.key_id,
                    "nonce": to_text(proof.nonce),
                    "signature": to_text(credentials.key.sign(transcript)),
                },
            )
    except TimeoutError as exc:
        raise RelayUnreachableError(f"The relay at {url} does not answer in time.") from exc
    if answer.status_code != 204:
        raise refusal_in(answer, f"The relay at {url} refused (status {answer.status_code}).")
