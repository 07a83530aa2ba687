"""The connections that lead to one origin by one way: directly, or through one proxy."""

import itertools
import ssl
from typing import Final

import httpx

from cloud_connect_agent.procore.http_pool import PooledTransport
from cloud_connect_agent.proxies import Proxy

__all__ = ["Way", "through"]

_POOLS: Final = 8  # httpcore walks a whole pool on every request: many small ones cost less
_POOL_SIZE: Final = 8  # connections of one pool
_KEEPALIVE: Final = 20.0  # seconds; below what load balancers in front of APIs allow


def through(proxy: Proxy | None) -> httpx.Proxy | None:
    """Return the proxy as httpx has it."""
    return None if proxy is None else httpx.Proxy(proxy.url, auth=proxy.sign_in)


class Way:
    """httpx's transports to one origin.

    Attributes:
        proxy: Whom they ask for the connection; ``None`` for nobody.
    """

    def __init__(self, url: httpx.URL, tls: ssl.SSLContext, proxy: Proxy | None) -> None:
        self.proxy: Final = proxy
        self._tls: Final = tls
        secure = url.scheme == "https"
        self._direct: Final = (
            None
            if proxy
            else PooledTransport(
                url.host, url.port or (443 if secure else 80), tls if secure else None
            )
        )
        self._readers: Final = [
            self._transport(connections=_POOL_SIZE, reuse=True)
            for _ in range(_POOLS if proxy else 1)
        ]
        self._turns: Final = itertools.cycle(self._readers)
        # A reused connection may die as a write is sent, and nobody knows if it arrived.
        self._writer: Final = self._transport(connections=None, reuse=False)

    def transport(self, *, reuse: bool, plain: bool) -> httpx.AsyncBaseTransport:
        """Return what sends a request.

        Args:
            reuse: Whether over a connection that may have served others.
            plain: Whether it is a GET with its body, if it has one, in one piece.
        """
        if not reuse:
            return self._writer
        return self._direct if plain and self._direct else next(self._turns)

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in (*self._readers, self._writer):
            await transport.aclose()
        if self._direct is not None:
            await self._direct.aclose()

    def _transport(self, *, connections: int | None, reuse: bool) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(
            verify=self._tls,
            trust_env=False,
            limits=httpx.Limits(
                max_connections=connections,
                max_keepalive_connections=connections if reuse else 0,
                keepalive_expiry=_KEEPALIVE,
            ),
            proxy=through(self.proxy),
            retries=0,
        )
