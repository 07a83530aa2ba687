"""Where the relay's tunnel is by now: asked of its API when nothing answers where it was."""

import asyncio
import secrets
import ssl
from typing import Final
from urllib.parse import urlsplit

from cloud_connect.handshake import AgentCredentials
from cloud_connect.handshake_messages import tunnel_url_transcript
from cloud_connect.signing import NONCE_BYTES, SignatureBytes, to_text, verify_signature
from cloud_connect_agent.proxies import Proxy
from cloud_connect_agent.relay_api import (
    RelayAnswer,
    RelayApi,
    RelayRefusedError,
    RelayUnreachableError,
    read_answer,
    refusal_in,
)
from cloud_connect_agent.settings import check_url

__all__ = ["ask_tunnel_url"]

_SECONDS: Final = 10.0  # for the whole question: the next dial waits for it


class _Place(RelayAnswer):
    tunnel_url: str
    signature: SignatureBytes


async def ask_tunnel_url(
    url: str,
    credentials: AgentCredentials,
    *,
    tls: ssl.SSLContext,
    proxy: Proxy | None = None,
    enrolled_at: str | None = None,
    seconds: float = _SECONDS,
) -> str:
    """Return the address that agents shall dial, as the pinned relay signs it.

    Args:
        enrolled_at: The tunnel's address in the settings.

    Raises:
        RelayUnreachableError: If no relay answers at *url* in time.
        RelayRefusedError: If what answers is not the pinned relay, or names no usable address.
    """
    nonce = secrets.token_bytes(NONCE_BYTES)
    try:
        async with asyncio.timeout(seconds), RelayApi.open(url, tls=tls, proxy=proxy) as relay:
            answer = await relay.post("/api/enrol/tunnel", json={"agent_nonce": to_text(nonce)})
    except TimeoutError as exc:
        raise RelayUnreachableError(f"The relay at {url} does not answer in time.") from exc
    if answer.status_code != 200:
        raise refusal_in(answer, f"The relay at {url} does not say where its tunnel is.")
    place = read_answer(_Place, answer)
    transcript = tunnel_url_transcript(
        relay_id=credentials.relay_id, agent_nonce=nonce, tunnel_url=place.tunnel_url
    )
    if not verify_signature(credentials.relay_public_key, place.signature, transcript):
        raise RelayRefusedError(
            f"{url} could not prove that it is the relay this PC is enrolled at."
        )
    try:
        moved = check_url(place.tunnel_url, schemes=("ws", "wss"))
    except ValueError as exc:
        raise RelayRefusedError(
            f"The relay names a tunnel address that must not be used: {exc}."
        ) from exc
    # A relay in wrong hands must not make this PC knock at the doors of its own network.
    homes = {urlsplit(one).hostname for one in (url, enrolled_at) if one is not None}
    host = urlsplit(moved).hostname or ""
    if not any(host == home or host.endswith(f".{home}") for home in homes):
        raise RelayRefusedError(
            f"The relay names a tunnel at another host, {host[:253]}; if that is right, set "
            "relay.tunnel_url in agent.toml."
        )
    return moved
