"""The running agent's end of the control socket, which on Windows is a named pipe."""

import asyncio
import contextlib
import json
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import structlog

from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect_agent.control import Answer, reachable_name

__all__ = ["Handler", "serve_control"]

log = structlog.get_logger(__name__)

Handler: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[Answer]]

_MAX_REQUEST_BYTES: Final = 4 * 1024
_REQUEST_SECONDS: Final = 5.0  # for a request to arrive: the asker is on this machine
_MAX_CLIENTS: Final = 16


@asynccontextmanager
async def serve_control(path: Path, handler: Handler) -> AsyncIterator[None]:
    """Answer requests on the socket *path* meanwhile.

    The caller holds the agent's lock, so a socket file that is there already is a leftover.

    Raises:
        ConfigurationError: If nothing can listen there.
    """
    async with _served(path, handler):
        yield


async def _answer(line: bytes, handler: Handler) -> Answer:
    try:
        request = json.loads(line)
    except ValueError:
        return {"ok": False, "error": "The request is not JSON."}
    if not isinstance(request, dict):
        return {"ok": False, "error": "The request is not a JSON object."}
    try:
        return {"ok": True, **await handler(request)}
    except CloudConnectError as exc:
        return {"ok": False, "error": exc.message}


if sys.platform == "win32":

    @asynccontextmanager
    async def _served(path: Path, handler: Handler) -> AsyncIterator[None]:
        from cloud_connect_agent.hosting.windows_pipe import serve_pipe
        from cloud_connect_agent.hosting.windows_pipe_api import WindowsPipes

        async def reply(line: bytes) -> bytes:
            return json.dumps(await _answer(line, handler)).encode() + b"\n"

        async with serve_pipe(path, reply, maker=WindowsPipes()):
            yield

else:

    @asynccontextmanager
    async def _served(path: Path, handler: Handler) -> AsyncIterator[None]:
        listener = _listen(path)
        clients = 0
        async with asyncio.TaskGroup() as group:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                nonlocal clients
                if clients >= _MAX_CLIENTS or not _is_own_account(writer):
                    log.warning("control_refused", clients=clients)
                    writer.close()
                    return
                clients += 1
                task = group.create_task(_serve_one(reader, writer, handler), name="control-client")
                task.add_done_callback(lambda _: left())

            def left() -> None:
                nonlocal clients
                clients -= 1

            server = await asyncio.start_unix_server(
                accept, sock=listener, limit=_MAX_REQUEST_BYTES
            )
            try:
                yield
            finally:
                server.close()
                _discard(path)

    def _listen(path: Path) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _discard(path)
            with reachable_name(path) as short:
                listener.bind(short)
            path.chmod(0o600)
        except OSError as exc:
            listener.close()
            raise ConfigurationError(
                f"The control socket {path} cannot be made: {exc.strerror}."
            ) from exc
        return listener

    def _discard(path: Path) -> None:
        path.unlink(missing_ok=True)

    async def _serve_one(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler
    ) -> None:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                line = await reader.readuntil(b"\n")
            answer = await _answer(line, handler)
            writer.write(json.dumps(answer).encode() + b"\n")
            async with asyncio.timeout(_REQUEST_SECONDS):
                await writer.drain()
        except (
            OSError,
            TimeoutError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
        ) as exc:
            log.debug("control_request_unusable", reason=type(exc).__name__)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _is_own_account(writer: asyncio.StreamWriter) -> bool:
        """Whether the peer runs as this account, or as root, which could be it anyway."""
        return _peer_account(writer) in {0, os.geteuid()}

    def _peer_account(writer: asyncio.StreamWriter) -> int:
        """Return whom the kernel names; without its word, the socket file's mode has decided."""
        kind = getattr(socket, "SO_PEERCRED", None)
        if kind is None:
            return os.geteuid()
        peer = writer.get_extra_info("socket")
        _, uid, _ = struct.unpack(
            "3i", peer.getsockopt(socket.SOL_SOCKET, kind, struct.calcsize("3i"))
        )
        return int(uid)
