"""uvicorn's HTTP protocol with the bounds it lacks on heads, and word of callers who hang up."""

from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cloud_connect_relay.caller import EXTENSION, Caller
from cloud_connect_relay.corked_transport import CorkedTransport

if TYPE_CHECKING:
    import asyncio

__all__ = ["bounded_protocol"]

_REFUSAL: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class _HeadTooLargeError(Exception):
    """Breaks off the parser; uvicorn then refuses the request."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection.

    Attributes:
        max_head_bytes: Of request line, headers and trailers together.
        head_timeout: Seconds from the first byte of a request to the end of its headers.
    """

    max_head_bytes: int
    head_timeout: float
    _corked: CorkedTransport

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_bytes = 0
        self._reads_head = True
        self._began = False
        self._too_large = False
        self._timer: asyncio.TimerHandle | None = None
        self._caller: Final = Caller()
        # Each extension is a mapping (ASGI, "Extensions").
        self._extensions: Final[dict[str, dict[object, object]]] = {
            EXTENSION: {"caller": self._caller}
        }

    def connection_made(self, transport: "asyncio.Transport") -> None:  # type: ignore[override]  # as uvicorn
        """Start the clock: a connection without a request is closed as a slow one is."""
        self._corked = CorkedTransport(transport, self.loop)
        super().connection_made(self._corked)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock, and end what runs for nobody."""
        self._stop_timer()
        super().connection_lost(exc)
        self._caller.hang_up()

    def data_received(self, data: bytes) -> None:
        """Parse, unless the head grows over its bound."""
        read_head = self._reads_head
        self._began = False
        super().data_received(data)
        if read_head and self._reads_head and not self._began:
            self._head_bytes += len(data)
            if self._head_bytes > self.max_head_bytes and not self.transport.is_closing():
                self._too_large = True
                self.send_400_response("")
        if self._began and self._reads_head:
            self._start_timer()

    def on_message_begin(self) -> None:
        """Begin to count another head."""
        self._head_bytes = 0
        self._reads_head = True
        self._began = True
        super().on_message_begin()
        self.scope["extensions"] = self._extensions

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header or, after the body, a trailer."""
        self._count(len(name) + len(value) + 4)  # ": " and the line's end
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the clock: the head is complete."""
        self._reads_head = False
        if self._timer is not None:
            self._stop_timer()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Send what is held of the answer: nothing follows."""
        self._corked.flush()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed, or was not because it is too large."""
        if self._too_large:
            self.transport.write(_REFUSAL)
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self.max_head_bytes:
            self._too_large = True
            raise _HeadTooLargeError

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.head_timeout, self._late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def bounded_protocol(*, max_head_bytes: int, head_timeout: float) -> type[BoundedHttpProtocol]:
    """Return the protocol with its bounds filled in."""
    bounds = {"max_head_bytes": max_head_bytes, "head_timeout": head_timeout}
    return type("BoundedHttpProtocol", (BoundedHttpProtocol,), bounds)
