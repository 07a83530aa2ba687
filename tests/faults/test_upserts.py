"""Keyed creates of a resource that is upserted, while their connectors are killed."""

import asyncio
import random
from collections import defaultdict
from pathlib import Path

import pytest

from doubles.caller import Caller
from doubles.history import Attempt, Record
from doubles.world import World, open_world

pytestmark = pytest.mark.timeout(600)

SEED = 20261126
COUNT = 500
KILLS = 10


@pytest.mark.nightly
@pytest.mark.catalogue("T14")
async def test_upserts_make_one_record_each_while_their_connectors_are_killed(
    tmp_path: Path,
) -> None:
    dice = random.Random(SEED)
    print(f"seed {SEED}")  # noqa: T201 - for a replay
    async with open_world(
        tmp_path,
        agents=("a", "b"),
        groups={"a": "site", "b": "site"},
        tunnel_proxies=False,
        agent_settings={"CLOUD_CONNECT_PROCORE__UPSERTS": "vendors"},
        seed=SEED,
    ) as world:
        caller = await world.caller(connectorGroup="site")
        await world.behave(latency_ms=100)
        # Some answers are lost after Procore has carried the request out.
        await world.fault("reset", method="PATCH", probability=0.1, after_execute=True)
        gate = asyncio.Semaphore(40)

        async def create(number: int) -> Attempt:
            async with gate:
                return await caller.send(
                    "POST",
                    "/records/vendors",
                    effect=f"vendor {number}",
                    key=f"vendor {number}",
                    body={"name": f"vendor {number}"},
                    deadline=60,
                )

        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(create(number)) for number in range(COUNT)]
            for _ in range(KILLS):
                await asyncio.sleep(dice.uniform(0.3, 1.0))
                agent = world.agents[dice.choice("ab")]
                await agent.program.crash()
                await asyncio.sleep(dice.uniform(0.2, 2.0))
                await agent.program.start()
        attempts = [task.result() for task in asked]
        await world.behave(latency_ms=0)
        await world.admin("DELETE", "/faults")
        unknown = [one for one in attempts if one.outcome != "completed"]
        assert stuck(world) == []  # a repeat cures each that is not final
        repeated = await _repeat(caller, unknown)
        records: dict[str, set[str]] = defaultdict(set)
        executions = 0
        for one in await world.ledger(resource="vendors"):
            executions += 1
            records[one["body"].split('"name":"')[1].split('"')[0]].add(str(one["record_id"]))
        print(  # noqa: T201 - the measured result
            f"{COUNT} creates, {executions} executions, {len(unknown)} not completed at once,"
            f" records per create: {sorted({len(ids) for ids in records.values()})}"
        )
        assert {one.outcome for one in repeated} <= {"completed"}
        assert len(records) == COUNT
        assert all(len(ids) == 1 for ids in records.values())
        assert stuck(world) == []


def stuck(world: World) -> list[Record]:
    return [one for one in world.records() if one.outcome == "unknown" and one.final]


async def _repeat(caller: Caller, attempts: list[Attempt]) -> list[Attempt]:
    return [
        await caller.send(
            "POST",
            "/records/vendors",
            effect=one.effect,
            key=one.key,
            body={"name": one.effect},
            deadline=60,
        )
        for one in attempts
    ]
