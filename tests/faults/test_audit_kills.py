"""The audit logs under kills: every call that was executed is in both, once (T124)."""

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from cloud_connect_agent.audit import AuditFolder
from cloud_connect_agent.audit.reading import records, verify
from doubles.caller import Caller
from doubles.observing import rows, until
from doubles.seeds import chosen_seed
from doubles.world import World, open_world

pytestmark = [pytest.mark.nightly, pytest.mark.slow]

WRITES: Final = 600
AGENT_KILLS: Final = 12
RELAY_KILLS: Final = 3
LATENCY_MS: Final = 60
DEADLINE: Final = 120.0


@dataclass
class Load:
    """Callers that write until all is written, and read until they are told to stop."""

    caller: Caller
    remaining: list[int] = field(default_factory=lambda: list(range(WRITES)))
    answered: list[str] = field(default_factory=list)
    enough: bool = False

    async def write(self) -> None:
        while self.remaining:
            marker = f"audit-{self.remaining.pop()}"
            told = await self.caller.create(marker, deadline=DEADLINE)
            while told.outcome == "not_executed" or told.status in {None, 409}:
                await asyncio.sleep(0.2)
                told = await self.caller.create(marker, deadline=DEADLINE)

    async def read(self) -> None:
        while not self.enough:
            told = await self.caller.read(deadline=DEADLINE)
            if told.status == 200 and told.call_id is not None:
                self.answered.append(told.call_id)

    async def read_ones(self) -> set[str]:
        return set(self.answered)

    async def come_to(self, written: int) -> None:
        async def there() -> bool:
            return WRITES - len(self.remaining) >= written

        await until(there, within=120, what=f"{written} writes")


def at_agent(world: World) -> list[dict[str, Any]]:
    folder = AuditFolder(world.agent.home / "state" / "audit")
    return [record.fields() for record in records(folder)]


def at_relay(world: World, action: str) -> list[dict[str, Any]]:
    found = rows(world.data_dir / "relay.sqlite3", "SELECT record FROM audit ORDER BY seq")
    parsed = [orjson.loads(row["record"]) for row in found]
    return [one for one in parsed if one["action"] == action]


def reads_at_relay(world: World) -> Counter[str]:
    batches = at_relay(world, "call.read")
    return Counter(call_id for one in batches for call_id in one["detail"]["calls"])


def writes_at_relay(world: World) -> Counter[str]:
    return Counter(one["target"] for one in at_relay(world, "call.write"))


async def until_each_once(
    wanted: Callable[[], Awaitable[set[str]]], found: Callable[[], Counter[str]], what: str
) -> int:
    """Wait until each wanted call was recorded once; return how many there are."""
    calls = await wanted()

    async def recorded() -> bool:
        counts = found()
        return all(counts[call_id] == 1 for call_id in calls)

    await until(recorded, within=30, what=what)
    return len(calls)


@pytest.mark.catalogue("T124")
@pytest.mark.timeout(900)
async def test_each_executed_call_stands_once_in_both_logs_whatever_was_killed(
    tmp_path: Path,
) -> None:
    seed = chosen_seed()
    dice = random.Random(seed)
    async with open_world(
        tmp_path, simulator_arguments=("--latency-ms", str(LATENCY_MS)), seed=seed
    ) as world:
        load = Load(await world.caller())
        kills = AGENT_KILLS + RELAY_KILLS
        async with asyncio.TaskGroup() as tasks:
            reading = [tasks.create_task(load.read()) for _ in range(2)]
            for _ in range(16):
                tasks.create_task(load.write())
            for kill in range(kills):
                await load.come_to(WRITES * (kill + 1) // (kills + 1))
                await asyncio.sleep(dice.random() * 0.25)
                if kill < AGENT_KILLS:
                    await world.agent.program.crash()
                    await world.agent.program.start()
                    continue
                load.enough = True
                await asyncio.wait(reading)
                # Of reads a relay forgets the last moments, as docs/audit.md says; of writes none.
                await until_each_once(load.read_ones, lambda: reads_at_relay(world), "its reads")
                await world.relay.restart()
        await world.until_status("online", within=60)

        async def executed() -> set[str]:
            history = await world.history(within=30)
            calls = {record.key: record.call_id for record in history.records if record.key}
            return {calls[one.effect] for one in history.executions}

        def calls_at_agent() -> Counter[str]:
            found = at_agent(world)
            return Counter(str(one["call_id"]) for one in found if one["action"] == "call")

        writes = await until_each_once(executed, calls_at_agent, "writes in the agent's log")
        await until_each_once(executed, lambda: writes_at_relay(world), "writes in the relay's")
        # A read that was on its way to an agent that died is asked for again: each time counts.
        counts = calls_at_agent()
        reads = {call_id: counts[call_id] for call_id in load.answered}
        assert [call_id for call_id, times in reads.items() if not times] == []
        assert max(reads.values()) <= 2
        again = sum(times == 2 for times in reads.values())
        await until_each_once(load.read_ones, lambda: reads_at_relay(world), "reads in the relay's")
        late = sum(bool((one.get("detail") or {}).get("recovered")) for one in at_agent(world))
        print(  # noqa: T201
            f"T124: {writes} executed writes and {len(reads)} answered reads, each in both logs; "
            f"{late} recorded after a crash, {again} reads carried out twice"
        )
        await world.agent.program.stop()
        copy = tmp_path / "copy"
        shutil.copytree(world.agent.home / "state" / "audit", copy)
        assert verify(AuditFolder(copy)).fault is None
