"""Sockets that come to stay and say next to nothing: they are closed, and others notice little."""

import asyncio
import contextlib
import random
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from cloud_connect.signing import SigningKey
from doubles.certificates import Authority
from doubles.fleet import Fleet, fleet
from doubles.hammer import hammer, p99
from doubles.raw_agent import SUBPROTOCOLS, agent_side, greet
from doubles.raw_frames import TEXT, ws_frame

SOCKETS: Final = 2000  # on each of the two ports
ADDRESSES: Final = 200
WITHIN: Final = 10.0  # seconds in which each must be gone, as the catalogue has it
CRUMB_SECONDS: Final = 3.0
PATIENCE: Final = 20.0
HONEST_WITHIN: Final = 1.0

UPGRADE: Final = (
    b"GET /tunnel HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Protocol: cloud-connect.v1\r\n\r\n"
)
LONG_BODY: Final = b"Host: relay\r\nContent-Length: 1000\r\n\r\n{"
# What a socket says at first, and what it says again and again.
ON_HTTP: Final = {
    "silent": (b"", b""),
    "a head in crumbs": (b"GET /healthz HTTP/1.1\r\n", b"X"),
    "line ends only": (b"\r\n", b"\r\n"),
    "line ends behind a request": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n\r\n", b"\r\n"),
    "a body that nobody wants": (b"POST /api/connectors HTTP/1.1\r\n" + LONG_BODY, b" "),
    "a body of a sign-in": (b"POST /Token HTTP/1.1\r\n" + LONG_BODY, b" "),
    "a body of an enrolment": (b"POST /api/enrol HTTP/1.1\r\n" + LONG_BODY, b" "),
    "chunks": (
        b"POST /Token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\n \r\n",
    ),
}
AFTER_A_REQUEST: Final = {"line ends behind a request"}  # their clock begins with the first one
ON_TLS: Final = {
    "silent": (b"", b""),
    "a hello in crumbs": (b"\x16\x03\x01\x02\x00\x01", b"\0"),  # a record of 512 bytes begins
}
ON_TUNNEL: Final = {
    "silent": (b"", b""),
    "a head in crumbs": (b"GET /tunnel HTTP/1.1\r\n", b"X"),
    "an upgrade and no more": (UPGRADE, b""),
    "a hello in crumbs": (UPGRADE + ws_frame(TEXT, b"", mask=True, length=900), b" "),
    "fragments": (
        UPGRADE + ws_frame(TEXT, b"{", mask=True, fin=False),
        ws_frame(0, b" ", mask=True, fin=False),
    ),
    "pings": (UPGRADE, ws_frame(9, mask=True)),
}


class Sloth(asyncio.Protocol):
    """One socket that stays as long as it may."""

    def __init__(self, first: bytes, crumb: bytes) -> None:
        self._first: Final = first
        self._crumb: Final = crumb
        self._loop = asyncio.get_running_loop()
        self._began = 0.0
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.lasted: asyncio.Future[float] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._began = self._loop.time()
        transport.write(self._first)
        self._timer = self._loop.call_later(CRUMB_SECONDS, self._more)

    def _more(self) -> None:
        assert self._transport is not None
        self._transport.write(self._crumb)
        self._timer = self._loop.call_later(CRUMB_SECONDS, self._more)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._timer is not None:
            self._timer.cancel()
        if not self.lasted.done():
            self.lasted.set_result(self._loop.time() - self._began)


def addresses() -> Iterator[str]:
    while True:
        for number in range(ADDRESSES):
            yield f"127.0.{1 + number // 100}.{1 + number % 100}"


async def beset(
    port: int, kinds: dict[str, tuple[bytes, bytes]], count: int
) -> dict[str, list[float]]:
    """Open sockets of every kind, and return how long each lasted."""
    loop = asyncio.get_running_loop()
    sloths: list[tuple[str, Sloth]] = []
    source = addresses()
    names = [name for _, name in zip(range(count), _round(kinds), strict=False)]
    random.Random(92).shuffle(names)
    for name in names:
        with contextlib.suppress(ConnectionError):
            _, sloth = await loop.create_connection(
                lambda name=name: Sloth(*kinds[name]),  # type: ignore[misc]  # bound at once
                "127.0.0.1",
                port,
                local_addr=(next(source), 0),
            )
            sloths.append((name, sloth))
    lasted: dict[str, list[float]] = {name: [] for name in kinds}
    async with asyncio.timeout(PATIENCE):
        for name, sloth in sloths:
            lasted[name].append(await sloth.lasted)
    return lasted


