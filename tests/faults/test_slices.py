"""A network that delivers one byte per segment changes nothing but the time that it takes."""

import time
from pathlib import Path
from typing import Final

import pytest

from doubles.checker import check
from doubles.program import cpu_seconds
from doubles.world import World, open_world

pytestmark = pytest.mark.timeout(120)

READS: Final = 20
MOST_CPU: Final = 10.0  # times what the same takes on a whole network


async def run(world: World, name: str) -> tuple[list[object], float, float]:
    """Read and write; return what came back, the CPU seconds of both ends, and the time."""
    caller = world.callers[0]
    ends = (world.relay.pid, world.agent.program.pid)
    before, began = cpu_seconds(*ends), time.monotonic()
    found: list[object] = []
    for _ in range(READS):
        answer = await world.api.get(f"{caller.base}/records/projects")
        found.append((answer.status_code, answer.content))
    made = await caller.create(name)
    found.append((made.status, made.outcome))
    return found, cpu_seconds(*ends) - before, time.monotonic() - began


@pytest.mark.catalogue("T27")
async def test_one_byte_per_segment_gives_the_same_results_for_tenfold_work_at_most(
    tmp_path: Path,
) -> None:
    async with open_world(tmp_path, seed=27) as world:
        await world.caller()
        tunnel = world.agent.tunnel
        assert tunnel is not None
        await run(world, "warm")
        whole, normal, took = await run(world, "whole")
        tunnel.weather(slice_bytes=1)
        before = tunnel.up.bytes + tunnel.down.bytes
        sliced, heavy, lasted = await run(world, "sliced")
        tunnel.heal()
        carried = tunnel.up.bytes + tunnel.down.bytes - before
        print(  # noqa: T201
            f"T27: {normal:.2f} s of CPU whole, {heavy:.2f} s in {carried} bytes one by one"
            f" ({heavy / normal:.1f} times); {took:.1f} s and {lasted:.1f} s"
        )
        assert carried > 20_000
        assert sliced == whole
        assert len(await world.ledger(marker="sliced")) == 1
        assert not check(await world.history())
        assert heavy <= MOST_CPU * normal
