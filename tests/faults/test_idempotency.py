"""One key, one execution: two relays on one PostgreSQL, judged by the simulator's ledger."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from doubles.caller import Caller
from doubles.checker import check
from doubles.postgres import PostgresServer
from doubles.program import told, wrong_clock
from doubles.world import Agent, World, open_world, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

DAY = 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two relays on one store, a connector of one group on each.

    Attributes:
        first: Writes through the one, to the group.
        second: The same through the other.
    """

    world: World
    first: Caller
    second: Caller


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(
    tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer
) -> AsyncIterator[Pair]:
    folder = tmp_path_factory.mktemp("idempotency")
    async with (
        open_world(
            folder,
            agents=("a", "b"),
            groups={"a": "site", "b": "site"},
            tunnel_proxies=False,
            database_url=postgres.database(),
        ) as world,
        world.node("node-2") as (other, api),
    ):
        agent = world.agents["b"]
        agent.program.environment["CLOUD_CONNECT_RELAY__TUNNEL_URL"] = other.ready["tunnel_url"]
        await agent.program.restart()

        async def moved() -> bool:
            found = (await api.get(f"/api/connectors/{agent.connector_id}")).json()
            return found["status"] == "online" and bool(found["procore"])

        await until(moved, within=30, what="the second connector at the second relay")
        first = await world.caller(connectorGroup="site")
        second = Caller(api, first.base.rsplit("/", 1)[1], first.project_id)
        world.callers.append(second)
        yield Pair(world=world, first=first, second=second)


async def executions(pair: Pair, marker: str) -> int:
    return len(await pair.world.ledger(marker=marker))


@pytest.mark.catalogue("T8")
async def test_fifty_writes_with_one_key_through_two_relays_execute_once(pair: Pair) -> None:
    await pair.world.behave(latency_ms=150)
    async with asyncio.TaskGroup() as tasks:
        asked = [
            tasks.create_task((pair.first, pair.second)[number % 2].create("fifty"))
            for number in range(50)
        ]
    await pair.world.behave(latency_ms=0)
    answers = [task.result() for task in asked]
    assert await executions(pair, "fifty") == 1
    statuses = Counter((answer.status, answer.replayed) for answer in answers)
    assert statuses[201, False] == 1
    assert set(statuses) <= {(201, False), (201, True), (409, False)}, statuses
    assert len({answer.call_id for answer in answers if answer.call_id}) == 1
    again = [await pair.first.create("fifty"), await pair.second.create("fifty")]
    assert [(answer.status, answer.replayed) for answer in again] == [(201, True)] * 2
    assert await executions(pair, "fifty") == 1


async def test_relay_without_the_connector_tells_that_it_was_done(pair: Pair) -> None:
    await pair.first.create("elsewhere")
    holder = await pair.world.api.get("/api/calls", params={"idempotency_key": "elsewhere"})
    assert holder.json()["outcome"] == "completed"
    bodies = []
    for caller in (pair.first, pair.second):
        answer = await caller._api.post(
            f"{caller.base}/records/punch_items?project_id={caller.project_id}",
            headers={"Idempotency-Key": "elsewhere"},
            json={"name": "elsewhere"},
        )
        assert answer.status_code == 201
        bodies.append(answer.json())
        told = await caller._api.get("/api/calls", params={"idempotency_key": "elsewhere"})
        assert told.json()["call_id"] == holder.json()["call_id"]
    assert [body.get("body_available") for body in bodies].count(False) == 1
    assert [body.get("name") for body in bodies].count("elsewhere") == 1
    assert await executions(pair, "elsewhere") == 1


@pytest.mark.catalogue("T9")
async def test_key_of_another_payload_company_or_connector_is_a_mismatch(pair: Pair) -> None:
    world = pair.world
    assert (await pair.first.create("mine", key="shared")).status == 201
    connector = await world.caller(connectorId=[world.agents["a"].connector_id])
    company = await world.api.post(
        "/api/datasources",
        json={
            "title": "Another company",
            "type": "procore",
            "settings": {"companyId": "4343", "environment": "developer_sandbox"},
            "useConnector": True,
            "connectorGroup": "site",
        },
    )
    other = Caller(world.api, company.json()["id"], pair.first.project_id)
    answers = [
        await pair.second.create("other payload", key="shared"),
        await other.create("mine", key="shared"),
        await connector.create("mine", key="shared"),
    ]
    assert [(one.status, one.code) for one in answers] == [(422, "idempotency_mismatch")] * 3
    # The data source itself may be pointed at another company, too.
    moved = {"settings": {"companyId": "4343", "environment": "developer_sandbox"}}
    original = (await world.api.get(pair.first.base)).json()["settings"]
    await world.api.put(pair.first.base, json=moved)
    assert (await pair.first.create("mine", key="shared")).status == 422
    await world.api.put(pair.first.base, json={"settings": original})
    assert (await pair.first.create("mine", key="shared")).replayed
    assert await executions(pair, "mine") == 1
    assert await executions(pair, "other payload") == 0