def _round(kinds: dict[str, tuple[bytes, bytes]]) -> Iterator[str]:
    while True:
        yield from kinds


class Honest:
    """An agent and a caller who do nothing wrong; how long each of their tries took."""

    def __init__(self, relay: Fleet) -> None:
        self._relay: Final = relay
        self._key: Final = SigningKey.generate()
        self.handshakes: Final[list[float]] = []
        self.requests: Final[list[float]] = []

    async def go_on(self) -> None:
        connector = await self._relay.store.connector(
            public_key=self._key.public_key, key_id=self._key.key_id, generation=0
        )
        generation = 0
        while True:
            began = time.monotonic()
            generation = await self._connect(connector, generation)
            self.handshakes.append(time.monotonic() - began)
            began = time.monotonic()
            async with hammer(self._relay.relay.ready["api_url"], {}) as asking:
                assert (await asking.get("/healthz")).status == 200
            self.requests.append(time.monotonic() - began)
            await asyncio.sleep(0.05)

    async def _connect(self, connector: str, generation: int) -> int:
        while True:  # who is refused comes again; that it took longer counts
            with contextlib.suppress(OSError, InvalidHandshake, ConnectionClosed, EOFError):
                async with connect(
                    self._relay.relay.ready["tunnel_url"],
                    subprotocols=SUBPROTOCOLS,
                    compression=None,
                    proxy=None,
                    ping_interval=None,
                ) as socket:
                    agent = agent_side(
                        self._relay.store, connector, self._key, generation=generation
                    )
                    following = await greet(socket, agent)
                    await socket.send(agent.confirm())
                    assert isinstance(await socket.recv(), bytes)  # SETTINGS: it is in
                    return following
            await asyncio.sleep(0.02)


def tls_relay(folder: Path) -> AbstractAsyncContextManager[Fleet]:
    folder.mkdir()
    certificate, key = Authority.make().issue(folder, "localhost")
    return fleet(folder, arguments=("--tls-cert", str(certificate), "--tls-key", str(key)))


@pytest.mark.catalogue("T92")
@pytest.mark.timeout(90)
async def test_sockets_that_come_to_stay_are_closed_and_honest_ones_get_in(tmp_path: Path) -> None:
    async with (
        fleet(tmp_path / "plain") as relay,
        tls_relay(tmp_path / "tls") as secured,
        asyncio.TaskGroup() as tasks,
    ):
        ready = relay.relay.ready
        honest = Honest(relay)
        going = tasks.create_task(honest.go_on())
        async with asyncio.TaskGroup() as flood:
            floods = {
                "api": flood.create_task(beset(ready["port"], ON_HTTP, SOCKETS)),
                "tunnel": flood.create_task(beset(ready["tunnel_port"], ON_TUNNEL, SOCKETS)),
                **{
                    f"{port} with TLS": flood.create_task(
                        beset(secured.relay.ready[port], ON_TLS, 20)
                    )
                    for port in ("port", "tunnel_port")
                },
            }
        going.cancel()
        longest = {
            f"{port}: {name}": max(lasted) - (CRUMB_SECONDS if name in AFTER_A_REQUEST else 0)
            for port, found in floods.items()
            for name, lasted in found.result().items()
        }
        print(f"T92: longest {max(longest.values()):.2f} s;"  # noqa: T201
              f" {len(honest.handshakes)} honest handshakes, p99 {p99(honest.handshakes):.2f} s;"
              f" requests p99 {p99(honest.requests):.2f} s")  # fmt: skip
        assert {name: took for name, took in longest.items() if took > WITHIN} == {}
        assert len(honest.handshakes) >= 50
        assert p99(honest.handshakes) <= HONEST_WITHIN
        assert p99(honest.requests) <= HONEST_WITHIN
        async with asyncio.timeout(10):
            while (await relay.gauges())["cloud_connect_handshakes_pending"]:
                await asyncio.sleep(0.05)
        assert relay.relay.usage.descriptors < 100
