"""The link under a session: what it must offer, and how it is closed."""

import asyncio
from typing import Final, Protocol

import structlog
from websockets.exceptions import ConnectionClosed

__all__ = ["LINK_GONE", "Link", "close_link"]

log = structlog.get_logger(__name__)

# What send and recv raise once the link is gone.
LINK_GONE: Final = (ConnectionClosed, OSError, EOFError)

_MAX_REASON_BYTES: Final = 123  # RFC 6455, 5.5: a control frame of 125 bytes, less the code


class Link(Protocol):
    """A live WebSocket, or what behaves like one; a `websockets` connection does as it is.

    ``send`` and ``recv`` raise one of :data:`LINK_GONE` once the link is gone.
    """

    async def send(self, message: bytes) -> None:
        """Send a binary message; wait while the peer takes nothing."""

    async def recv(self) -> str | bytes:
        """Wait for the next message."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the link."""


async def close_link(link: Link, *, code: int, reason: str, within: float) -> None:
    """Close a link, within so many seconds; one that is gone already is left alone."""
    text = reason.encode("ascii", errors="replace")[:_MAX_REASON_BYTES].decode()
    try:
        async with asyncio.timeout(within):
            await link.close(code, text)
    except (TimeoutError, *LINK_GONE) as exc:
        log.debug("link_close_failed", error=str(exc))
