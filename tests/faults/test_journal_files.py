"""Journals that a disk has damaged or forgotten, and full disks: writes end, reads go on."""

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloud_connect_agent.control import ask
from cloud_connect_agent.journal import accept_loss
from doubles.caller import Caller
from doubles.checker import check
from doubles.history import History
from doubles.program import said
from doubles.small_disk import fill, small_disk
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


async def leave_a_write_open(world: World, caller: Caller, marker: str) -> None:
    """Have Procore execute a write and be silent, and the agent die over it."""
    await world.fault({"kind": "hang", "seconds": 60}, method="POST", after_execute=True, times=1)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(caller.create(marker, deadline=3))

        async def executed() -> bool:
            return bool(await world.ledger(marker=marker))

        await until(executed, within=15, what=f"the execution of {marker}")
        await world.agent.program.crash()


async def status_of(agent: Agent) -> dict[str, Any]:
    """What the running agent says about itself, without a command of its own."""
    answer = await asyncio.to_thread(
        ask, agent.home / "state" / "control.sock", {"command": "status"}, timeout=5.0
    )
    status: dict[str, Any] = answer["status"]
    return status


async def lives_with_damage(world: World, caller: Caller, harm: str) -> None:
    """What T17 asks of an agent whose journal is damaged."""
    agent = world.agent
    refused = await caller.create(f"refused-{harm}")
    assert refused.outcome == "not_executed"
    assert not await world.ledger(marker=f"refused-{harm}")
    assert (await caller.read()).status == 200
    document = await status_of(agent)
    assert document["journal"]["state"] == "damaged"
    assert "accept-loss" in document["problems"][0]

    async def told() -> bool:
        return any("damaged" in one for one in (await world.connector(agent))["problems"])

    await until(told, within=RECOVERED_WITHIN, what="the relay's word of the damage")
    assert sorted(agent.journal_file.parent.glob("*.damaged-*"))
    assert not agent.journal_file.exists()

    async def settled() -> bool:
        found = await caller.look_up(f"open-{harm}")
        assert found is not None
        assert found["outcome"] != "not_executed"  # that would be a guess, and a lie
        return bool(found["final"])

    await until(settled, within=RESOLVED_WITHIN, what="an end of the open write")
    assert (await caller.create(f"open-{harm}")).outcome == "unknown"
    assert len(await world.ledger(marker=f"open-{harm}")) == 1


async def goes_on(world: World, caller: Caller, harm: str) -> None:
    """What comes after a person has accepted the loss."""
    agent = world.agent

    async def written() -> bool:
        return (await caller.create(f"after-{harm}")).outcome == "completed"

    await until(written, within=RECOVERED_WITHIN, what="a write after the loss was accepted")

    async def told() -> bool:
        return not (await world.connector(agent))["problems"]

    await until(told, within=RECOVERED_WITHIN, what="the relay's word of the new journal")
    assert (await status_of(agent))["journal"]["state"] == "ok"
    known = await caller.create(f"done-{harm}-0")
    assert (known.outcome, known.replayed) == ("completed", True)


async def command(agent: Agent, *words: str) -> tuple[int, dict[str, Any]]:
    """Run a command on the agent's PC."""
    status, document, errors = await said("cloud_connect_agent", *words, "--home", str(agent.home))
    assert "Traceback" not in errors
    return status, document


@pytest.mark.catalogue("T17")
async def test_damaged_journal_ends_writes_until_a_person_accepts_the_loss(tmp_path: Path) -> None:
    async with open_world(tmp_path, tunnel_proxies=False) as world:
        agent, caller = world.agent, await world.caller()
        for harm, damage in HARMS.items():
            for number in range(3):
                assert (await caller.create(f"done-{harm}-{number}")).outcome == "completed"
            await leave_a_write_open(world, caller, f"open-{harm}")
            damage(agent.journal_file)
            await agent.program.start()
            await world.until_status("online", within=30)
            await lives_with_damage(world, caller, harm)
            if harm == "empty":
                status, told = await command(agent, "status")
                assert (status, told["journal"]["state"]) == (0, "damaged")
                status, told = await command(agent, "journal", "status")
                assert (status, told["damaged"], told["reason"]) == (1, True, "its file is empty")
                status, told = await command(agent, "journal", "accept-loss", "--yes")
                assert (status, told["accepted"]) == (0, True)
            else:
                assert accept_loss(agent.journal_file) is not None
            await goes_on(world, caller, harm)
        assert not check(await world.history())


def age(home: Path, seconds: float) -> None:
    """Make the copy of an agent's disk older than it is: no test waits for that long."""
    presence = home / "state" / "journal.sqlite3.presence"
    presence.write_text(f"{int(time.time() - seconds)}\n")


async def test_disk_set_back_to_an_hour_ago_vouches_for_nothing_that_came_since(
    tmp_path: Path,
) -> None:
    """As when a virtual machine dies over a write, and wakes up from its last snapshot."""
    snapshot = tmp_path / "snapshot"
    async with open_world(tmp_path, tunnel_proxies=False) as world:
        agent, caller = world.agent, await world.caller()
        assert (await caller.create("before")).outcome == "completed"
        agent.program.freeze()
        await asyncio.sleep(0.2)  # a copy of files that change is none
        ignored = shutil.ignore_patterns("control.sock", "run.lock")
        await asyncio.to_thread(shutil.copytree, agent.home, snapshot, ignore=ignored)
        agent.program.thaw()
        age(snapshot, 3600)
        await leave_a_write_open(world, caller, "forgotten")
        await asyncio.to_thread(shutil.rmtree, agent.home)
        snapshot.rename(agent.home)
        await agent.program.start()
        await world.until_status("online", within=30)
        assert not [row for row in agent.journal() if row["outcome"] is None]

        async def settled() -> bool:
            found = await caller.look_up("forgotten")
            assert found is not None
            assert found["outcome"] == "unknown"  # it was executed, and its journal forgot it
            return bool(found["final"])

        await until(settled, within=RESOLVED_WITHIN, what="an end of the forgotten write")
        assert (await caller.create("forgotten")).outcome == "unknown"
        assert len(await world.ledger(marker="forgotten")) == 1
        assert (await caller.create("after")).outcome == "completed"
        assert not check(await world.history())


@pytest.mark.catalogue("T18")
async def test_full_disk_refuses_writes_and_room_brings_them_back(tmp_path: Path) -> None:
    async with open_world(tmp_path, tunnel_proxies=False) as world:
        agent, caller = world.agent, await world.caller()
        await agent.program.stop()
        with small_disk(agent.home / "state", size=DISK_BYTES):
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
                assert (await status_of(agent))["journal"]["state"] == "unavailable"
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
                history = await world.history()
                assert not check(history)
                assert not executed_without_intent(history)
            finally:
                await agent.program.stop()


def executed_without_intent(history: History) -> set[str]:
    """What Procore executed of which the journal has no record that it was intended."""
    intended = {
        line.call_id
        for line in history.journal
        if line.state in {"intent", "done"} and line.outcome != "not_executed"
    }
    known = {attempt.effect for attempt in history.attempts if attempt.call_id in intended}
    return {execution.effect for execution in history.executions} - known


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
