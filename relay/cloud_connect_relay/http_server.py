"""The API's listener: uvicorn inside our own tasks, signals and sockets."""

import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import uvicorn

from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect_relay.gateway.admission import Strangers
from cloud_connect_relay.http_protocol import bounded_protocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from cloud_connect_relay.settings import RelaySettings

__all__ = ["HttpServer", "ListenError", "bind", "listen_error"]

_BACKLOG: Final = 2048
_TLS_TIMEOUT: Final = 8.0  # seconds for its handshake
_TLS_FAREWELL_TIMEOUT: Final = 2.0
_LOOPBACK: Final = ("127.0.0.1", "::1")


class ListenError(CloudConnectError):
    """A listener cannot have its address; the message says which and why."""


def listen_error(host: str, port: int, flag: str, error: OSError) -> ListenError:
    """Return what to tell whoever started the relay."""
    # Python's own text of a failed bind names the address once more; a lookup's number is negative.
    number = error.errno or 0
    reason = (os.strerror(number) if number > 0 else error.strerror or str(error)).lower()
    return ListenError(
        f"Port {port} on {host} cannot be used ({reason}); stop the program that has it, or"
        f" choose another with {flag}."
    )


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        ListenError: If the address is taken, not ours, or not allowed.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.create_server(
            (str(address[0]), port), family=family, backlog=_BACKLOG, reuse_port=False
        )
        # Connections inherit it; asyncio sets it only where it made the listener itself.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise listen_error(host, port, "--port", error) from error
    return listener


class HttpServer(uvicorn.Server):
    """uvicorn without a mind of its own: no signal handlers, no log set-up, no banner."""

    def __init__(self, app: "ASGIApp", settings: "RelaySettings") -> None:
        self._protocol: Final = bounded_protocol(
            max_head_bytes=settings.api.max_header_bytes,
            head_timeout=settings.api.head_timeout,
            admission=Strangers(
                max_pending=settings.api.max_pending,
                max_pending_per_source=settings.api.max_pending_per_source,
            ),
        )
        config = uvicorn.Config(
            app,
            http=self._protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(_trusted_proxies(settings)),
            forwarded_allow_ips=list(_trusted_proxies(settings)),
            timeout_keep_alive=int(settings.api.keep_alive_timeout),
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
        )
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                "The settings tls_cert and tls_key do not name a certificate and its key in PEM"
                f" ({error.strerror or error})."
            ) from error
        # What matters of its log, ours says; the rest is one line per stranger's broken request.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        super().__init__(config)
        self._told: Final = asyncio.Event()  # to stop

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the relay."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; unlike uvicorn's own, a TLS handshake has an end."""
        config = self.config
        await self.lifespan.startup()

        def protocol() -> asyncio.Protocol:
            return self._protocol(config, self.server_state, self.lifespan.state)

        loop, secured = asyncio.get_running_loop(), config.ssl is not None
        self.servers = [
            await loop.create_server(
                protocol,
                sock=sock,
                backlog=config.backlog,
                ssl=config.ssl,
                ssl_handshake_timeout=_TLS_TIMEOUT if secured else None,
                ssl_shutdown_timeout=_TLS_FAREWELL_TIMEOUT if secured else None,
            )
            for sock in sockets or ()
        ]
        self.started = True

    async def main_loop(self) -> None:
        """Renew the date that answers bear each second, until told to stop.

        uvicorn's own looks ten times a second whether it was told.
        """
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._told.wait()

    def drain(self, within: float) -> None:
        """Accept no more requests; ``serve`` returns when the running ones have ended.

        Args:
            within: Seconds that they have; then they are cut.
        """
        self.config.timeout_graceful_shutdown = max(1, int(within))
        self.should_exit = True
        self._told.set()


def _trusted_proxies(settings: "RelaySettings") -> tuple[str, ...]:
    """Return whose ``X-Forwarded-For`` names the caller."""
    if settings.api.trusted_proxies is not None:
        return settings.api.trusted_proxies
    return _LOOPBACK if settings.public_url is not None and not settings.secure else ()
