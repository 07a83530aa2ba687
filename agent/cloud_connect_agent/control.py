"""How the command line talks to a running agent: a Unix socket of the account, one line each.

The request is one JSON object on one line, ``{"command": …}``, and so is the answer. Nothing
listens on the network. Windows has named pipes for this; they belong beside these functions.
"""

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import structlog

from cloud_connect.errors import CloudConnectError, ConfigurationError

__all__ = ["AgentNotRunningError", "Answer", "Handler", "ask", "serve_control"]

log = structlog.get_logger(__name__)

Answer: TypeAlias = dict[str, Any]
Handler: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[Answer]]

_MAX_REQUEST_BYTES: Final = 4 * 1024
_MAX_ANSWER_BYTES: Final = 256 * 1024
_REQUEST_SECONDS: Final = 5.0  # for a request to arrive: the asker is on this machine
_MAX_CLIENTS: Final = 16
_MAX_PATH_BYTES: Final = 107  # of sockaddr_un; the kernel refuses longer ones


class AgentNotRunningError(CloudConnectError):
    """No agent answers on these folders."""


@asynccontextmanager
async def serve_control(path: Path, handler: Handler) -> AsyncIterator[None]:
    """Answer requests on the socket *path* meanwhile.

    The caller holds the agent's lock, so a socket file that is there already is a leftover.
    """
    with _reachable(path) as short:
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(short)
            path.chmod(0o600)
        except OSError as exc:
            listener.close()
            raise ConfigurationError(
                f"The control socket {path} cannot be made: {exc.strerror}."
            ) from exc
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

        server = await asyncio.start_unix_server(accept, sock=listener, limit=_MAX_REQUEST_BYTES)
        try:
            yield
        finally:
            server.close()
            path.unlink(missing_ok=True)


def ask(path: Path, request: Mapping[str, Any], *, timeout: float = 10.0) -> Answer:
    """Ask the running agent; blocking, for the command line.

    Raises:
        AgentNotRunningError: If none answers.
        CloudConnectError: If it refuses; the message is the agent's.
    """
    try:
        with _reachable(path) as short, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(short)
            connection.sendall(json.dumps(request).encode() + b"\n")
            received = bytearray()
            while not received.endswith(b"\n") and len(received) <= _MAX_ANSWER_BYTES:
                chunk = connection.recv(64 * 1024)
                if not chunk:
                    break
                received += chunk
        answer = json.loads(received)
    except (OSError, ValueError) as exc:
        raise AgentNotRunningError(
            "No agent answers on this PC; start it with `cloud-connect run`."
        ) from exc
    if not isinstance(answer, dict):
        raise AgentNotRunningError("The agent's answer cannot be read.")
    if answer.get("ok") is not True:
        raise CloudConnectError(str(answer.get("error", "The agent refused.")))
    return answer


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
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as exc:
        log.debug("control_request_unusable", reason=type(exc).__name__)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


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


def _is_own_account(writer: asyncio.StreamWriter) -> bool:
    """Whether the peer runs as this account, or as root, which could be it anyway."""
    peer = writer.get_extra_info("socket")
    kind = getattr(socket, "SO_PEERCRED", None)
    if kind is None:
        return True  # the file's mode decides alone
    _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, kind, struct.calcsize("3i")))
    return uid in {0, os.geteuid()}


@contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """Yield a name for *path* that is short enough for a socket's address."""
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES:
        yield str(path)
        return
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)
