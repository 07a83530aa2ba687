"""The control pipe: how commands talk to a running agent on Windows, where no Unix socket is.

A pipe's name is open to every program on the PC, also before the agent makes it, and from other PCs
unless that is refused. So it is made exclusively, for this PC only, with a list of who may open it;
and who opens it looks at whose it is before a word is said. What is decided stands here; the calls
to Windows are ``windows_pipe_api``'s.
"""

import asyncio
import hashlib
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import CancelledError, Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import structlog

from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.hosting.windows_access import pipe_access, trusted_owner
from cloud_connect_agent.hosting.windows_sddl import AccessList

__all__ = [
    "PipeClient",
    "PipeConnection",
    "PipeEnd",
    "PipeMaker",
    "PipeSpec",
    "exchange",
    "pipe_name",
    "pipe_spec",
    "serve_pipe",
]

log = structlog.get_logger(__name__)

_DUPLEX: Final = 0x3  # PIPE_ACCESS_DUPLEX
_OVERLAPPED: Final = 0x40000000  # FILE_FLAG_OVERLAPPED: every wait can be bounded
_FIRST: Final = 0x80000  # FILE_FLAG_FIRST_PIPE_INSTANCE: fails if somebody has the name
_REJECT_REMOTE: Final = 0x8  # PIPE_REJECT_REMOTE_CLIENTS, of a byte pipe that blocks
_INSTANCES: Final = 8  # clients at a time; a ninth waits for its turn
_BUFFER_BYTES: Final = 64 * 1024
_MAX_REQUEST_BYTES: Final = 4 * 1024
_MAX_ANSWER_BYTES: Final = 256 * 1024
_SECONDS: Final = 5.0  # for a request to arrive and an answer to be taken: both are on this PC


@dataclass(frozen=True, slots=True, kw_only=True)
class PipeSpec:
    """What one instance of the pipe is made with."""

    name: str
    open_mode: int
    pipe_mode: int
    instances: int
    buffer_bytes: int
    access: AccessList


class PipeEnd(Protocol):
    """One instance of the pipe, on the agent's side; its methods block their thread."""

    def accept(self) -> bool:
        """Wait for a client; return ``False`` once interrupted."""
        ...

    def read(self, most: int, *, seconds: float) -> bytes:
        """Return up to *most* bytes; none if the client went away.

        Raises:
            TimeoutError: If none came in time.
            OSError: If the pipe broke.
        """
        ...

    def write(self, data: bytes, *, seconds: float) -> None:
        """Write all of *data*.

        Raises:
            TimeoutError: If the client did not take it in time.
            OSError: If the pipe broke.
        """
        ...

    def hang_up(self) -> None:
        """End the talk with this client, so that another can come."""
        ...

    def interrupt(self) -> None:
        """End what blocks and take no more clients; called from another thread."""
        ...

    def close(self) -> None:
        """Give the instance back."""
        ...


class PipeMaker(Protocol):
    """Makes instances."""

    def own_account(self) -> str:
        """Return the SID of the account that the agent runs as."""
        ...

    def make(self, spec: PipeSpec) -> PipeEnd:
        """Make an instance.

        Raises:
            ConfigurationError: If another program has the name, or Windows refuses.
        """
        ...


