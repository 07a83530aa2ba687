"""Relay nodes that are replaced one after the other, under load, behind a load balancer."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from doubles.caller import Caller
from doubles.chaos_proxy import ChaosProxy
from doubles.checker import check
from doubles.postgres import PostgresServer
from doubles.program import Program
from doubles.world import Agent, World, open_world, until

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(300)]

RATE: Final = 50  # calls a second
READS: Final = 4  # of five calls
CHECK_SECONDS: Final = 0.2  # between two looks of the load balancer
NOTICE: Final = 1.0  # for which a node goes on after it said that it stops
MOST_FAILED: Final = 0.01  # of the reads


class Balancer:
    """What stands before the nodes: new connections go to one that is ready."""

    def __init__(self, agent: Agent, front: ChaosProxy, nodes: list[Program]) -> None:
        self._agent = agent
        self._front = front
        self._nodes = nodes
        self._chosen = nodes[0]

    async def run(self) -> None:
        """Look whom to choose, until cancelled."""
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            while True:
                if not await self._is_ready(client, self._chosen):
                    for node in self._nodes:
                        if await self._is_ready(client, node):
                            self._chosen = node
                            break
                # Ports are new after a restart.
                self._front.target = ("127.0.0.1", self._chosen.ready["port"])
                assert self._agent.tunnel is not None
                self._agent.tunnel.target = ("127.0.0.1", self._chosen.ready["tunnel_port"])
                await asyncio.sleep(CHECK_SECONDS)

    @staticmethod
    async def _is_ready(client: httpx.AsyncClient, node: Program) -> bool:
        if not node.alive or not node.ready:
            return False
        try:
            return (await client.get(f"{node.ready['api_url']}/readyz")).status_code == 200
        except httpx.HTTPError:
            return False


@asynccontextmanager
async def behind_a_balancer(world: World, nodes: list[Program]) -> AsyncIterator[Caller]:
    async with AsyncExitStack() as stack:
        front = await stack.enter_async_context(
            ChaosProxy.open("127.0.0.1", nodes[0].ready["port"])
        )
        balancing = asyncio.create_task(Balancer(world.agent, front, nodes).run())
        stack.callback(balancing.cancel)
        api = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=front.url,
                headers={"Authorization": f"Bearer {world.api_key}"},
                timeout=90,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
                # As every client of a balancer does: a connection that cannot be made, or was
                # closed before it carried a request, is made anew.
                transport=httpx.AsyncHTTPTransport(retries=2),
            )
        )
        made = await world.caller()
        caller = Caller(api, made.base.rsplit("/", 1)[1], made.project_id)
        world.callers[-1] = caller
        yield caller


@pytest.mark.catalogue("T40")
async def test_nodes_are_replaced_one_by_one_and_no_call_is_lost(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    async with (
        open_world(
            tmp_path,
            database_url=postgres.database(),
            relay_settings=f"drain_notice = {NOTICE}\n",
            simulator_arguments=("--latency-ms", "50"),
            seed=40,
        ) as world,
        world.node("node-2") as (second, _),
        behind_a_balancer(world, [world.relay, second]) as caller,
    ):
        stop = asyncio.Event()

        async def load() -> None:
            async with asyncio.TaskGroup() as calls:
                began, number = time.monotonic(), 0
                while not stop.is_set():
                    if number % 5 < READS:
                        calls.create_task(caller.read(deadline=30))
                    else:
                        calls.create_task(caller.create(f"rolling-{number}", deadline=30))
                    number += 1
                    await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))

        async def replace(node: Program, other: httpx.URL) -> float:
            node.terminate()
            began = time.monotonic()
            assert await node.ended() == 0
            await node.start()

            async def agent_is_elsewhere() -> bool:
                async with httpx.AsyncClient(trust_env=False) as client:
                    found = await client.get(
                        other.join(f"/api/connectors/{world.agent.connector_id}"),
                        headers={"Authorization": f"Bearer {world.api_key}"},
                    )
                return bool(found.json()["status"] == "online")

            await until(agent_is_elsewhere, within=30, what="the agent at the other node")
            return time.monotonic() - began

        async with asyncio.TaskGroup() as tasks:
            loading = tasks.create_task(load())
            await asyncio.sleep(5)
            first_took = await replace(world.relay, httpx.URL(second.ready["api_url"]))
            await asyncio.sleep(5)
            second_took = await replace(second, httpx.URL(world.relay.ready["api_url"]))
            await asyncio.sleep(5)
            stop.set()
            await loading
        reads = [one for one in caller.attempts if one.method == "GET"]
        failed = [one for one in reads if one.status != 200]
        writes = [one for one in caller.attempts if one.method == "POST"]
        unclear = [one for one in writes if one.status != 201]
        slowest = max(one.ended_at - one.sent_at for one in reads)
        print(  # noqa: T201
            f"T40: {len(reads)} reads, {len(failed)} failed, slowest {slowest:.1f} s;"
            f" {len(writes)} writes, {len(unclear)} not created; replaced in"
            f" {first_took:.1f} s and {second_took:.1f} s"
        )
        print({(one.status, one.code, one.error) for one in (*failed, *unclear)})  # noqa: T201
        assert len(failed) <= MOST_FAILED * len(reads)
        assert not check(await world.history(within=30))
