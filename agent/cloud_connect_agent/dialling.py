"""From a tunnel URL to an open WebSocket: every step has its own time limit and its own words."""

import asyncio
import contextlib
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from cloud_connect.crumbs import PatientConnection
from cloud_connect.errors import ConfigurationError
from cloud_connect.guarded_links import GuardedClientProtocol, PunctualConnection
from cloud_connect.handshake_messages import MAX_MESSAGE_BYTES, NO_CERTIFICATE, SUBPROTOCOL
from cloud_connect_agent.foreign_answers import explain_other_name, page_in_between
from cloud_connect_agent.proxies import Proxy
from cloud_connect_agent.reaching import DialError, reach
from cloud_connect_agent.settings import TunnelSettings, check_url
from cloud_connect_agent.version import VERSION

__all__ = ["DialError", "allow_frames", "certificate_hash", "dial"]

_CLOSE_TIMEOUT: Final = 2.0
_SESSION_MESSAGE_BYTES: Final = 128 * 1024 + 1024  # the protocol's limit and some slack
_WRITE_BUFFER_BYTES: Final = 64 * 1024
_QUEUED_FRAMES: Final = (4, 1)
_MAX_RETRY_AFTER: Final = 900.0  # seconds; whoever stays away longer is taken for stuck


@contextlib.asynccontextmanager
async def dial(
    url: str,
    *,
    tls: ssl.SSLContext,
    settings: TunnelSettings,
    proxy: Proxy | None = None,
    attempt: int = 0,
) -> AsyncIterator[ClientConnection]:
    """Connect to a relay's tunnel; closes the link when the block ends.

    Args:
        proxy: Whom to ask for the connection, if the relay is not reached directly.
        attempt: Which address of the name comes first: a host that accepts and then says
            nothing must not hide the others.

    Raises:
        ConfigurationError: If the URL must not be used.
        DialError: If there is no tunnel to be had; the message says why.
    """
    try:
        uri = parse_uri(check_url(url, schemes=("ws", "wss")))
    except ValueError as exc:
        raise ConfigurationError(f"The setting relay.tunnel_url is wrong: {exc}.") from exc
    sock = await reach(
        uri.host, uri.port, proxy=proxy, attempt=attempt, seconds=settings.connect_timeout
    )
    protocol = GuardedClientProtocol(
        uri, subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=MAX_MESSAGE_BYTES
    )
    connection = await _secure(
        sock,
        _Link(
            protocol,
            ping_interval=None,  # the session has heartbeats of its own
            close_timeout=_CLOSE_TIMEOUT,
            max_queue=_QUEUED_FRAMES,
            write_limit=_WRITE_BUFFER_BYTES,
        ),
        tls=tls if uri.secure else None,
        host=uri.host,
        seconds=settings.connect_timeout,
    )
    try:
        await _upgrade(connection, host=uri.host, seconds=settings.upgrade_timeout)
        yield connection
        await connection.close()
    finally:
        connection.transport.abort()  # no farewell to whoever does not even answer
        await connection.wait_closed()


class _Link(PunctualConnection, PatientConnection, ClientConnection):
    """The agent's end of a tunnel."""


def allow_frames(connection: ClientConnection) -> None:
    """Let messages have the tunnel's size: the relay has proven itself."""
    connection.protocol.max_message_size = _SESSION_MESSAGE_BYTES


def certificate_hash(connection: ClientConnection) -> bytes:
    """SHA-256 of the certificate that the peer showed; zeros without TLS."""
    tls = connection.transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) if tls is not None else None
    return NO_CERTIFICATE if certificate is None else hashlib.sha256(certificate).digest()


async def _secure(
    sock: socket.socket,
    connection: ClientConnection,
    *,
    tls: ssl.SSLContext | None,
    host: str,
    seconds: float,
) -> ClientConnection:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            await loop.create_connection(
                lambda: connection,
                sock=sock,
                ssl=tls,
                server_hostname=host if tls is not None else None,
            )
    except ssl.SSLCertVerificationError as exc:
        if (other := explain_other_name(exc, host)) is not None:
            raise DialError(other) from exc
        raise DialError(
            f"The certificate of {host} is not trusted ({exc.verify_message}): if your company"
            " uses an authority of its own, set relay.ca_file."
        ) from exc
    except TimeoutError as exc:
        raise DialError(f"The relay at {host} does not answer the TLS handshake.") from exc
    except (ssl.SSLError, OSError) as exc:
        raise DialError(f"The TLS handshake with {host} failed.") from exc
    finally:
        if not hasattr(connection, "transport"):
            sock.close()
    return connection


async def _upgrade(connection: ClientConnection, *, host: str, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await connection.handshake(user_agent_header=f"cloud-connect/{VERSION}")
    except TimeoutError as exc:
        raise DialError("The relay does not answer the WebSocket upgrade.") from exc
    except InvalidStatus as exc:
        error = DialError(_refusal(exc, host))
        error.retry_after = _retry_after(exc)
        raise error from exc
    except (InvalidHandshake, InvalidMessage, OSError, EOFError) as exc:
        cut = any(isinstance(one, OSError | EOFError) for one in (exc, exc.__cause__))
        raise DialError(
            "The connection was cut during the WebSocket upgrade: the relay is busy or restarts, or"
            " the network is bad."
            if cut
            else "What answers there is no relay's tunnel."
        ) from exc
    if connection.subprotocol != SUBPROTOCOL:
        raise DialError("The relay does not speak this agent's tunnel protocol.")


def _refusal(error: InvalidStatus, host: str) -> str:
    """Say who answered the upgrade with something else."""
    status, headers = error.response.status_code, error.response.headers
    if (page := page_in_between(status, headers, host=host)) is not None:
        return page
    if status == 503:
        return "The relay is busy or restarts."
    if "html" in headers.get("Content-Type", "").lower():
        return (
            f"A web page answers instead of the relay's tunnel (status {status}): the address is"
            " wrong, or a proxy in between lets no WebSocket through."
        )
    return f"There is no relay's tunnel at this address (status {status})."


def _retry_after(error: InvalidStatus) -> float | None:
    text = error.response.headers.get("Retry-After", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        return None
    return min(float(text), _MAX_RETRY_AFTER)
