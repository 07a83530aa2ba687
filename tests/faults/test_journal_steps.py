"""An agent that dies at each step of a write: what the caller learns is what happened (T4)."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from doubles.caller import Caller
from doubles.checker import check
from doubles.history import Attempt
from doubles.world import World, open_world, until

# What is certain about a write whose agent died right after the step, and how often it executed.
EXPECTED: Final = {
    "received": ("not_executed", 0),
    "intent": ("unknown", 0),
    "sent": ("unknown", 1),
    "answered": ("unknown", 1),
    "done": ("completed", 1),
    "acked": ("completed", 1),
}
STEPS: Final = tuple(EXPECTED)
RESOLVED_WITHIN: Final = 10.0  # seconds after the reconnect


async def records(world: World, count: int) -> list[str]:
    caller = await world.caller()
    answer = await world.api.get(
        f"{caller.base}/records/punch_items",
        params={"project_id": str(caller.project_id), "limit": str(count), "fields": "id"},
    )
    answer.raise_for_status()
    return [str(row["id"]) for row in answer.json()]


async def writes(caller: Caller, step: str, items: tuple[str, str]) -> list[Attempt]:
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(caller.create(f"{step}-created", deadline=25)),
            tasks.create_task(caller.update(items[0], f"{step}-updated", deadline=25)),
            tasks.create_task(caller.delete(items[1], deadline=25)),
        ]
    return [task.result() for task in running]


async def crash_and_return(
    world: World, caller: Caller, step: str, items: tuple[str, str]
) -> list[Attempt]:
    """Send one write of each kind, let the agent die at the step, and start it again."""
    agent = world.agents[step]
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(writes(caller, step, items))
        assert await agent.program.ended(within=40) == -9, agent.program.last_words()
        agent.mend()
        await agent.program.start()
        await world.until_status("online", agent, within=30)
    return first.result()


@pytest.mark.catalogue("T4")
@pytest.mark.timeout(180)
async def test_write_ends_as_the_step_says_at_which_its_agent_died(tmp_path: Path) -> None:
    faults = {step: f"crash@{step}#3" for step in STEPS}
    async with open_world(tmp_path, agents=STEPS, faults=faults, tunnel_proxies=False) as world:
        ids = await records(world, 2 * len(STEPS))
        items = {step: (ids[2 * at], ids[2 * at + 1]) for at, step in enumerate(STEPS)}
        callers = {step: await world.caller(step) for step in STEPS}
        async with asyncio.TaskGroup() as tasks:
            told = {
                step: tasks.create_task(crash_and_return(world, callers[step], step, items[step]))
                for step in STEPS
            }
        executed = [execution.effect for execution in (await world.history(within=0)).executions]
        for step, (outcome, executions) in EXPECTED.items():
            for attempt in told[step].result():
                assert executed.count(attempt.effect) == executions, (step, attempt)

                async def settled(key: str = attempt.key or "", step: str = step) -> bool:
                    found = await callers[step].look_up(key)
                    return found is not None and (found["final"] or found["outcome"] != "unknown")

                await until(settled, within=RESOLVED_WITHIN, what=f"an end of {attempt}")
                found = await callers[step].look_up(attempt.key or "")
                assert found is not None
                assert found["outcome"] == outcome, (step, attempt, found)
                assert attempt.outcome in {outcome, "unknown"}, (step, attempt)
        assert not check(await world.history())

        for step, (outcome, _) in EXPECTED.items():
            for attempt in await writes(callers[step], step, items[step]):
                if outcome == "unknown":
                    assert attempt.outcome == "unknown", (step, attempt)
                else:
                    assert attempt.outcome == "completed", (step, attempt)
                    assert attempt.replayed == (outcome == "completed"), (step, attempt)
        history = await world.history()
        assert not check(history)
        again = [execution.effect for execution in history.executions]
        assert len(again) == len(executed) + 3, "only what was not executed ran now"
