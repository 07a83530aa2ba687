"""Journals that a disk has damaged, and disks that are full: writes end, reads go on."""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from doubles.caller import Caller
from doubles.checker import check
from doubles.program import said
from doubles.world import Agent, World, open_world, until

pytestmark = pytest.mark.timeout(150)

RECOVERED_WITHIN = 5.0
RESOLVED_WITHIN = 10.0
DISK_BYTES = 3 * 1024 * 1024


def flip_a_bit(journal: Path) -> None:
    log = journal.with_name(f"{journal.name}-wal")
    with log.open("r+b") as opened:
        place = log.stat().st_size // 2
        opened.seek(place)
        byte = opened.read(1)[0]
        opened.seek(place)
        opened.write(bytes([byte ^ 0x04]))


def cut_the_log(journal: Path) -> None:
    log = journal.with_name(f"{journal.name}-wal")
    os.truncate(log, log.stat().st_size - 4120 * 2)  # at a frame: SQLite sees nothing of it


def empty(journal: Path) -> None:
    os.truncate(journal, 0)


HARMS: dict[str, Callable[[Path], None]] = {
    "flip": flip_a_bit,
    "cut": cut_the_log,
    "empty": empty,
}


async def leave_a_write_open(world: World, caller: Caller, agent: Agent) -> "asyncio.Task[object]":
    """Have Procore execute a write and be silent; return what waits for its answer."""
    await world.fault({"kind": "hang", "seconds": 60}, method="POST", after_execute=True, times=1)
    marker = f"open-{agent.name}"
    task: asyncio.Task[object] = asyncio.create_task(caller.create(marker, deadline=6))

    async def executed() -> bool:
        return bool(await world.ledger(marker=marker))

    await until(executed, within=15, what=f"the execution of {marker}")
    return task


async def lives_with_damage(world: World, caller: Caller, agent: Agent) -> None:
    """What T17 asks of an agent whose journal is damaged."""
    refused = await caller.create(f"refused-{agent.name}")
    assert refused.outcome == "not_executed"
    assert not await world.ledger(marker=f"refused-{agent.name}")
    assert (await caller.read()).status == 200
    exit_status, document, _ = await said(
        "cloud_connect_agent", "status", "--home", str(agent.home)
    )
    assert exit_status == 0
    assert document["journal"]["state"] == "damaged"
    assert "accept-loss" in document["problems"][0]

    async def told() -> bool:
        return any("damaged" in one for one in (await world.connector(agent))["problems"])

    await until(told, within=RECOVERED_WITHIN, what="the relay's word of the damage")
    kept = sorted(file.name for file in agent.journal_file.parent.glob("*.damaged-*"))
    assert kept
    assert not agent.journal_file.exists()

    async def settled() -> bool:
        found = await caller.look_up(f"open-{agent.name}")
        assert found is not None
        assert found["outcome"] != "not_executed"  # that would be a guess, and a lie
        return bool(found["final"])

    await until(settled, within=RESOLVED_WITHIN, what="an end of the open write")
    again = await caller.create(f"open-{agent.name}")
    assert again.outcome == "unknown"
    assert len(await world.ledger(marker=f"open-{agent.name}")) == 1


async def goes_on(world: World, caller: Caller, agent: Agent) -> None:
    """What comes after a person has accepted the loss."""
    exit_status, document, errors = await said(
        "cloud_connect_agent", "journal", "accept-loss", "--yes", "--home", str(agent.home)
    )
    assert (exit_status, document["accepted"]) == (0, True), errors

    async def written() -> bool:
        attempt = await caller.create(f"after-{agent.name}")
        return attempt.outcome == "completed"

    await until(written, within=RECOVERED_WITHIN, what="a write after the loss was accepted")

    async def told() -> bool:
        return not (await world.connector(agent))["problems"]

    await until(told, within=RECOVERED_WITHIN, what="the relay's word of the new journal")
    assert (await agent.status())["journal"]["state"] == "ok"


