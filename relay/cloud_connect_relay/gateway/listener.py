"""The WebSocket listener: what it takes, and how little it gives to strangers."""

import asyncio
import contextlib
import http
import importlib.util
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from cloud_connect.closing import CloseCode
from cloud_connect.crumbs import PatientConnection
from cloud_connect.errors import ConfigurationError
from cloud_connect.guarded_links import GuardedServerProtocol, PunctualConnection
from cloud_connect.handshake_messages import MAX_MESSAGE_BYTES, SUBPROTOCOL, TUNNEL_PATH
from cloud_connect_relay.gateway.admission import Admission

if TYPE_CHECKING:
    from websockets.http11 import Request, Response

__all__ = ["MAX_SESSION_MESSAGE_BYTES", "AgentSocket", "check_speedups", "listen"]

MAX_SESSION_MESSAGE_BYTES: Final = 128 * 1024 + 1024  # the protocol's limit and some slack
_MAX_REQUEST_BYTES: Final = 4 * 1024  # an upgrade through proxies has about 2 KiB
# The messages of the handshake together, with their frame heads, a farewell and our SETTINGS'.
_MAX_HANDSHAKE_BYTES: Final = MAX_MESSAGE_BYTES + 256
_TLS_TIMEOUT: Final = 8.0  # seconds
_CLOSE_TIMEOUT: Final = 2.0  # seconds for the closing handshake: a cut must be over in five
_STRANGER_CLOSE_TIMEOUT: Final = 0.5  # seconds of it for who has not authenticated
_USER_TIMEOUT_MS: Final = 20_000  # unacknowledged bytes for so long mean that the link is dead
_WRITE_BUFFER_BYTES: Final = 64 * 1024
_QUEUED_FRAMES: Final = (4, 1)  # messages that wait to be read before the socket is paused

_HEADER_LIST: Final = re.compile(r"[\s,]+")


def check_speedups() -> None:
    """Refuse to serve without the compiled parts of websockets: they are ten times faster.

    Raises:
        ConfigurationError: If they are missing.
    """
    if importlib.util.find_spec("websockets.speedups") is None:
        raise ConfigurationError(
            "The websockets package lacks its compiled speedups: reinstall it from a wheel."
        )


class AgentSocket(PunctualConnection, PatientConnection, ServerConnection):
    """One socket of an agent, or of a stranger until it has authenticated.

    Attributes:
        connected_at: When it came, on the event loop's clock.
    """

    admission: Admission  # of the listener that made this class, see listen()

    def __init__(self, protocol: ServerProtocol, server: Server, **options: object) -> None:
        guarded = GuardedServerProtocol.of(protocol)
        super().__init__(guarded, server, **options)  # type: ignore[arg-type]  # passed on
        self.close_timeout = _STRANGER_CLOSE_TIMEOUT
        self.connected_at: Final = self.loop.time()
        self._request_room = _MAX_REQUEST_BYTES
        self._handshake_room: int | None = _MAX_HANDSHAKE_BYTES  # None: no stranger any more

    def authenticated(self) -> None:
        """Let the socket carry frames: it is no stranger any more."""
        self.admission.release(self)
        self._handshake_room = None
        self.close_timeout = _CLOSE_TIMEOUT
        self.protocol.max_message_size = MAX_SESSION_MESSAGE_BYTES
        # The upgrade's headers would stay for as long as the session: 4 KiB of every agent.
        if self.request is not None:
            self.request.headers.clear()
        self.response = None

    def abort(self) -> None:
        """Close at once, without a word."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket, or hang up if too many wait already."""
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
        peer = transport.get_extra_info("peername")
        source = peer[0] if isinstance(peer, tuple) else str(peer)
        if not self.admission.admit(self, source=source):
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Free its place."""
        self.admission.release(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bound what a stranger may send, before the upgrade and before it has authenticated."""
        if self.request is None:
            self._request_room -= len(data)
            if self._request_room < 0:
                self.abort()
                return
        elif self._handshake_room is not None:
            room = self._handshake_room
            self._handshake_room = max(0, room - len(data))
            if len(data) > room and self.protocol.state is State.OPEN:
                self.protocol.fail(CloseCode.MESSAGE_TOO_BIG, "too much before authentication")
        super().data_received(data)


@contextlib.asynccontextmanager
async def listen(
    handler: Callable[[AgentSocket], Awaitable[None]],
    *,
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    admission: Admission,
    accepting: Callable[[], bool],
    upgrade_timeout: float,
) -> AsyncIterator[int]:
    """Listen for agents until the block ends; yields the port.

    Args:
        accepting: Asked at each upgrade; false while the relay drains.
        upgrade_timeout: Seconds for the HTTP upgrade.
    """

    class Socket(AgentSocket):
        pass

    Socket.admission = admission

    def check(connection: ServerConnection, request: "Request") -> "Response | None":
        if request.path != TUNNEL_PATH:
            return connection.respond(http.HTTPStatus.NOT_FOUND, "There is nothing here.\n")
        if "Origin" in request.headers:
            return connection.respond(
                http.HTTPStatus.FORBIDDEN, "Agents connect here, not web pages.\n"
            )
        offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol"))
        if SUBPROTOCOL not in _HEADER_LIST.split(offered):
            return connection.respond(
                http.HTTPStatus.BAD_REQUEST, f"Offer the subprotocol {SUBPROTOCOL}.\n"
            )
        if not accepting():
            return _come_back(connection, 1.0, "The relay restarts.\n")
        delay = admission.begin_handshake()
        if delay is not None:
            return _come_back(connection, delay, "Too many agents connect at once.\n")
        return None

    async def handle(connection: ServerConnection) -> None:
        if not isinstance(connection, AgentSocket):
            raise TypeError("the listener made a foreign connection")
        await handler(connection)

    secured: dict[str, Any] = {} if tls is None else {"ssl_handshake_timeout": _TLS_TIMEOUT}
    server = serve(
        handle,
        host,
        port,
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        compression=None,
        process_request=check,
        server_header=None,
        open_timeout=upgrade_timeout,
        ping_interval=None,  # the session has heartbeats of its own
        close_timeout=_CLOSE_TIMEOUT,
        max_size=MAX_MESSAGE_BYTES,  # until it has authenticated
        max_queue=_QUEUED_FRAMES,
        write_limit=_WRITE_BUFFER_BYTES,
        create_connection=Socket,
        ssl=tls,
        **secured,
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


def _come_back(connection: ServerConnection, delay: float, text: str) -> "Response":
    response = connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, text)
    response.headers["Retry-After"] = str(max(1, -int(-delay // 1)))
    return response
