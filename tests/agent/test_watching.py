import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud_connect.closing import CloseCode
from cloud_connect_agent.network import Endpoints, Network, Reach
from doubles.link_bench import QUICK, Relay, run_agent, serve_relay


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    async with serve_relay(tmp_path) as relay:
        yield relay


async def test_machine_that_slept_gets_a_new_link_at_once(relay: Relay, tmp_path: Path) -> None:
    nap = asyncio.Event()

    async def sleeping() -> float:
        await nap.wait()
        nap.clear()
        return 8 * 3600.0

    async with run_agent(relay, tmp_path / "a", sleeping=sleeping) as agent:
        await agent.health.until("connected")
        nap.set()
        await agent.health.until("connected", times=2)
        assert agent.health.reasons == ["This PC slept for 28800 seconds."]


async def test_machine_that_wakes_up_does_not_wait_on_for_its_next_dial(
    relay: Relay, tmp_path: Path
) -> None:
    nap = asyncio.Event()

    async def sleeping() -> float:
        await nap.wait()
        nap.clear()
        return 8 * 3600.0

    settings = QUICK.model_copy(update={"backoff_base": 3600.0, "backoff_cap": 3600.0})
    async with run_agent(
        relay, tmp_path / "a", sleeping=sleeping, settings=settings, uniform=lambda _, high: high
    ) as agent:
        await agent.health.until("connected")
        await relay.registry.cut(agent.connector_id, CloseCode.INTERNAL_ERROR)
        await agent.health.until("offline")
        assert agent.delays == [3600.0]
        nap.set()
        await agent.health.until("connected", times=2)


async def test_machine_that_wakes_up_still_stays_away_where_it_is_not_welcome(
    relay: Relay, tmp_path: Path
) -> None:
    async def sleeping() -> float:
        return 8 * 3600.0

    async with run_agent(
        relay,
        tmp_path / "a",
        connector_id="con_unknown",
        sleeping=sleeping,
        uniform=lambda _, high: high,
    ) as agent:
        await agent.health.until("offline")
        await asyncio.sleep(0.1)
        assert agent.health.told == ["connecting", "offline"]


class Ways:
    """What the system would say of the network."""

    def __init__(self) -> None:
        self.found = Reach.SAME

    def __call__(self, link: Endpoints) -> Reach:
        assert link.remote
        return self.found


@pytest.mark.parametrize(
    ("found", "says"),
    [(Reach.ADDRESS_GONE, "former address is gone"), (Reach.NO_ROUTE, "has no network")],
)
async def test_link_whose_network_is_gone_is_given_up_at_once(
    relay: Relay, tmp_path: Path, found: Reach, says: str
) -> None:
    ways = Ways()
    settings = QUICK.model_copy(update={"backoff_base": 3600.0, "backoff_cap": 3600.0})
    async with run_agent(
        relay,
        tmp_path / "a",
        network=Network(reach=ways, tick=0.01),
        settings=settings,
        uniform=lambda _, high: min(high, 3600.0),
    ) as agent:
        await agent.health.until("connected")
        ways.found = found
        await agent.health.until("offline")
        assert says in agent.health.reasons[0]
        ways.found = Reach.SAME
        await agent.health.until("connected", times=2)


async def test_link_that_lives_on_another_way_is_kept(relay: Relay, tmp_path: Path) -> None:
    ways = Ways()
    network = Network(reach=ways, tick=0.01)
    async with run_agent(relay, tmp_path / "a", network=network) as agent:
        await agent.health.until("connected")
        told = list(agent.health.told)  # a busy machine may have taken more than one dial
        ways.found = Reach.MOVED
        pings = agent.health.pings
        async with asyncio.timeout(5):
            while agent.health.pings < pings + 3:
                await asyncio.sleep(0.01)
        assert agent.health.told == told
