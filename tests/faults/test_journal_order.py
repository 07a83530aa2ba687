"""What reaches the disk before what leaves the PC, seen by the kernel's eyes (T5, T6)."""

import asyncio
import random
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import pytest

from cloud_connect.tunnel.frames import FrameType
from cloud_connect_agent.journal import Journal
from doubles.checker import check
from doubles.program import Program
from doubles.seeds import chosen_seed
from doubles.tools import tool
from doubles.world import World, open_world

WRITES: Final = 200
SNAPSHOTS: Final = 200

CALL: Final = re.compile(r"^(\d+) +(\d+\.\d+) (?:<\.\.\. )?(\w+)(?:\((.*)| resumed>(.*))$")
BYTES: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
LOG: Final = b"-wal".hex(" ").replace(" ", "\\x") + ">"  # as strace -xx writes paths
SENDS: Final = frozenset({"write", "writev", "sendto", "sendmsg"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One thing that the kernel saw: ``flush``, ``request`` or ``result``."""

    what: str
    line: int


def seen_in(trace: Path, *, procore: int, tunnel: int) -> Iterator[Seen]:
    """Read a trace of strace in the order of its lines."""
    flushing: set[str] = set()
    rest: dict[str, bytes] = {}
    for number, line in enumerate(trace.read_text(errors="replace").splitlines()):
        found = CALL.match(line)
        if found is None:
            continue
        pid, _, name, began, resumed = found.groups()
        if name == "fdatasync":
            if began is not None and LOG in began:
                flushing.add(pid)
            if pid in flushing and line.endswith("= 0"):  # it has returned
                flushing.discard(pid)
                yield Seen(what="flush", line=number)
        elif name in SENDS and began is not None:
            data = b"".join(bytes.fromhex(part.replace("\\x", "")) for part in BYTES.findall(began))
            if f":{procore}]>" in began and data.startswith(b"POST "):
                yield Seen(what="request", line=number)
            elif f":{tunnel}]>" in began and not data.startswith(b"GET "):
                data = rest.pop("tunnel", b"") + data
                messages, rest["tunnel"] = messages_in(data)
                if any(is_result(message) for message in messages):
                    yield Seen(what="result", line=number)
        del resumed


def messages_in(data: bytes) -> tuple[list[bytes], bytes]:
    """Unmask the WebSocket messages that an agent sent; return what is left over, too."""
    messages = []
    while len(data) >= 6 and data[0] in {0x81, 0x82, 0x88, 0x89, 0x8A}:
        size, at = data[1] & 0x7F, 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(data[2:10], "big"), 10
        end = at + 4 + size
        if len(data) < end:
            break
        mask = data[at : at + 4]
        message = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data[at + 4 : end]))
        if data[0] == 0x82:
            messages.append(message)
        data = data[end:]
    return messages, data


def is_result(message: bytes) -> bool:
    """Whether it has the head of a create's answer."""
    while len(message) >= 9:
        size = int.from_bytes(message[:3], "big")
        kind, stream_id = message[3], int.from_bytes(message[5:9], "big")
        payload, message = message[9 : 9 + size], message[9 + size :]
        if kind == FrameType.HEADERS and stream_id % 2 and b'"status":201' in payload:
            assert orjson.loads(payload)["outcome"] == "completed"
            return True
    return False


@pytest.mark.nightly
@pytest.mark.catalogue("T5")
@pytest.mark.timeout(300)
async def test_nothing_leaves_the_pc_before_what_it_means_is_on_the_disk(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    async with open_world(tmp_path, tunnel_proxies=False) as world:
        agent, caller = world.agent, await world.caller()
        await agent.program.stop()
        calls = ",".join(("fdatasync", "fsync", *sorted(SENDS)))
        agent.program.prefix = (
            *(tool("strace"), "-f", "-yy", "-xx", "-ttt", "-s", "65536"),
            *("-e", f"trace={calls}", "-o", str(trace)),
        )
        await agent.program.start()
        await world.until_status("online", within=60)
        for number in range(WRITES):
            assert (await caller.create(f"traced-{number}")).outcome == "completed"
        await agent.program.stop()
        procore, tunnel = _ports(world)
        seen = [one.what for one in seen_in(trace, procore=procore, tunnel=tunnel)]
    assert seen.count("request") == seen.count("result") == WRITES, seen
    violations = 0
    flushes = 0
    for what in seen:
        if what == "flush":
            flushes += 1
        elif what == "request":  # the receipt and the intent are on the disk
            violations += flushes < 2
            flushes = 0
        else:  # the result is
            violations += flushes < 1
            flushes = 0
    print(f"{WRITES} writes, {violations} violations")  # noqa: T201 - the measured result
    assert violations == 0


def _ports(world: World) -> tuple[int, int]:
    url = str(world.simulator["api_url"])
    return int(url.rstrip("/").rpartition(":")[2]), int(world.relay.ready["tunnel_port"])


@pytest.mark.nightly
@pytest.mark.catalogue("T6")
@pytest.mark.timeout(300)
async def test_journal_copied_at_any_instant_is_whole_and_has_all_that_was_told(
    tmp_path: Path,
) -> None:
    copies, dice = tmp_path / "copies", random.Random(chosen_seed())
    copies.mkdir()
    async with open_world(tmp_path, tunnel_proxies=False) as world:
        caller, over = await world.caller(), asyncio.Event()

        async def write(worker: int) -> None:
            number = 0
            while not over.is_set():
                number += 1
                await caller.create(f"copied-{worker}-{number}")

        taken: list[float] = []
        async with asyncio.TaskGroup() as tasks:
            for worker in range(8):
                tasks.create_task(write(worker))
            for number in range(SNAPSHOTS):
                await asyncio.sleep(dice.random() * 0.04)
                taken.append(await snapshot(world, copies / str(number)))
            over.set()
        history = await world.history(within=30)
        assert not check(history)
    told = [
        (attempt.ended_at, attempt.call_id or "")
        for attempt in history.attempts
        if attempt.outcome == "completed"
    ]
    executed_calls = {call_id for _, call_id in told}
    executed_at = {entry.effect: entry.at for entry in history.executions}
    effects = {attempt.call_id or "": attempt.effect for attempt in history.attempts}
    for number, moment in enumerate(taken):
        path = copies / str(number) / "journal.sqlite3"
        async with Journal.open(path) as journal:
            assert journal.problem is None, (number, journal.problem)
        states = states_in(path)
        for ended_at, call_id in told:
            if ended_at < moment:
                assert states.get(call_id) == "done", (number, call_id)
        for call_id in executed_calls:
            if executed_at[effects[call_id]] < moment:
                assert states.get(call_id) in {"intent", "done"}, (number, call_id)
    print(f"{SNAPSHOTS} copies of up to {len(told)} calls")  # noqa: T201 - the measured result


async def snapshot(world: World, folder: Path) -> float:
    """Copy the journal of an agent that stands still; return when."""
    program, journal = world.agent.program, world.agent.journal_file
    program.freeze()
    await stopped(program)
    moment = time.time()
    try:
        copy(journal, folder)
    finally:
        program.thaw()
    return moment


def copy(journal: Path, folder: Path) -> None:
    """Copy a journal's files into a folder."""
    folder.mkdir()
    for suffix in ("", "-wal", ".mark"):
        shutil.copy(f"{journal}{suffix}", folder)


def stands_still(program: Program) -> bool:
    """Whether no thread of it runs."""
    tasks = Path(f"/proc/{program.pid}/task")
    states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()]
    return set(states) <= {"T", "t"}


async def stopped(program: Program) -> None:
    """Wait until every thread stands still."""
    async with asyncio.timeout(5):
        while not stands_still(program):
            await asyncio.sleep(0.001)


def states_in(path: Path) -> dict[str, str]:
    """Return the state of each call in a journal."""
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT call_id, state FROM calls"))
