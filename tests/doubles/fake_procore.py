"""A scriptable Procore on loopback: answers as told, to the byte, and remembers everything."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from cloud_connect.calls import Environment, Source
from cloud_connect_agent.settings import EnvironmentSettings, ProcoreSettings

SANDBOX = Environment.DEVELOPER_SANDBOX
SECRET = "s3cret"
SOURCE = Source(company_id=8089, environment=SANDBOX)


@dataclass
class Seen:
    """One request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    at: float


@dataclass
class Reply:
    """One answer.

    Attributes:
        cut: Send so many bytes of the body, then drop the connection.
        hang: Instead of dropping it, say nothing more.
        raw: The whole answer as bytes on the wire, instead of all that.
        delay: Seconds before the head.
        chunks: The body in pieces, chunked.
        close: Close the connection in order, right behind the last byte and without a word of it.
    """

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    raw: bytes | None = None
    delay: float = 0.0
    chunks: list[bytes] | None = None
    drop: bool = False
    hang: bool = False
    dated: bool = True
    close: bool = False

    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Answer = Callable[[Seen], Reply | Awaitable[Reply]]


class FakeHost:
    """One origin."""

    def __init__(self, default: Answer) -> None:
        self.default = default
        self.seen: list[Seen] = []
        self.script: deque[Reply | Answer] = deque()
        self.connections = 0
        self.open = 0
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    def then(self, *answers: Reply | Answer) -> None:
        """Answer the next requests so."""
        self.script.extend(answers)

    @asynccontextmanager
    async def serve(self, ssl: Any = None, *, at: str = "127.0.0.1") -> AsyncIterator["FakeHost"]:
        server = await asyncio.start_server(self._connected, at, 0, ssl=ssl, limit=2**20)
        port = server.sockets[0].getsockname()[1]
        place = f"[{at}]" if ":" in at else at
        self.url = f"{'https' if ssl else 'http'}://{place}:{port}"
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        number = self.connections
        try:
            while await self._exchange(reader, writer, number):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.transport.abort()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        start, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = start.split(" ")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        body = await self._body(reader, headers)
        seen = Seen(method, target, headers, body, number, time.monotonic())
        self.seen.append(seen)
        answer = self.script.popleft() if self.script else self.default
        if not isinstance(answer, Reply):
            made = answer(seen)
            answer = made if isinstance(made, Reply) else await made
        until = time.monotonic() + answer.delay
        while time.monotonic() < until:
            if reader.at_eof():
                return False  # the client went away
            await asyncio.sleep(0.01)
        return await self._answer(answer, seen, reader, writer)

    async def _body(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            parts = []
            while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
                parts.append(await reader.readexactly(size))
                await reader.readexactly(2)
            await reader.readexactly(2)
            return b"".join(parts)
        return await reader.readexactly(int(headers.get("content-length", "0")))

    async def _answer(  # noqa: C901 - one branch per thing that can go wrong
        self, reply: Reply, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        if reply.drop:
            return False
        if reply.raw is not None:
            writer.write(reply.raw)
            await writer.drain()
            return False
        data = reply.data()
        headers = dict(reply.headers)
        if reply.dated:
            headers.setdefault("date", formatdate(usegmt=True))
        if data and not isinstance(reply.body, bytes):
            headers.setdefault("content-type", "application/json")
        if reply.chunks is not None:
            headers["transfer-encoding"] = "chunked"
        else:
            headers.setdefault("content-length", str(len(data)))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {reply.status} X\r\n{lines}\r\n".encode("latin-1"))
        for chunk in reply.chunks or ():
            writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            await writer.drain()
        if reply.cut is not None:
            writer.write(data[: reply.cut])
            await writer.drain()
            while reply.hang and not reader.at_eof():
                await asyncio.sleep(0.01)
            return False
        if reply.chunks is not None:
            writer.write(b"0\r\n\r\n")
        elif seen.method != "HEAD":
            writer.write(data)
        await writer.drain()
        if reply.close:
            writer.close()
            await writer.wait_closed()
            return False
        return seen.headers.get("connection") != "close"


class FakeProcore:
    """An API host and a login host."""

    def __init__(self) -> None:
        self.api = FakeHost(lambda _: Reply(body={"id": 1}))
        self.login = FakeHost(self._token)
        self.tokens = 0
        self.lifetime = 5400

    def _token(self, seen: Seen) -> Reply:
        if seen.target.endswith("/oauth/revoke"):
            return Reply(body={})
        if seen.target.endswith("/oauth/token/info"):
            return Reply(body={"expires_in_seconds": 5312})
        self.tokens += 1
        return Reply(
            body={
                "access_token": f"token-{self.tokens}",
                "token_type": "bearer",
                "expires_in": self.lifetime,
                "created_at": int(time.time()),
            }
        )

    @property
    def settings(self) -> ProcoreSettings:
        return ProcoreSettings(
            environments={
                SANDBOX.flag: EnvironmentSettings(api_url=self.api.url, login_url=self.login.url)
            }
        )

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["FakeProcore"]:
        async with self.api.serve(), self.login.serve():
            yield self


class MemoryVault:
    """A vault in memory, in the order things were written."""

    def __init__(self) -> None:
        self.secrets: dict[str, bytes] = {}
        self.history: list[tuple[str, bytes]] = []
        self.reads = 0
        self.holders = 0

    def store_app(self, client_id: str = "app-1", client_secret: str = SECRET) -> None:
        self.secrets[f"procore-app/{SANDBOX.flag}"] = json.dumps(
            {"client_id": client_id, "client_secret": client_secret}
        ).encode()

    async def get(self, name: str) -> bytes | None:
        self.reads += 1
        return self.secrets.get(name)

    async def put(self, name: str, value: bytes) -> None:
        self.secrets[name] = value
        self.history.append((name, value))

    @asynccontextmanager
    async def hold(self, name: str, *, seconds: float) -> AsyncIterator[None]:
        assert seconds > 30  # another holder may wait that long for Procore
        assert name.startswith("procore-token/")
        while self.holders:
            await asyncio.sleep(0.005)
        self.holders += 1
        try:
            yield
        finally:
            self.holders -= 1

    async def delete(self, name: str) -> None:
        self.secrets.pop(name, None)