class PipeConnection(Protocol):
    """A command's side of the pipe."""

    def owner(self) -> str:
        """Return the SID of the account that made the pipe."""
        ...

    def read(self, most: int, *, seconds: float) -> bytes:
        """Return up to *most* bytes; none if the agent went away."""
        ...

    def write(self, data: bytes, *, seconds: float) -> None:
        """Write all of *data*."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


class PipeClient(Protocol):
    """Opens the pipe."""

    def own_account(self) -> str:
        """Return the SID of the account that asks."""
        ...

    def open(self, name: str, *, seconds: float) -> PipeConnection:
        """Open it; nobody at its other end can act as this account.

        Raises:
            TimeoutError: If it stayed busy.
            PermissionError: If this account may not.
            OSError: If there is none.
        """
        ...


def pipe_name(path: Path) -> str:
    """Return the name of the pipe that stands for the socket *path*: each home has its own."""
    folder = hashlib.sha256(str(path).lower().encode()).hexdigest()[:32]
    return f"\\\\.\\pipe\\cloud-connect-{folder}"


def pipe_spec(name: str, *, server: str, first: bool) -> PipeSpec:
    """Return what an instance is made with.

    Args:
        server: The SID of the account that the agent runs as.
        first: Whether it is the one that claims the name.
    """
    return PipeSpec(
        name=name,
        open_mode=_DUPLEX | _OVERLAPPED | (_FIRST if first else 0),
        pipe_mode=_REJECT_REMOTE,
        instances=_INSTANCES,
        buffer_bytes=_BUFFER_BYTES,
        access=pipe_access(server),
    )


@asynccontextmanager
async def serve_pipe(
    path: Path, answer: Callable[[bytes], Awaitable[bytes]], *, maker: PipeMaker
) -> AsyncIterator[None]:
    """Have *answer*, in this loop, reply to each line that comes through the pipe meanwhile.

    Raises:
        ConfigurationError: If another program has the pipe.
    """
    loop = asyncio.get_running_loop()
    server = maker.own_account()
    ends = [
        maker.make(pipe_spec(pipe_name(path), server=server, first=number == 0))
        for number in range(_INSTANCES)
    ]
    async with asyncio.TaskGroup() as group:

        async def respond(line: bytes, reply: "Future[bytes]") -> None:
            try:
                reply.set_result(await answer(line))
            finally:
                reply.cancel()  # does nothing to one that is set

        def ask(line: bytes) -> bytes:
            reply: Future[bytes] = Future()

            def begin() -> None:
                group.create_task(respond(line, reply), name="control-client")

            loop.call_soon_threadsafe(begin)
            return reply.result()

        threads = [
            threading.Thread(target=_serve, args=(end, ask), name="control-pipe", daemon=True)
            for end in ends
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for end in ends:
                end.interrupt()
            await asyncio.to_thread(_join, threads)
            for end in ends:
                end.close()


def exchange(path: Path, line: bytes, *, timeout: float, client: PipeClient) -> bytes:
    """Send a line to the agent and return its answer.

    Raises:
        TimeoutError: If it does not answer in time.
        CloudConnectError: If this account may not ask, or another program is in its place.
        OSError: If there is none.
    """
    deadline = time.monotonic() + timeout
    try:
        connection = client.open(pipe_name(path), seconds=timeout)
    except PermissionError as exc:
        raise CloudConnectError(
            "Only administrators and the agent's own account may ask this agent; open the terminal "
            "with `Run as administrator`."
        ) from exc
    try:
        if not trusted_owner(connection.owner(), own=client.own_account()):
            raise CloudConnectError(
                f"A program of another account ({connection.owner()}) answers in the agent's "
                "place, so nothing was said to it; find out which account that is."
            )
        connection.write(line, seconds=max(0.0, deadline - time.monotonic()))
        return _line(connection, most=_MAX_ANSWER_BYTES, deadline=deadline)
    finally:
        connection.close()


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


def _serve(end: PipeEnd, ask: Callable[[bytes], bytes]) -> None:
    while end.accept():
        try:
            line = _line(end, most=_MAX_REQUEST_BYTES, deadline=time.monotonic() + _SECONDS)
            if line.endswith(b"\n"):
                end.write(ask(line), seconds=_SECONDS)
                end.read(1, seconds=_SECONDS)  # it hangs up once it has read all
        except (OSError, CancelledError) as exc:  # TimeoutError is an OSError
            log.debug("control_request_unusable", reason=type(exc).__name__)
        finally:
            end.hang_up()


def _line(end: PipeEnd | PipeConnection, *, most: int, deadline: float) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n") and len(received) <= most:
        chunk = end.read(_BUFFER_BYTES, seconds=max(0.0, deadline - time.monotonic()))
        if not chunk:
            break
        received += chunk
    return bytes(received)
