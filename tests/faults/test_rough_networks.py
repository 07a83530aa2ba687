"""Networks that reset, lose and crawl, for minutes: calls come through all the same (T23, T24)."""

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from doubles.checker import check
from doubles.leaks import Baseline
from doubles.namespaces import PrivateNetwork
from doubles.seeds import chosen_seed, whole_number
from doubles.traffic import Traffic
from doubles.world import open_world

pytestmark = [pytest.mark.nightly, pytest.mark.slow]

MEBIBYTE: Final = 1024 * 1024
STORM_SECONDS: Final = 120.0
CRAWL_SECONDS: Final = 600.0


@pytest.mark.catalogue("T23")
@pytest.mark.timeout(400)
async def test_storm_of_resets_breaks_no_promise_and_leaks_nothing(tmp_path: Path) -> None:
    seed = chosen_seed()
    async with open_world(tmp_path, watched=True, seed=seed) as world:
        caller = await world.caller()
        proxy = world.agent.tunnel
        assert proxy is not None
        dice = random.Random(seed)
        await Traffic(caller=caller, per_second=20, dice=dice, name="warm").run(10)
        programs = (world.relay, world.agent.program)
        baseline = await Baseline.of(world, caller, programs)
        before = [program.usage.rss_bytes for program in programs]
        traffic = Traffic(caller=caller, per_second=20, dice=dice, name="storm")
        resets = 0
        async with asyncio.TaskGroup() as tasks:
            calling = tasks.create_task(traffic.run(STORM_SECONDS))
            while not calling.done():
                await asyncio.wait({calling}, timeout=2)
                resets += proxy.reset_all()
        await world.until_status("online", within=90)
        history = await world.history(within=15)
        assert not check(history)
        print(  # noqa: T201
            f"T23: {resets} resets, {traffic.read_success:.2%} of {len(traffic.reads_told)} reads, "
            f"{Counter(attempt.code for attempt in traffic.reads_told if attempt.status != 200)}"
        )
        await baseline.returned(within=60)
        for program, earlier in zip(programs, before, strict=True):
            growth = program.usage.rss_bytes - earlier
            print(f"T23: {program.module} grew by {growth / MEBIBYTE:.1f} MiB")  # noqa: T201
            assert growth < 10_000_000
        assert traffic.read_success >= 0.95
        assert resets >= STORM_SECONDS / 2 / 4, "it was hardly a storm"


@pytest.mark.catalogue("T24")
@pytest.mark.timeout(1000)
async def test_slow_lossy_far_network_carries_calls_and_stays_online(
    tmp_path: Path, network: PrivateNetwork
) -> None:
    seed = chosen_seed()
    async with open_world(tmp_path, seed=seed) as world:
        caller = await world.caller()
        proxy = world.agent.tunnel
        assert proxy is not None
        network.lose(proxy.port, percent=5)
        network.slow(proxy.port, bits_per_second=1_000_000)
        proxy.weather(latency=0.15)
        seconds = float(whole_number("CLOUD_CONNECT_CRAWL_SECONDS", int(CRAWL_SECONDS)))
        traffic = Traffic(
            caller=caller, per_second=2, dice=random.Random(seed), writes=0.1, downloads=0.05
        )
        offline = 0
        async with asyncio.TaskGroup() as tasks:
            calling = tasks.create_task(traffic.run(seconds))
            while not calling.done():
                await asyncio.wait({calling}, timeout=0.5)
                offline += (await world.connector(world.agent))["status"] != "online"
        proxy.heal()
        network.heal()
        print(  # noqa: T201
            f"T24: {traffic.read_success:.2%} of {len(traffic.reads_told)} reads in {seconds:.0f} s"
            f", {proxy.accepted} connections"
        )
        assert offline == 0
        assert proxy.accepted == 1, "one session all along"
        assert traffic.read_success >= 0.99
        assert not check(await world.history())