@pytest.mark.catalogue("T17")
async def test_damaged_journal_ends_writes_until_a_person_accepts_the_loss(tmp_path: Path) -> None:
    async with open_world(tmp_path, agents=tuple(HARMS), tunnel_proxies=False) as world:
        waiting, callers = [], {name: await world.caller(name) for name in world.agents}
        for name, agent in world.agents.items():
            for number in range(3):
                done = await callers[name].create(f"done-{name}-{number}")
                assert done.outcome == "completed"
            waiting.append(await leave_a_write_open(world, callers[name], agent))
        async with asyncio.TaskGroup() as tasks:
            for agent in world.agents.values():
                tasks.create_task(agent.program.crash())
        for name, agent in world.agents.items():
            HARMS[name](agent.journal_file)
            await agent.program.start()
        await world.until_status("online", within=30)
        await asyncio.wait(waiting, timeout=30)
        async with asyncio.TaskGroup() as tasks:
            for agent in world.agents.values():
                tasks.create_task(lives_with_damage(world, callers[agent.name], agent))
        async with asyncio.TaskGroup() as tasks:
            for agent in world.agents.values():
                tasks.create_task(goes_on(world, callers[agent.name], agent))
        for name in HARMS:
            known = await callers[name].create(f"done-{name}-0")
            assert (known.outcome, known.replayed) == ("completed", True)
        assert not check(await world.history())


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Put what is in *folder* on a disk of its own with little room."""
    if os.geteuid() != 0:
        pytest.skip("a disk of its own takes root")
    aside = folder.with_name(f"{folder.name}-before")
    folder.rename(aside)
    folder.mkdir(mode=0o700)
    size = f"size={DISK_BYTES},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True)
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Leave not a byte on the disk."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    return ballast


@pytest.mark.catalogue("T18")
async def test_full_disk_refuses_writes_and_room_brings_them_back(tmp_path: Path) -> None:
    async with open_world(tmp_path, tunnel_proxies=False) as world:
        agent, caller = world.agent, await world.caller()
        await agent.program.stop()
        with small_disk(agent.home / "state"):
            try:
                await agent.program.start()
                await world.until_status("online", within=30)
                assert (await caller.create("before")).outcome == "completed"
                under_way = await open_when_full(world, agent)
                disk = agent.journal_file.parent
                for number in range(20):
                    attempt = await caller.create(f"full-{number}", deadline=10)
                    if attempt.outcome != "completed":  # the log may have had room for a few
                        assert attempt.outcome == "not_executed"
                        assert not await world.ledger(marker=f"full-{number}")
                assert caller.attempts[-1].outcome == "not_executed"
                assert (await caller.read()).status == 200
                assert (await agent.status())["journal"]["state"] == "unavailable"
                (disk / "ballast").unlink()

                async def written() -> bool:
                    return (await caller.create("after")).outcome == "completed"

                took = await until(written, within=RECOVERED_WITHIN, what="a write with room")
                print(f"writes were back after {took:.2f} s")  # noqa: T201 - the measured result
                await under_way

                async def known() -> bool:
                    found = await caller.look_up("under-way")
                    return found is not None and found["outcome"] == "completed"

                # Its result had no room on the disk; the agent owed it and wrote it down later.
                await until(known, within=RESOLVED_WITHIN, what="the outcome of the open write")
                executed = {execution.effect for execution in (await world.history()).executions}
                intents = {line["call_id"] for line in agent.journal() if line["state"] == "done"}
                assert len(executed) <= len(intents)
                assert not check(await world.history())
            finally:
                await agent.program.stop()


async def open_when_full(world: World, agent: Agent) -> "asyncio.Task[object]":
    """Have a write under way when the last byte of the disk goes."""
    caller = world.callers[0]
    await world.fault({"kind": "slow_first_byte", "seconds": 2}, method="POST", times=1)
    task: asyncio.Task[object] = asyncio.create_task(caller.create("under-way", deadline=10))

    async def intended() -> bool:
        return any(line["state"] == "intent" for line in agent.journal())

    await until(intended, within=10, what="the intent of the write")
    await asyncio.to_thread(fill, agent.journal_file.parent)
    return task