@pytest.mark.catalogue("T11")
async def test_write_without_a_key_is_refused_or_runs_at_most_once(pair: Pair) -> None:
    world, caller = pair.world, pair.first

    async def keyless(marker: str) -> Any:
        return await caller.write(
            "POST", "/records/punch_items", effect=marker, key=None, body={"name": marker}
        )

    refused = await keyless("no key")
    assert (refused.status, refused.code) == (400, "idempotency_key_required")
    assert await executions(pair, "no key") == 0
    await told(
        "cloud_connect_relay",
        *("subscription", "update", "Default", "--keyless-writes", *world.store),
    )
    try:
        await world.behave(latency_ms=300)
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(keyless(f"risk {number}")) for number in range(20)]

            async def under_way() -> bool:
                return any(row["state"] == "intent" for row in world.agents["a"].journal())

            await until(under_way, within=20, what="a write on its way to Procore")
            await world.agents["a"].program.restart()
        await world.behave(latency_ms=0)
        counts = [await executions(pair, f"risk {number}") for number in range(20)]
        assert max(counts) <= 1
        for number, attempt in enumerate(task.result() for task in asked):
            if attempt.outcome == "completed":
                assert counts[number] == 1
            if attempt.outcome == "not_executed":
                assert counts[number] == 0
        await world.until_status("online", world.agents["a"], within=30)
        assert (await keyless("risk taken")).status == 201
        assert await executions(pair, "risk taken") == 1
        assert not check(await world.history())
    finally:
        await told(
            "cloud_connect_relay",
            *("subscription", "update", "Default", "--no-keyless-writes", *world.store),
        )


@pytest.mark.catalogue("T15")
async def test_lost_answer_to_a_deletion_is_found_out_by_repeating_it(pair: Pair) -> None:
    world = pair.world
    await pair.first.create("doomed")
    record = (await world.ledger(marker="doomed"))[0]["record_id"]
    await world.fault("reset", method="DELETE", times=1, after_execute=True)
    path = f"{pair.first.base}/records/punch_items/{record}?project_id={pair.first.project_id}"
    answer = await world.api.delete(path, headers={"Idempotency-Key": "delete-doomed"})
    assert (answer.status_code, answer.json()) == (200, {"already_absent": True})
    told = (await world.api.get(f"/api/calls/{answer.headers['cloud-connect-call-id']}")).json()
    assert (told["outcome"], told["final"], told["already_absent"]) == ("completed", True, True)
    again = await world.api.delete(path, headers={"Idempotency-Key": "delete-doomed"})
    assert again.headers["idempotency-replayed"] == "true"
    deleted = [one for one in await world.ledger() if one["method"] == "DELETE"]
    assert len(deleted) == 1


@pytest.mark.nightly
async def test_calls_of_a_relay_that_dies_are_settled_by_the_other(pair: Pair) -> None:
    world, second = pair.world, pair.second
    await world.behave(latency_ms=2000)
    async with world.node("node-3") as (doomed, api):
        agent = world.agents["b"]
        agent.program.environment["CLOUD_CONNECT_RELAY__TUNNEL_URL"] = doomed.ready["tunnel_url"]
        await agent.program.restart()

        async def there() -> bool:
            found = (await api.get(f"/api/connectors/{agent.connector_id}")).json()
            return bool(found["status"] == "online" and found["procore"])

        await until(there, within=30, what="the connector at the third relay")
        lost = Caller(api, second.base.rsplit("/", 1)[1], second.project_id)
        keys = [f"orphan {number}" for number in range(20)]
        async with asyncio.TaskGroup() as tasks:
            for key in keys:
                tasks.create_task(lost.create(key))
            await until(_under_way(agent, 5), within=20, what="writes on their way")
            await doomed.crash()
        await world.behave(latency_ms=0)

        async def settled() -> bool:
            found = [await _by_key(world, key) for key in keys]
            return all(one is None or one["outcome"] is not None for one in found)

        seconds = await until(settled, within=30, what="the settlement by the other relay")
        agent.program.environment["CLOUD_CONNECT_RELAY__TUNNEL_URL"] = world.relay.ready[
            "tunnel_url"
        ]
        await agent.program.restart()
        await world.until_status("online", agent, within=30)

        async def certain() -> bool:
            found = [await _by_key(world, key) for key in keys]
            return all(one is None or bool(one["final"]) for one in found)

        flipped = await until(certain, within=30, what="every outcome")
        found = {key: await _by_key(world, key) for key in keys}
        print(f"settled after {seconds:.1f} s, certain {flipped:.1f} s after reconnect")  # noqa: T201
        for key, told_of in found.items():
            count = await executions(pair, key)
            assert count <= 1
            if told_of is None or told_of["outcome"] == "not_executed":
                assert count == 0
            if told_of is not None and told_of["outcome"] == "completed":
                assert count == 1
        assert seconds <= 15
        assert flipped <= 10


def _under_way(agent: Agent, count: int) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return len([row for row in agent.journal() if row["state"] == "intent"]) >= count

    return look


async def _by_key(world: World, key: str) -> dict[str, Any] | None:
    answer = await world.api.get("/api/calls", params={"idempotency_key": key})
    found: dict[str, Any] | None = None if answer.status_code == 404 else answer.json()
    return found


@pytest.mark.nightly  # the relay's own tests do it in a second, with its clock as an argument
async def test_key_is_replayed_for_a_day_and_no_longer(pair: Pair) -> None:
    world, path = pair.world, f"{pair.first.base}/records/punch_items"
    body = {"name": "daily"}
    assert (await pair.first.create("daily", key="daily")).status == 201

    async def at(seconds: int) -> httpx.Response:
        world.relay.environment = wrong_clock(f"+{seconds}")
        await world.relay.restart()
        await world.until_status("online", world.agents["a"], within=40)
        return await world.api.post(
            f"{path}?project_id={pair.first.project_id}",
            headers={"Idempotency-Key": "daily"},
            json=body,
        )

    replayed = await at(DAY - 60)
    assert (replayed.status_code, replayed.headers["idempotency-replayed"]) == (201, "true")
    assert await executions(pair, "daily") == 1
    anew = await at(DAY + 60)
    assert anew.status_code == 201
    assert "idempotency-replayed" not in anew.headers
    assert await executions(pair, "daily") == 2
