"""Kill -9 under load: nothing is lost, nothing doubled, nothing lied about (T1, T2, T3)."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from doubles.caller import Caller
from doubles.checker import check
from doubles.history import Attempt
from doubles.observing import until
from doubles.seeds import chosen_seed
from doubles.world import World, open_world

pytestmark = [pytest.mark.nightly, pytest.mark.slow]

FLOOD: Final = 1000
KILLS: Final = 100
FLOOD_LATENCY_MS: Final = 300  # of Procore, so that all are accepted before many are executed
LATENCY_MS: Final = 40
DEADLINE: Final = 120.0


async def create_until_told(caller: Caller, marker: str) -> Attempt:
    """Create, and repeat under the same key for as long as nothing has happened for certain."""
    while True:
        attempt = await caller.create(marker, deadline=DEADLINE)
        again = attempt.outcome == "not_executed" or attempt.status in {None, 409}
        if not again:
            return attempt
        await asyncio.sleep(0.2)


async def executions(world: World) -> int:
    return int((await world.admin("GET", "/counters")).get("executions", 0))


@asynccontextmanager
async def flood(world: World, caller: Caller) -> AsyncIterator[None]:
    """Have the relay accept all of a flood of writes, and Procore execute some, for the block.

    Then wait until every caller was told something.
    """

    async def holds() -> bool:
        return len(world.records()) == FLOOD and await executions(world) > FLOOD // 20

    async with asyncio.TaskGroup() as tasks:
        for number in range(FLOOD):
            tasks.create_task(caller.create(f"flood-{number}", deadline=DEADLINE))
        await until(holds, within=60, what="a flood under way")
        assert await executions(world) < FLOOD, "it is over already"
        yield


async def journal_has_told(world: World, of: Collection[str] | None = None) -> bool:
    """Whether the relay has the outcome of each call that its agent's journal knows.

    Args:
        of: The calls to look at, if not all.
    """
    certain = {
        row["call_id"]
        for row in world.agent.journal()
        if row["state"] == "done"
        and row["outcome"] in {"completed", "not_executed"}
        and (of is None or row["call_id"] in of)
    }
    return not any(
        record.call_id in certain and record.outcome in {None, "unknown"}
        for record in world.records()
    )


@pytest.mark.catalogue("T1")
@pytest.mark.timeout(400)
async def test_agent_killed_in_a_flood_of_writes_loses_and_doubles_none(tmp_path: Path) -> None:
    seed = chosen_seed()
    async with open_world(
        tmp_path, simulator_arguments=("--latency-ms", str(FLOOD_LATENCY_MS)), seed=seed
    ) as world:
        caller = await world.caller()
        async with flood(world, caller):
            await world.agent.program.crash()
            killed_at = time.monotonic()
            begun = {row["call_id"] for row in world.agent.journal()}
            await world.agent.program.start()
            assert time.monotonic() - killed_at <= 2
            await world.until_status("online", within=30)
            flipped = await until(
                lambda: journal_has_told(world, begun), within=10, what="what the journal knows"
            )
        assert len(caller.attempts) == FLOOD
        assert all(attempt.outcome is not None for attempt in caller.attempts)

        counts = {
            outcome: sum(attempt.outcome == outcome for attempt in caller.attempts)
            for outcome in ("completed", "not_executed", "unknown")
        }
        print(f"T1: {counts}, journal told {flipped:.1f} s after the reconnect")  # noqa: T201
        history = await world.history()
        assert not check(history)
        assert len({record.key for record in history.records}) == FLOOD


@pytest.mark.catalogue("T2")
@pytest.mark.timeout(1500)
async def test_hundred_kills_at_random_moments_lose_and_double_none(tmp_path: Path) -> None:
    seed = chosen_seed()
    dice = random.Random(seed)
    async with open_world(
        tmp_path, simulator_arguments=("--latency-ms", str(LATENCY_MS)), seed=seed
    ) as world:
        caller = await world.caller()
        program = world.agent.program
        ends = 0
        remaining = list(range(2 * FLOOD))

        async def work() -> None:
            nonlocal ends
            while remaining:
                number = remaining.pop()
                told = await create_until_told(caller, f"kill-{number}")
                assert told.outcome in {"completed", "unknown"}, told
                ends += 1

        async with asyncio.TaskGroup() as tasks:
            for _ in range(16):
                tasks.create_task(work())
            for kill in range(KILLS):
                # As many writes as kills want, so that each kill finds some under way.
                wanted = min(2 * FLOOD - 1, (2 * FLOOD * kill) // KILLS)

                async def come_so_far(wanted: int = wanted) -> bool:
                    return ends >= wanted

                await until(come_so_far, within=120, what=f"{wanted} ends")
                await asyncio.sleep(dice.random() * 0.25)
                await program.crash()
                await program.start()
        assert ends == 2 * FLOOD
        await world.until_status("online", within=30)
        await until(lambda: journal_has_told(world), within=20, what="what journals know")
        history = await world.history(within=30)
        assert not check(history)
        executed = {execution.effect for execution in history.executions}
        told = {attempt.effect: attempt.outcome for attempt in caller.attempts}
        unknown = sum(outcome == "unknown" for outcome in told.values())
        print(  # noqa: T201
            f"T2: {KILLS} kills, {len(executed)} of {2 * FLOOD} executed, "
            f"{unknown} unknown to callers"
        )
        lost = [marker for marker, outcome in told.items() if outcome == "completed"]
        assert set(lost) <= executed


@pytest.mark.catalogue("T3")
@pytest.mark.timeout(400)
async def test_relay_killed_in_a_flood_answers_for_every_key_when_it_is_back(
    tmp_path: Path,
) -> None:
    seed = chosen_seed()
    async with open_world(
        tmp_path, simulator_arguments=("--latency-ms", str(FLOOD_LATENCY_MS)), seed=seed
    ) as world:
        caller = await world.caller()
        async with flood(world, caller):
            await world.relay.crash()
            await world.relay.start()
            back_at = time.monotonic()
        unsettled = {f"flood-{number}" for number in range(FLOOD)}
        lost_keys: set[str] = set()

        async def ask(key: str) -> None:
            found = await caller.look_up(key)
            if found is None:
                lost_keys.add(key)
            if found is None or found["state"] in {"completed", "not_executed", "unknown"}:
                unsettled.discard(key)

        async def all_answered() -> bool:
            keys = sorted(unsettled)
            for start in range(0, len(keys), 50):
                async with asyncio.TaskGroup() as asking:
                    for key in keys[start : start + 50]:
                        asking.create_task(ask(key))
            return not unsettled

        await until(all_answered, within=60, what="an answer for every key")
        answerable = time.monotonic() - back_at
        await world.until_status("online", within=60)
        resolved = await until(
            lambda: journal_has_told(world), within=60, what="what journals know"
        )
        history = await world.history()
        executed = {execution.effect for execution in history.executions}
        lost = sum(attempt.status is None for attempt in caller.attempts)
        print(  # noqa: T201
            f"T3: all answerable {answerable:.1f} s after the restart, {lost} callers lost their "
            f"answer, {len(lost_keys)} keys forgotten, {len(executed)} executed, "
            f"journal told after {resolved:.1f} s more"
        )
        assert not check(history)
        assert not lost_keys, "every call was accepted, before the relay was killed"
        assert answerable <= 15
