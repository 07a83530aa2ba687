"""Today's Kianda calls the relay as a custom connector, through an agent, to the simulator."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from doubles.kianda import Kianda
from doubles.world import World, open_world

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(tmp_path_factory.mktemp("world"), tunnel_proxies=False) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=90, trust_env=False) as client:
        yield client


async def registered(world: World, http: httpx.AsyncClient, **members: Any) -> Kianda:
    caller = await world.caller()
    made = await world.api.post("/api/custom-connectors", json={"title": "Procore", **members})
    assert made.status_code == 201, made.text
    return Kianda.of(http, made.json(), {"datasourceId": caller.base.rpartition("/")[2]})


def condition(field: str, value: object) -> dict[str, Any]:
    return {
        "group": "and",
        "conditions": [{"operator": "eq", "arg1": {"name": field}, "arg2": {"value": value}}],
    }


async def writes(world: World) -> int:
    return len(await world.ledger())


@pytest.mark.parametrize("dialect", ["A", "B"])
async def test_rules_of_kianda_work_through_the_tunnel(
    world: World, http: httpx.AsyncClient, dialect: str
) -> None:
    kianda = await registered(world, http, dialect=dialect, allow_writes=True)
    tested = await kianda.test()
    assert tested["message"] == "Connection test succeeded"
    tree = await kianda.metadata()
    tables = {node["name"]: node for group in tree["items"] for node in group["nodes"]}
    assert tables["punch_items"]["selectable"] is True
    project = world.project["id"]
    punch_items = {"name": "punch_items"}
    inserted = await kianda.query(
        action="insert",
        info=punch_items,
        mappings={"name": f"Door {dialect}", "project_id": project},
    )
    assert inserted["success"] is True, inserted
    (created,) = inserted["items"]
    mine = [condition("project_id", project), condition("id", created["id"])]
    selected = await kianda.query(action="select", info=punch_items, conditions=mine)
    assert [row["name"] for row in selected["items"]] == [f"Door {dialect}"]
    assert selected["resultCount"] == "1"
    updated = await kianda.query(
        action="update",
        info=punch_items,
        conditions=mine,
        mappings=[{"left": {"value": "Window"}, "right": {"name": "name"}}],
    )
    assert updated["items"][0]["name"] == "Window"
    deleted = await kianda.query(action="delete", info=punch_items, conditions=mine)
    assert deleted["success"] is True, deleted
    gone = await kianda.query(action="select", info=punch_items, conditions=mine)
    assert (gone["items"], gone["resultCount"]) == ([], "0")
    refused = await kianda.query(action="select", info={"name": "unicorns"})
    assert refused["success"] is False
    assert "unicorns" in refused["message"]


@pytest.mark.catalogue("T83")
@pytest.mark.parametrize("dialect", ["A", "B"])
async def test_captured_write_is_not_carried_out_again(
    world: World, http: httpx.AsyncClient, dialect: str
) -> None:
    kianda = await registered(world, http, dialect=dialect, allow_writes=True)
    insert = {
        "action": "insert",
        "info": {"name": "punch_items"},
        "mappings": {"name": f"Once {dialect}", "project_id": world.project["id"]},
    }
    before = await writes(world)
    captured = kianda.request("Query", insert)
    first = kianda.opened(await kianda.post(kianda.query_url, captured), captured)
    assert first["success"] is True, first
    assert await writes(world) == before + 1
    changed = {**insert, "mappings": {**insert["mappings"], "name": "Twice"}}  # type: ignore[dict-item]  # JSON
    replays = [captured, captured, {**captured, "query": changed}]
    for replay in replays:
        answer = await kianda.post(kianda.query_url, replay)
        assert kianda.opened(answer, captured) == first
    if dialect == "A":  # where a new id does not help whoever lacks the key
        for number, replay in enumerate((captured, {**captured, "query": changed})):
            forged = {**replay, "requestId": f"another-{number}"}
            answer = await kianda.post(kianda.query_url, forged)
            assert answer.status_code == 401
        other_iv = {**captured, "requestId": "another", "iv": "EBESExQVFhcYGRobHB0eHw=="}
        assert (await kianda.post(kianda.query_url, other_iv)).status_code == 401
    await world.relay.restart()
    await world.until_status("online", within=60)
    restarted = await kianda.post(kianda.query_url, captured)
    assert kianda.opened(restarted, captured) == first
    assert await writes(world) == before + 1


async def test_older_registration_writes_nothing_unless_it_was_allowed(
    world: World, http: httpx.AsyncClient
) -> None:
    kianda = await registered(world, http, dialect="B")
    before = await writes(world)
    told = await kianda.query(
        action="insert",
        info={"name": "punch_items"},
        mappings={"name": "Never", "project_id": world.project["id"]},
    )
    assert told["success"] is False
    assert told["data"]["outcome"] == "not_executed"
    assert await writes(world) == before
