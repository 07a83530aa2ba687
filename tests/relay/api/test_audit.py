import itertools
from typing import Any

import pytest
from sqlalchemy import text

from doubles.relay_node import Node


@pytest.fixture
async def log(node: Node) -> list[dict[str, Any]]:
    """The records of three join tokens, the newest first."""
    for _ in range(3):
        made = await node.api.post("/api/enrolment-tokens", json={"expires_in": 60})
        assert made.status_code == 201
    return await listed(node)


async def listed(node: Node, **wanted: object) -> list[dict[str, Any]]:
    answer = await node.api.get("/api/audit", params={k: str(v) for k, v in wanted.items()})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_each_record_has_its_place_in_the_chain(log: list[dict[str, Any]]) -> None:
    assert [one["seq"] for one in log] == list(range(len(log), 0, -1))
    for newer, older in itertools.pairwise(log):
        assert newer["prev"] == older["hash"]
    assert len(log[0]["hash"]) == 64


async def test_records_are_narrowed_and_paged(node: Node, log: list[dict[str, Any]]) -> None:
    made = [one for one in log if one["action"] == "join_token.create"]
    assert len(made) == 3
    assert await listed(node, action="join_token") == made
    assert await listed(node, action="join_token.create", limit=1) == made[:1]
    assert await listed(node, action="join_token", before=made[0]["seq"]) == made[1:]
    assert await listed(node, action="join") == []
    assert await listed(node, actor=made[0]["actor"], target=made[1]["target"]) == [made[1]]
    assert await listed(node, since="1h", action="join_token") == made
    assert await listed(node, until="1h", action="join_token") == []


async def test_times_that_are_none_are_named(node: Node) -> None:
    answer = await node.api.get("/api/audit", params={"since": "yesterday"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert "'since'" in answer.json()["detail"]


async def test_checkpoints_are_shown_with_what_connectors_hold(node: Node) -> None:
    answer = await node.api.get("/api/audit/checkpoints")
    assert answer.status_code == 200
    assert answer.json() == {"checkpoint": None, "connectors": []}


async def test_nothing_is_changed_that_cannot_be_recorded(node: Node) -> None:
    connector_id = await node.store.connector()
    token = (await node.api.post("/api/enrolment-tokens", json={})).json()["id"]
    source = (
        await node.api.post("/api/datasources", json={"title": "A", "type": "procore"})
    ).json()
    place = f"/api/datasources/{source['id']}"
    before = await state(node)
    async with node.store.storage.write() as connection:
        await connection.execute(
            text("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'full'); END")
        )
    for answer in (
        await node.api.post("/api/enrolment-tokens", json={}),
        await node.api.delete(f"/api/enrolment-tokens/{token}"),
        await node.api.post("/api/datasources", json={"title": "B", "type": "procore"}),
        await node.api.put(place, json={"title": "C"}),
        await node.api.put(f"{place}/security", json={"enableB2B": True}),
        await node.api.delete(place),
        await node.api.patch(f"/api/connectors/{connector_id}", json={"name": "D"}),
    ):
        assert answer.status_code >= 500, (answer.request.url, answer.text)
        assert await state(node) == before, answer.request.url


async def state(node: Node) -> list[Any]:
    """What an administrator changes; a connector's age and statistics change by themselves."""
    places = ("/api/enrolment-tokens", "/api/datasources")
    connectors = (await node.api.get("/api/connectors")).json()["items"]
    return [
        *[(await node.api.get(place)).json() for place in places],
        [(one["id"], one["name"], one["group"], one["status"]) for one in connectors],
    ]
