"""Requests that an enrolled agent signs, for the relay whose key it has pinned and no other."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Final

from cloud_connect.handshake import AgentCredentials
from cloud_connect_agent.proxies import Proxy
from cloud_connect_agent.relay_api import (
    RelayApi,
    RelayProof,
    RelayRefusedError,
    RelayUnreachableError,
    refusal_in,
)

__all__ = ["SECONDS", "tell_pinned_relay"]

SECONDS: Final = 10.0  # somebody waits for it


async def tell_pinned_relay(
    url: str,
    credentials: AgentCredentials,
    path: str,
    sign: Callable[[RelayProof], Mapping[str, str]],
    *,
    tls: ssl.SSLContext,
    proxy: Proxy | None = None,
    seconds: float = SECONDS,
) -> None:
    """Post what *sign* makes of the relay's challenge, once the relay has proven itself.

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
            answer = await relay.post(path, json=dict(sign(proof)))
    except TimeoutError as exc:
        raise RelayUnreachableError(f"The relay at {url} does not answer in time.") from exc
    if answer.status_code != 204:
        raise refusal_in(answer, f"The relay at {url} refused (status {answer.status_code}).")
