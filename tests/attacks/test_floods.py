"""Floods of frames that carry nothing: cut off at once, and the neighbours notice little."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from cloud_connect.signing import SigningKey
from cloud_connect.tunnel import Frame, FrameType, Limits
from doubles.fleet import Fleet, fleet
from doubles.flooder import Flood, flood
from doubles.hammer import hammer, p99
from doubles.raw_agent import agent_side
from doubles.raw_frames import BINARY, CONT, PING, PONG, TEXT, ws_frame
from doubles.scripted_agent import ScriptedAgent

WITHIN: Final = 5.0  # seconds in which a flood must be over
MORE_RSS: Final = 10 * 1024 * 1024
SECONDS_EACH: Final = 0.4  # of one kind of flood, again and again
NEIGHBOURS: Final = 4
# The neighbours' purpose: that nobody's flood delays them for long. The machine runs other
# tests, too, so that a few hundredths of a second say nothing.
NOISE: Final = 0.05
MEBIBYTE: Final = 1024 * 1024


def tunnel(*frames: Frame) -> bytes:
    return ws_frame(BINARY, b"".join(frame.encode() for frame in frames), mask=True)


class Kind(NamedTuple):
    """One kind of flood: what comes first, what comes again and again, how much of it."""

    piece: bytes
    first: bytes = b""
    limit: int = 8 * MEBIBYTE  # over a million empty fragments


SETTINGS: Final = tunnel(
    Frame(
        kind=FrameType.SETTINGS,
        payload=b"".join(
            number.to_bytes(2) + value.to_bytes(4)
            for number, value in ((1, 1), (2, 1), (3, 1024), (4, 262144), (5, 4194304))
        ),
    )
)
OF_STRANGERS: Final = {
    "empty fragments": Kind(
        ws_frame(CONT, mask=True, fin=False), ws_frame(TEXT, mask=True, fin=False)
    ),
    "pings": Kind(ws_frame(PING, mask=True)),
    "bytes": Kind(bytes(1024)),
}
OF_AGENTS: Final = {
    "empty fragments": Kind(
        ws_frame(CONT, mask=True, fin=False), ws_frame(BINARY, mask=True, fin=False)
    ),
    "fragments of a byte": Kind(
        ws_frame(CONT, b"x", mask=True, fin=False), ws_frame(BINARY, mask=True, fin=False)
    ),
    "messages in two crumbs": Kind(
        ws_frame(BINARY, b"\0", mask=True, fin=False) + ws_frame(CONT, mask=True)
    ),
    "pings": Kind(ws_frame(PING, mask=True)),
    "long pings": Kind(ws_frame(PING, b"x" * 125, mask=True)),
    "pongs": Kind(ws_frame(PONG, b"x", mask=True)),
    "pings of the tunnel": Kind(tunnel(Frame(kind=FrameType.PING, payload=bytes(8))), SETTINGS),
    "messages full of them": Kind(
        tunnel(*[Frame(kind=FrameType.PING, payload=bytes(8))] * 1000), SETTINGS
    ),
    "frames of no known kind": Kind(tunnel(Frame(kind=99)), SETTINGS),
    "credit of a byte": Kind(
        tunnel(Frame(kind=FrameType.WINDOW_UPDATE, payload=bytes((0, 0, 0, 1, 0, 64, 0, 0)))),
        SETTINGS,
    ),
    "farewells": Kind(tunnel(Frame(kind=FrameType.GOAWAY, payload=bytes(8))), SETTINGS),
}


class Attacker:
    """Floods the relay with one kind after another; each of its agents is a real connector."""

    def __init__(self, relay: Fleet) -> None:
        self._relay: Final = relay
        self._key: Final = SigningKey.generate()
        self.floods: Final[dict[str, list[Flood]]] = {}

    async def run(self) -> None:
        port = self._relay.relay.ready["tunnel_port"]
        for name, kind in OF_STRANGERS.items():
            until = time.monotonic() + SECONDS_EACH
            while time.monotonic() < until:
                await self._one(f"stranger: {name}", port, kind)
        for name, kind in OF_AGENTS.items():
            connector = await self._relay.store.connector(
                public_key=self._key.public_key, key_id=self._key.key_id, generation=0
            )
            generation = 0
            until = time.monotonic() + SECONDS_EACH
            while time.monotonic() < until:
                agent = agent_side(self._relay.store, connector, self._key, generation=generation)
                generation += 1
                await self._one(f"agent: {name}", port, kind, agent=agent)

    async def _one(self, name: str, port: int, kind: Kind, **more: object) -> None:
        done = await asyncio.to_thread(
            flood,
            port,
            kind.piece,
            first=kind.first,
            limit=kind.limit,
            **more,  # type: ignore[arg-type]
        )
        self.floods.setdefault(name, []).append(done)


async def neighbours(relay: Fleet, paths: list[str], took: list[float]) -> None:
    """Call over the neighbours' connectors, one after another, until cancelled."""
    key = {"Authorization": f"Bearer {relay.store.api_key}"}
    async with hammer(relay.relay.ready["api_url"], key) as asking:
        while True:
            for path in paths:
                hit = await asking.get(f"{path}/procore/rest/v1.0/me")
                assert hit.status == 200
                took.append(hit.seconds)
                await asyncio.sleep(0.005)


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Fleet]:
    many = "[tunnel]\nhandshakes_per_second = 10000\nmax_pending_per_source = 1000\n"
    async with fleet(tmp_path, settings=many) as made:
        yield made


