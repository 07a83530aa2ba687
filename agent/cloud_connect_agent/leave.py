"""Leaving: this PC has its relay revoke its connector, with the key that it enrolled with."""

import ssl
from collections.abc import Mapping

from cloud_connect.handshake import AgentCredentials
from cloud_connect.handshake_messages import leave_transcript
from cloud_connect.signing import to_text
from cloud_connect_agent.pinned_relay import SECONDS, tell_pinned_relay
from cloud_connect_agent.proxies import Proxy
from cloud_connect_agent.relay_api import RelayProof

__all__ = ["leave"]


async def leave(
    url: str,
    credentials: AgentCredentials,
    *,
    tls: ssl.SSLContext,
    proxy: Proxy | None = None,
    seconds: float = SECONDS,
) -> None:
    """Have the relay revoke the connector; done already is done.

    Raises:
        RelayUnreachableError: If no relay answers there in time.
        RelayRefusedError: If the relay is another one than the pinned one, or refuses.
    """

    def sign(proof: RelayProof) -> Mapping[str, str]:
        transcript = leave_transcript(
            relay_id=proof.relay_id,
            nonce=proof.nonce,
            connector_id=credentials.connector_id,
            key_id=credentials.key.key_id,
        )
        return {
            "connector_id": credentials.connector_id,
            "key_id": credentials.key.key_id,
            "nonce": to_text(proof.nonce),
            "signature": to_text(credentials.key.sign(transcript)),
        }

    await tell_pinned_relay(
        url, credentials, "/api/enrol/leave", sign, tls=tls, proxy=proxy, seconds=seconds
    )
