"""uvicorn's HTTP protocol with the bounds and rules it lacks, and word of callers who hang up."""

from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cloud_connect_relay.caller import EXTENSION, Caller
from cloud_connect_relay.corked_transport import CorkedTransport
from cloud_connect_relay.request_rules import objection

if TYPE_CHECKING:
    import asyncio

    from cloud_connect_relay.gateway.admission import Strangers

__all__ = ["bounded_protocol"]

_MAX_HEADERS: Final = 256  # lines, as in a head of the tunnel
_TOO_LARGE: Final = b"431 Request Header Fields Too Large"
_MALFORMED: Final = b"400 Bad Request"
# What chunks may take beside what they hold: crumbs of five bytes, and a little for extensions.
_CHUNK_ROOM: Final = 64 * 1024
_CHUNK_SHARE: Final = 8


class _Phase(Enum):
    """Where in a request the parser is."""

    BETWEEN = auto()
    HEAD = auto()
    BODY = auto()


class _RefusedError(Exception):
    """Breaks off the parser; the request is refused and its connection closed."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection.

    Attributes:
        max_head_bytes: Of request line and headers together.
        head_timeout: Seconds from the first byte of a request to the end of its headers.
        admission: Counts connections without a request.
    """

    max_head_bytes: int
    head_timeout: float
    admission: "Strangers"
    _corked: CorkedTransport

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_bytes = 0
        self._phase = _Phase.BETWEEN
        self._began = False
        self._wire_bytes = 0  # since the head was complete
        self._body_bytes = 0
        self._refusal = _MALFORMED
        self._timer: asyncio.TimerHandle | None = None
        self._caller: Final = Caller(self._cut)
        # Each extension is a mapping (ASGI, "Extensions").
        self._extensions: Final[dict[str, dict[object, object]]] = {
            EXTENSION: {"caller": self._caller}
        }

    def connection_made(self, transport: "asyncio.Transport") -> None:  # type: ignore[override]  # as uvicorn
        """Start the clock: a connection without a request is closed as a slow one is."""
        self._corked = CorkedTransport(transport, self.loop)
        super().connection_made(self._corked)
        peer = transport.get_extra_info("peername")
        source = peer[0] if isinstance(peer, tuple) else str(peer)
        if self.admission.admit(self, source=source):
            self._start_timer()
        else:
            self.abort()

    def abort(self) -> None:
        """Close at once, without a word."""
        self.transport.abort()

    def eof_received(self) -> None:
        """Close, as the transport is about to do by itself, but not wait for ever for the end."""
        self._corked.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock, and end what runs for nobody."""
        self.admission.release(self)
        self._stop_timer()
        self._corked.lost()
        super().connection_lost(exc)
        self._caller.hang_up()

    def data_received(self, data: bytes) -> None:
        """Parse, unless the head grows over its bound, or a body's chunks hold next to nothing."""
        before = self._phase
        self._began = False
        self._wire_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._phase is _Phase.BODY:
            if self._wire_bytes > _CHUNK_ROOM + _CHUNK_SHARE * self._body_bytes:
                self._refuse(_MALFORMED)
            return
        if before is self._phase and not self._began:
            self._head_bytes += len(data)
            if self._head_bytes > self.max_head_bytes:
                self._refuse(_TOO_LARGE)
                return
        if self._phase is _Phase.HEAD or (self._is_idle and not self._began):
            # A request has begun, or bytes came that are none: both have so long to be one.
            self._start_timer()

    def on_message_begin(self) -> None:
        """Begin to count another head."""
        self._head_bytes = 0
        self._phase = _Phase.HEAD
        self._began = True
        super().on_message_begin()
        self.scope["extensions"] = self._extensions

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header; behind the body, where nobody looks for one, none may come."""
        if self._phase is _Phase.BODY:
            raise _RefusedError
        self._count(len(name) + len(value) + 4)  # ": " and the line's end
        if len(self.headers) >= _MAX_HEADERS:
            self._refusal = _TOO_LARGE
            raise _RefusedError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the clock: the head is complete."""
        if objection(self.parser.get_http_version(), self.url, self.headers) is not None:
            raise _RefusedError
        self._phase = _Phase.BODY
        self._wire_bytes = self._body_bytes = 0
        self.admission.release(self)
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count a piece of the body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a request: the next one may begin."""
        self._phase = _Phase.BETWEEN
        self._head_bytes = 0
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Send what is held of the answer: nothing follows."""
        self._corked.flush()
        if self._phase is _Phase.BODY and not self.pipeline:
            self._start_timer()  # its caller may finish what nobody wants, but not for ever
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed, or breaks a rule or a bound."""
        del msg
        self._refuse(self._refusal)

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _may_answer(self) -> bool:
        """Whether bytes sent now would be the answer to the request that is refused."""
        if self._phase is not _Phase.BODY:
            return self._is_idle
        return not (self.cycle.response_started or self.pipeline)

    def _refuse(self, status: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._may_answer():
            head = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(head % status)
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _cut(self) -> None:
        self.transport.abort()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self.max_head_bytes:
            self._refusal = _TOO_LARGE
            raise _RefusedError

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


def bounded_protocol(
    *, max_head_bytes: int, head_timeout: float, admission: "Strangers"
) -> type[BoundedHttpProtocol]:
    """Return the protocol with its bounds filled in."""
    bounds = {
        "max_head_bytes": max_head_bytes,
        "head_timeout": head_timeout,
        "admission": admission,
    }
    return type("BoundedHttpProtocol", (BoundedHttpProtocol,), bounds)