@pytest.mark.catalogue("T89")
@pytest.mark.timeout(90)
async def test_flood_is_cut_off_and_its_neighbours_notice_little(relay: Fleet) -> None:
    members = await relay.enlist(NEIGHBOURS, handler=ScriptedAgent())
    await relay.until_online(within=20)
    paths = [await relay.datasource(member) for member in members]
    calm: list[float] = []
    beset: list[float] = []
    async with asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(neighbours(relay, paths, calm))
        await asyncio.sleep(1)
        calling.cancel()
    before = relay.relay.usage.rss_bytes
    most = before

    async def weigh() -> None:
        nonlocal most
        while True:
            most = max(most, relay.relay.usage.rss_bytes)
            await asyncio.sleep(0.02)

    attacker = Attacker(relay)
    async with asyncio.TaskGroup() as tasks:
        watching = [
            tasks.create_task(weigh()),
            tasks.create_task(neighbours(relay, paths, beset)),
        ]
        await attacker.run()
        for task in watching:
            task.cancel()
    slow = {
        name: max(one.seconds for one in floods)
        for name, floods in attacker.floods.items()
        if not all(one.closed and one.seconds <= WITHIN for one in floods)
    }
    longest = max(one.seconds for floods in attacker.floods.values() for one in floods)
    count = sum(map(len, attacker.floods.values()))
    print(f"T89: {count} floods, the longest {longest:.2f} s;"  # noqa: T201
          f" RSS +{(most - before) / MEBIBYTE:.1f} MiB;"
          f" neighbours p99 {p99(calm) * 1000:.0f} ms, then {p99(beset) * 1000:.0f} ms"
          f" of {len(beset)}")  # fmt: skip
    assert slow == {}
    assert len(attacker.floods) == len(OF_STRANGERS) + len(OF_AGENTS)
    assert most - before <= MORE_RSS
    assert p99(beset) <= max(2 * p99(calm), NOISE)
    assert all(member.connects == 1 for member in members)
    assert Limits().flood_burst == 1000


@pytest.mark.catalogue("T90")
@pytest.mark.timeout(90)
async def test_message_that_is_too_long_is_refused_before_it_is_held(relay: Fleet) -> None:
    port = relay.relay.ready["tunnel_port"]
    key = SigningKey.generate()
    connector = await relay.store.connector(
        public_key=key.public_key, key_id=key.key_id, generation=0
    )
    most = 128 * 1024 + 1024  # of a message of a session
    lengths = (most + 1, 2**30, 2**62, 2**63)

    def attack(generation: int) -> list[Flood]:
        found = []
        for number, length in enumerate(lengths):
            first = ws_frame(BINARY, mask=True, length=length)
            agent = agent_side(relay.store, connector, key, generation=generation + number)
            found.append(flood(port, bytes(1024), first=first, limit=8 * MEBIBYTE, agent=agent))
            found.append(flood(port, bytes(1024), first=first, limit=8 * MEBIBYTE))
        return found

    for turn in range(4):  # what the first ones load is not theirs
        await asyncio.to_thread(attack, turn * len(lengths))
    before = relay.relay.usage.rss_bytes
    floods = [
        one for turn in range(4, 6) for one in await asyncio.to_thread(attack, turn * len(lengths))
    ]
    more = relay.relay.usage.rss_bytes - before
    print(f"T90: {len(floods)} messages, RSS {more / MEBIBYTE:+.2f} MiB")  # noqa: T201
    assert all(one.closed and one.seconds <= WITHIN for one in floods)
    assert more <= MEBIBYTE
