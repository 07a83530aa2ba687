"""One join token, many hands: whoever is first is the only one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud_connect.signing import SigningKey
from cloud_connect_agent.relay_api import RelayUnreachableError
from doubles.chaos_proxy import ChaosProxy
from doubles.enrolling_pc import MACHINE, Pc
from doubles.link_bench import open_relay, serve_enrolment
from doubles.observing import until
from doubles.postgres import PostgresServer
from doubles.program import Program, running, told
from doubles.redeeming import application, challenge

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

RACERS = 50
ROUNDS = 20


@asynccontextmanager
async def two_nodes(folder: Path, database_url: str) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Two relay processes on one database, each with the administrator's client."""
    store = ("--data-dir", str(folder / "relay"))
    made = await told("cloud_connect_relay", "init", *store, "--database-url", database_url)
    nodes = [
        Program(
            "cloud_connect_relay",
            *("serve", *store, "--database-url", database_url, "--json"),
            *("--port", "0", "--tunnel-port", "0", "--node", name),
            log=folder / f"{name}.log",
        )
        for name in ("node-1", "node-2")
    ]
    async with running(nodes[0]), running(nodes[1]):
        headers = {"Authorization": f"Bearer {made['api_key']}"}
        clients = [
            httpx.AsyncClient(
                base_url=node.ready["api_url"],
                headers=headers,
                timeout=30,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
                trust_env=False,
            )
            for node in nodes
        ]
        async with clients[0], clients[1]:
            yield clients


@pytest.mark.catalogue("T65")
async def test_fifty_racers_at_two_nodes_make_one_connector_every_time(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    async with two_nodes(tmp_path, postgres.database()) as nodes:
        for won in range(1, ROUNDS + 1):
            made = await nodes[won % 2].post("/api/enrolment-tokens", json={})
            token = made.json()["token"]
            challenged = await challenge(nodes[0], token.split(".")[1])
            start = asyncio.Event()

            async def race(
                node: httpx.AsyncClient, body: dict[str, Any], start: asyncio.Event = start
            ) -> int:
                await start.wait()
                return (await node.post("/api/enrol", json=body)).status_code

            async with asyncio.TaskGroup() as racers:
                tasks = [
                    racers.create_task(
                        race(
                            nodes[number % 2],
                            application(token, SigningKey.generate(), challenged),
                        )
                    )
                    for number in range(RACERS)
                ]
                start.set()
            statuses = sorted(task.result() for task in tasks)
            assert statuses == [201] + [403] * (RACERS - 1)
            listed = (await nodes[0].get("/api/connectors")).json()["items"]
            assert len(listed) == won


@pytest.mark.catalogue("T66")
async def test_redeem_whose_answer_was_lost_gives_the_same_connector_again(tmp_path: Path) -> None:
    pc = Pc(tmp_path)
    async with (
        open_relay(tmp_path) as relay,
        serve_enrolment(relay) as url,
        ChaosProxy.open("127.0.0.1", int(url.rpartition(":")[2])) as proxy,
    ):
        relay.services.addresses.bind(port=1, tunnel_port=2)
        token = (await relay.token()).reveal()

        async def enrolled() -> bool:
            return len(await relay.tenant.connectors.list()) == 1

        enroller = pc.enroller(proxy.url)
        redeem = enroller._redeem

        async def redeem_into_the_dark(*arguments: Any, **more: Any) -> Any:
            proxy.down.blackhole()
            return await redeem(*arguments, **more)

        enroller._redeem = redeem_into_the_dark  # type: ignore[method-assign]  # when to cut
        async with asyncio.TaskGroup() as tasks:
            enrolling = tasks.create_task(lost(enroller.enrol(token, MACHINE)))
            await until(enrolled, what="the relay has enrolled it")
            proxy.reset_all()
            await enrolling
        (first,) = await relay.tenant.connectors.list()
        proxy.heal()
        again = await pc.enroller(proxy.url).enrol(token, MACHINE)
        assert again.connector_id == first.id
        assert len(await relay.tenant.connectors.list()) == 1


async def lost(enrolling: Any) -> None:
    with pytest.raises(RelayUnreachableError):
        await enrolling
