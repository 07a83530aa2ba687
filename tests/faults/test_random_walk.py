"""Random walks of calls, kills, partitions, repeats and hang-ups (T19).

The model is the checker's: an effect happened once, never or perhaps, as its callers were told.
"""

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from doubles.caller import Caller
from doubles.checker import check
from doubles.seeds import chosen_seed, whole_number
from doubles.world import World, open_world

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.slow,
    # httpx forgets the socket of a request that is cancelled while it connects: our caller's.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

WALKS: Final = 50
STEPS: Final = 2000
PACE: Final = 0.006  # seconds between two steps, on average
AT_ONCE: Final = 120  # calls under way
DEADLINE: Final = 40.0
WEIGHTS: Final = {
    "create": 560,
    "read": 130,
    "download": 20,
    "repeat": 120,
    "update": 80,
    "hang_up": 50,
    "delete": 20,
    "reset": 8,
    "partition": 4,
    "freeze": 3,
    "kill_agent": 3,
    "kill_relay": 2,
}

FAULTS: Final = frozenset({"reset", "partition", "freeze", "kill_agent", "kill_relay"})
BLOB_BYTES: Final = 1_000_000  # at most, of a download


class Walk:
    """One walk, and what it did."""

    def __init__(self, world: World, caller: Caller, seed: int) -> None:
        self.world = world
        self.caller = caller
        self.name = f"walk-{seed}"
        self.did: Counter[str] = Counter()
        self._dice = random.Random(seed)
        self._keys: list[str] = []
        self._targets: list[str] = []
        self._faulty = asyncio.Lock()  # one fault of a process at a time
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._count = 0
        self._reachable = asyncio.Event()  # calls that nobody takes prove nothing
        self._reachable.set()

    async def run(self, steps: int) -> None:
        names, weights = list(WEIGHTS), list(WEIGHTS.values())
        async with asyncio.TaskGroup() as tasks:
            for _ in range(steps):
                await self._reachable.wait()
                step = self._dice.choices(names, weights)[0]
                self.did[step] += 1
                # Everything random is drawn here, in order: tasks run as they like.
                draw = self._dice.random()
                if step not in FAULTS:
                    await self._turns.acquire()
                    tasks.create_task(self._call(step, draw))
                else:
                    tasks.create_task(self._break(step, draw))
                await asyncio.sleep(self._dice.expovariate(1 / PACE))

    async def _call(self, step: str, draw: float) -> None:
        try:
            match step:
                case "read":
                    await self.caller.read(deadline=DEADLINE)
                case "download":
                    await self.caller.download(int(draw * BLOB_BYTES), deadline=DEADLINE)
                case "repeat" if self._keys:
                    key = self._keys[int(draw * len(self._keys))]
                    await self.caller.create(key, deadline=DEADLINE)
                case "update" if self._targets:
                    target = self._targets[int(draw * len(self._targets))]
                    await self.caller.update(target, self._fresh(), deadline=DEADLINE)
                case "delete" if len(self._targets) > 20:
                    target = self._targets.pop(int(draw * len(self._targets)))
                    await self.caller.delete(target, deadline=DEADLINE)
                case "hang_up":
                    async with asyncio.timeout(draw * 0.3):
                        await self.caller.create(self._fresh(), deadline=DEADLINE)
                case _:
                    marker = self._fresh()
                    self._keys.append(marker)
                    await self.caller.create(marker, deadline=DEADLINE)
        except TimeoutError:
            pass  # it hung up, as it was told to
        finally:
            self._turns.release()

    async def _break(self, step: str, draw: float) -> None:
        agent, proxy = self.world.agent, self.world.agent.tunnel
        assert proxy is not None
        if step == "reset":
            proxy.reset_all()
            return
        async with self._faulty:
            match step:
                case "partition":
                    ways = (proxy.up, proxy.down)
                    lost = ways if draw < 0.4 else ways[:1] if draw < 0.7 else ways[1:]
                    for way in lost:
                        way.blackhole()
                    await asyncio.sleep(draw * 4)
                    proxy.heal()
                case "freeze":
                    victim = agent.program if draw < 0.5 else self.world.relay
                    victim.freeze()
                    await asyncio.sleep(draw * 2)
                    victim.thaw()
                case "kill_agent":
                    await agent.program.restart()
                case "kill_relay":
                    await self.world.relay.crash()
                    self._reachable.clear()
                    await self.world.relay.start()
                    self._reachable.set()

    def _fresh(self) -> str:
        self._count += 1
        return f"{self.name}-{self._count}"

    def use(self, targets: list[str]) -> None:
        """Take records that may be changed and deleted."""
        self._targets = list(targets)


async def targets(world: World, caller: Caller, walk: int) -> list[str]:
    """Make records that the walk may change and delete."""
    async with asyncio.TaskGroup() as tasks:
        for number in range(60):
            tasks.create_task(caller.create(f"target-{walk}-{number}"))
    return [str(entry["record_id"]) for entry in await world.ledger(method="POST")]


@pytest.mark.catalogue("T19")
@pytest.mark.timeout(3600)
async def test_random_walks_end_as_the_model_says(tmp_path: Path) -> None:
    seed = chosen_seed()
    walks = whole_number("CLOUD_CONNECT_WALKS", WALKS)
    steps = whole_number("CLOUD_CONNECT_STEPS", STEPS)
    did: Counter[str] = Counter()
    async with open_world(
        tmp_path,
        simulator_arguments=("--latency-ms", "15"),
        agent_settings={"CLOUD_CONNECT_TUNNEL__BACKOFF_CAP": "2"},
        seed=seed,
    ) as world:
        caller = await world.caller()
        for number in range(walks):
            await world.forget()
            walk = Walk(world, caller, seed + number)
            walk.use(await targets(world, caller, number))
            await walk.run(steps)
            await world.until_status("online", within=60)
            broken = check(await world.history(within=60))
            assert not broken, f"walk {seed + number}, {walk.did}: {broken[:5]}"
            assert any(delivery.whole for delivery in caller.deliveries), "no body was judged"
            did += walk.did
            outcomes = Counter(str(attempt.outcome) for attempt in caller.attempts)
            print(f"T19: walk {seed + number}: {dict(outcomes)}, {dict(walk.did)}")  # noqa: T201
    print(f"T19: {walks} walks of {steps} steps: {dict(did)}")  # noqa: T201
