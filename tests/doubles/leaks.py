"""What processes hold before a storm and after it: descriptors, tasks, gauges."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from doubles.caller import Caller
from doubles.observing import until
from doubles.program import Program
from doubles.world import World

__all__ = ["Baseline"]

SLACK: Final = 2
BURST: Final = 200  # calls at once: enough to open what pools keep open from then on
MAX_STORE_FILES: Final = 2 * 15 + 3  # file and log of each connection of the pool, index, mark
SOCKETS_AT_REST: Final = 12  # listeners, the tunnel, the loop's own, and two of a client


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What some programs of a world held when they were warm and had nothing to do."""

    world: World
    held: dict[Program, tuple[int, int]]

    @classmethod
    async def of(cls, world: World, caller: Caller, programs: Sequence[Program]) -> Self:
        """Warm the programs up with a burst of calls, let them come to rest, and look."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(BURST):
                tasks.create_task(caller.create(f"warm-{number}"))
                tasks.create_task(caller.look_up(f"warm-{number}"))
        await until(world.idle, within=30, what="gauges at zero")
        await _until_idle_connections_end(world)
        return cls(world=world, held={program: await _held(program) for program in programs})

    async def returned(self, *, within: float) -> None:
        """Wait until each holds no more than then, give or take two; else tell what it holds."""
        await until(self.world.idle, within=within, what="gauges at zero")
        for program, (descriptors, tasks) in self.held.items():

            async def back(
                program: Program = program, descriptors: int = descriptors, tasks: int = tasks
            ) -> bool:
                await self.world.gauges()  # a call, at which our client lets go of idle connections
                now = await _held(program)
                return now[0] <= descriptors + SLACK and now[1] <= tasks + SLACK

            try:
                await until(back, within=within)
            except AssertionError:
                raise AssertionError(
                    f"{program.module} held {descriptors} descriptors and {tasks} tasks, now "
                    f"{await _held(program)}: {await program.tasks()}, {program.open_files()}"
                ) from None


async def _held(program: Program) -> tuple[int, int]:
    """Return descriptors, without those of the store, and tasks.

    SQLite keeps a closed connection's descriptor for the next one while others are open, so the
    store holds as many as its pool ever had open at once: that is bounded, and checked here.
    """
    store = [name for name in program.open_files() if ".sqlite3" in name]
    assert len(store) <= MAX_STORE_FILES, store
    return len(program.open_files()) - len(store), len(await program.tasks())


async def _until_idle_connections_end(world: World) -> None:
    """Wait until our own client has let go of the connections that a burst has opened."""

    async def few() -> bool:
        await world.gauges()
        names = world.relay.open_files()
        return sum(name.startswith("socket:") for name in names) <= SOCKETS_AT_REST

    await until(few, within=30, what="an end of idle connections")
