"""Clients of the relays of a world."""

import httpx

from doubles.program import Program

__all__ = ["client_of"]


def client_of(relay: Program, api_key: str) -> httpx.AsyncClient:
    """Return a client of a relay that runs."""
    return httpx.AsyncClient(
        base_url=relay.ready["api_url"],
        headers={"Authorization": f"Bearer {api_key}"},
        timeout=httpx.Timeout(90, connect=10),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=200),
        trust_env=False,
    )
