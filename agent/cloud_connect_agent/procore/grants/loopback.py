"""The listener on this PC that takes the browser back from Procore, once."""

import asyncio
import errno
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

from cloud_connect.browser_page import PAGE_HEADERS, render_page, without_code
from cloud_connect.errors import ConfigurationError, SignInRequiredError
from cloud_connect_agent.procore.grants.authorization import Authorization
from cloud_connect_agent.tasks import lasting_tasks

__all__ = ["Callback", "Loopback", "listen"]

_CALLBACK_SECONDS: Final = 300.0  # for a person to sign in and approve
_HEAD_SECONDS: Final = 10.0  # for a browser to say what it wants
_MAX_HEAD_BYTES: Final = 16 * 1024
_MAX_CONNECTIONS: Final = 32  # browsers open some in advance
_ABSENT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})  # this PC has no IPv6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    method: str
    target: str
    hosts: tuple[str, ...]
    scripted: bool  # a page's script sends an Origin; a browser that is sent here by Procore none


class Callback:
    """The browser's return; it waits for a page until :meth:`answer`."""

    def __init__(self, code: str | None, error: str | None, writer: asyncio.StreamWriter) -> None:
        self._code: Final = code
        self._error: Final = error
        self._writer: Final = writer

    @property
    def code(self) -> str:
        """The authorization code.

        Raises:
            SignInRequiredError: If there is none, because the person did not approve.
        """
        if self._code is None:
            raise SignInRequiredError(without_code(self._error))
        return self._code

    async def answer(self, title: str, *sentences: str) -> None:
        """Show the person how it ended."""
        await _answer(self._writer, 200, render_page(title, *sentences))


class Loopback:
    """Waits for the one request that carries the right state."""

    def __init__(self, authorization: Authorization) -> None:
        parts = urlsplit(authorization.redirect_uri)
        self._authorization: Final = authorization
        self._path: Final = parts.path or "/"
        # A page elsewhere whose name leads here (DNS rebinding) says its own name.
        self._host: Final = parts.netloc
        self._callback: asyncio.Future[Callback] = asyncio.get_running_loop().create_future()

    async def callback(self, *, within: float = _CALLBACK_SECONDS) -> Callback:
        """Wait for the browser.

        Args:
            within: Seconds; it is a person who has to sign in and approve.

        Raises:
            SignInRequiredError: If it does not come in time.
        """
        try:
            async with asyncio.timeout(within):
                return await self._callback
        except TimeoutError as exc:
            raise SignInRequiredError(
                "Nobody came back from Procore in time; run the command again."
            ) from exc

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one connection."""
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                request = _parse(await reader.readuntil(b"\r\n\r\n"))
            if request is None:
                await _refuse(writer, 400, "The request is not understood.")
            else:
                await self._take(request, writer)
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            writer.close()
        except asyncio.CancelledError:
            writer.close()
            raise

    async def _take(self, request: _Request, writer: asyncio.StreamWriter) -> None:
        parts = urlsplit(request.target)
        if request.hosts != (self._host,) or request.scripted:
            await _refuse(writer, 403, "This address is not served here.")
        elif parts.path != self._path:
            await _refuse(writer, 404, "There is nothing here.")
        elif request.method != "GET":
            await _refuse(writer, 405, "A browser comes back here with GET.")
        else:
            query = parse_qs(parts.query, max_num_fields=20)
            states, codes = query.get("state", []), query.get("code", [])
            if len(states) != 1 or not self._authorization.knows(states[0]):
                await _refuse(writer, 403, "This is not the sign-in that was begun on this PC.")
            elif self._callback.done():
                await _refuse(writer, 410, "This sign-in was answered already.")
            else:
                code = codes[0] if len(codes) == 1 and len(codes[0]) <= 4096 else None
                error = query.get("error", [None])[0]
                self._callback.set_result(Callback(code, error, writer))


@asynccontextmanager
async def listen(authorization: Authorization) -> AsyncIterator[Loopback]:
    """Listen where the authorization's redirect URI leads, on both loopback addresses.

    Raises:
        ConfigurationError: If one of them is taken: whoever has it might get the code.
    """
    port = urlsplit(authorization.redirect_uri).port or 80
    loopback = Loopback(authorization)
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(bound)
            for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
            if (bound := _bind(family, address, port)) is not None
        ]
        async with lasting_tasks() as tasks:
            open_tasks: set[asyncio.Task[None]] = set()

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                if len(open_tasks) >= _MAX_CONNECTIONS:
                    writer.close()
                    return
                task = tasks.create_task(loopback.serve(reader, writer), name="loopback-browser")
                open_tasks.add(task)
                task.add_done_callback(open_tasks.discard)

            servers = [
                await asyncio.start_server(accept, sock=one, limit=_MAX_HEAD_BYTES)
                for one in sockets
            ]
            try:
                yield loopback
            finally:
                for server in servers:
                    server.close()
                for task in open_tasks:
                    task.cancel()


def _bind(family: socket.AddressFamily, address: str, port: int) -> socket.socket | None:
    """Bind one address for this process alone; ``None`` if this PC has no such address."""
    try:
        bound = socket.socket(family, socket.SOCK_STREAM)
    except OSError as exc:
        if exc.errno in _ABSENT:
            return None
        raise
    try:
        if sys.platform == "win32":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            # Only past what a former attempt left in TIME_WAIT; who listens is not displaced.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((address, port))
        bound.listen()
    except OSError as exc:
        bound.close()
        if exc.errno in _ABSENT:
            return None
        reason = "may not be used by this account" if exc.errno == errno.EACCES else "is taken"
        raise ConfigurationError(
            f"Port {port} of {address} {reason}, so the browser cannot safely come back here. "
            "Free it, set another redirect_uri and register that at Procore, or sign in with --oob."
        ) from exc
    return bound


def _parse(head: bytes) -> _Request | None:
    try:
        start, *lines = head.decode("ascii").split("\r\n")
        method, target, protocol = start.split(" ")
    except (UnicodeDecodeError, ValueError):
        return None
    if not protocol.startswith("HTTP/1.") or not target.startswith("/"):
        return None
    parts = (line.partition(":") for line in lines)
    headers = [(name.strip().lower(), value.strip().lower()) for name, _, value in parts]
    return _Request(
        method=method,
        target=target,
        hosts=tuple(value for name, value in headers if name == "host"),
        scripted=any(name == "origin" for name, _ in headers),
    )


async def _refuse(writer: asyncio.StreamWriter, status: int, sentence: str) -> None:
    await _answer(writer, status, render_page("Not signed in", sentence))


async def _answer(writer: asyncio.StreamWriter, status: int, page: bytes) -> None:
    headers = "".join(f"{name}: {value}\r\n" for name, value in PAGE_HEADERS)
    head = (
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'Refused'}\r\n{headers}"
        f"content-length: {len(page)}\r\nconnection: close\r\n\r\n"
    )
    try:
        writer.write(head.encode("ascii") + page)
        async with asyncio.timeout(_HEAD_SECONDS):
            await writer.drain()
    except (OSError, TimeoutError):
        return  # the browser has gone
    finally:
        writer.close()
