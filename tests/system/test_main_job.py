"""The main job, end to end: what a platform does with a connector PC."""

import json
import time
import uuid
from typing import Any

import httpx
import pytest

from system.conftest import Running

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


def key() -> dict[str, str]:
    return {"Idempotency-Key": f"test-{uuid.uuid4()}"}


def rfi(api: httpx.Client, running: Running, subject: str = "Which door?") -> dict[str, Any]:
    me = api.get(f"{running.base}/records/me").json()[0]["id"]
    answer = api.post(
        f"{running.base}/records/rfis",
        params={"project_id": running.project["id"]},
        headers=key(),
        json={
            "subject": subject,
            "question": {"body": "See plan."},
            "rfi_manager_id": me,
            "assignee_ids": [me],
        },
    )
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


def query(api: httpx.Client, running: Running, **members: Any) -> dict[str, Any]:
    answer = api.post(f"{running.base}/query", json=members)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def condition(field: str, operator: str, value: object) -> dict[str, Any]:
    return {
        "group": "and",
        "conditions": [{"operator": operator, "arg1": {"name": field}, "arg2": {"value": value}}],
    }


def test_agent_is_listed_under_connectors(api: httpx.Client, running: Running) -> None:
    items = {item["id"]: item for item in api.get("/api/connectors").json()["items"]}
    item = items[running.ensemble.connector["id"]]
    assert item["status"] == "online"
    assert item["name"] == "demo-pc"
    assert item["machine"]
    assert item["hosted"] is False
    assert item["procore"][0]["environment"] == "developer_sandbox"
    assert item["policy"]
    assert {"os", "version", "group", "connected_since", "last_seen_at", "in_flight"} <= set(item)


def test_connection_test_succeeds_with_the_platforms_words(
    api: httpx.Client, running: Running
) -> None:
    answer = api.post(f"{running.base}/test").json()
    assert answer["success"] is True
    assert answer["message"] == "Connection test succeeded"
    assert api.get(running.base).json()["status"] == "ready"


def test_tree_lists_tables_with_their_fields(api: httpx.Client, running: Running) -> None:
    answer = api.post(f"{running.base}/tree").json()
    assert answer["success"] is True
    tables = {node["name"]: node for group in answer["items"] for node in group["nodes"]}
    table = tables["rfis"]
    assert table["selectable"] is True
    assert table["type"] == "STRUCTURE"
    assert {"id", "subject", "project_id"} <= {field["name"] for field in table["fields"]}
    assert table["nodes"]


def test_records_live_through_every_verb(api: httpx.Client, running: Running) -> None:
    scope = {"project_id": running.project["id"]}
    item = api.post(
        f"{running.base}/records/punch_items", params=scope, headers=key(), json={"name": "Dent"}
    )
    assert item.status_code == 201, item.text
    place = f"{running.base}/records/punch_items/{item.json()['id']}"
    assert api.get(place, params=scope).json()["name"] == "Dent"
    changed = api.patch(place, params=scope, headers=key(), json={"name": "Deep dent"})
    assert changed.json()["name"] == "Deep dent"
    assert api.delete(place, params=scope, headers=key()).status_code == 200
    assert api.get(place, params=scope).status_code == 404


def test_long_lists_stream_as_lines_and_as_one_array(api: httpx.Client, running: Running) -> None:
    place = f"{running.base}/records/rfis"
    scope = {"project_id": running.project["id"]}
    lines = []
    with api.stream(
        "GET", place, params=scope, headers={"Accept": "application/x-ndjson"}
    ) as response:
        assert response.headers["content-type"].startswith("application/x-ndjson")
        lines = [json.loads(line) for line in response.iter_lines()]
    assert len(lines) >= 500
    array = api.get(place, params=scope).json()
    assert [row["id"] for row in array][:500] == [row["id"] for row in lines][:500]
    assert len(api.get(place, params={**scope, "limit": 7}).json()) == 7


def test_platform_query_selects_sorts_and_counts(api: httpx.Client, running: Running) -> None:
    made = rfi(api, running, "Zebra crossing in the hall")
    found = api.post(
        f"{running.base}/query",
        json={
            "action": "select",
            "info": {"name": "rfis"},
            "fields": ["id", "subject", "subject"],
            "conditions": [
                condition("project_id", "eq", running.project["id"]),
                condition("subject", "contains", "ZEBRA crossing"),
            ],
            "orderBy": "id",
            "orderAscending": False,
            "rowLimit": 1,
        },
    )
    assert found.json()["success"] is True, found.text
    (row,) = found.json()["items"]
    assert set(row) == {"id", "subject"}
    assert row["id"] >= made["id"]


def test_platform_query_inserts_updates_and_deletes(api: httpx.Client, running: Running) -> None:
    name = f"Loose handle {uuid.uuid4()}"
    project = running.project["id"]
    inserted = query(
        api,
        running,
        action="insert",
        info={"name": "punch_items"},
        mappings={"name": name, "project_id": project},
    )
    assert inserted["success"] is True, inserted
    (created,) = inserted["items"]
    mine = [condition("project_id", "eq", project), condition("id", "eq", created["id"])]
    updated = query(
        api,
        running,
        action="update",
        info={"name": "punch_items"},
        conditions=mine,
        mappings=[{"left": {"value": f"{name}!"}, "right": {"name": "name"}}],
    )
    assert updated["success"] is True, updated
    assert updated["items"][0]["name"] == f"{name}!"
    deleted = query(api, running, action="delete", info={"name": "punch_items"}, conditions=mine)
    assert deleted["success"] is True, deleted
    again = query(api, running, action="delete", info={"name": "punch_items"}, conditions=mine)
    assert again["success"] is True
    assert again["items"] == []
    assert again["message"] == "No record matches."


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"action": "select", "info": {"name": "unicorns"}}, "unicorns"),
        ({"action": "explode", "info": {"name": "rfis"}}, "explode"),
        ({"action": "delete", "info": {"name": "punch_items"}}, "condition"),
        (
            {
                "action": "select",
                "info": {"name": "rfis"},
                "conditions": [condition("subject", "sounds_like", "door")],
            },
            "sounds_like",
        ),
    ],
)
def test_refused_queries_say_why_in_a_sentence(
    api: httpx.Client, running: Running, members: dict[str, Any], named: str
) -> None:
    answer = query(api, running, **members)
    assert answer["success"] is False
    assert named in answer["message"]


def test_same_key_and_body_is_executed_once(api: httpx.Client, running: Running) -> None:
    header = key()
    marker = f"Once {uuid.uuid4()}"
    send = {
        "params": {"project_id": running.project["id"]},
        "headers": header,
        "json": {"name": marker},
    }
    place = f"{running.base}/records/punch_items"
    first, again = api.post(place, **send), api.post(place, **send)  # type: ignore[arg-type] # one dict for both
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    other = api.post(place, **{**send, "json": {"name": "Another"}})  # type: ignore[arg-type]
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency_mismatch"
    call = api.get("/api/calls", params={"idempotency_key": header["Idempotency-Key"]}).json()
    assert call["outcome"] == "completed"
    assert call["call_id"] == first.headers["cloud-connect-call-id"]
    rows = api.get(
        place, params={"project_id": running.project["id"], "filter[name]": marker}
    ).json()
    assert len(rows) == 1


def test_write_without_a_key_is_refused(api: httpx.Client, running: Running) -> None:
    answer = api.post(
        f"{running.base}/records/punch_items",
        params={"project_id": running.project["id"]},
        json={"name": "No key"},
    )
    assert answer.status_code == 400
    assert answer.json()["code"] == "idempotency_key_required"


def test_calls_are_found_by_their_id(api: httpx.Client, running: Running) -> None:
    answer = api.get(f"{running.base}/records/companies")
    call_id = answer.headers["cloud-connect-call-id"]
    deadline = time.monotonic() + 10
    while (found := api.get(f"/api/calls/{call_id}")).status_code == 404:
        assert time.monotonic() < deadline
    assert found.json()["operation"]
    listed = api.get("/api/calls").json()["items"]
    assert call_id in {call["call_id"] for call in listed}


def test_passthrough_keeps_status_headers_and_rewrites_links(
    api: httpx.Client, running: Running
) -> None:
    project = running.project["id"]
    answer = api.get(f"{running.passthrough}/rest/v1.0/projects/{project}/rfis?per_page=50&page=2")
    assert answer.status_code == 200
    assert len(answer.json()) == 50
    assert int(answer.headers["total"]) >= 500
    assert answer.headers["per-page"] == "50"
    targets = [part[1 : part.index(">")] for part in answer.headers["link"].split(", ")]
    assert targets
    assert all(target.startswith(f"{running.passthrough}/rest/") for target in targets)
    missing = api.get(f"{running.passthrough}/rest/v1.0/projects/{project}/rfis/1")
    assert missing.status_code == 404


def test_passthrough_never_forwards_the_callers_credential(
    api: httpx.Client, running: Running
) -> None:
    marker = f"seen-{uuid.uuid4()}"
    api.get(f"{running.passthrough}/rest/v1.0/me?marker={marker}")
    (entry,) = [e for e in running.requests() if marker in json.dumps(e)]
    assert running.ensemble.api_key not in json.dumps(entry)


def test_metrics_health_and_openapi_are_served(api: httpx.Client, running: Running) -> None:
    bare = httpx.get(f"{running.ensemble.api_url}/healthz", trust_env=False)
    assert bare.status_code == 200
    assert httpx.get(f"{running.ensemble.api_url}/readyz", trust_env=False).status_code == 200
    assert httpx.get(f"{running.ensemble.api_url}/metrics", trust_env=False).status_code == 401
    assert "cloud_connect" in api.get("/metrics").text
    described = api.get("/openapi.json").json()["paths"]
    assert "/api/connectors" in described
    assert any("records" in path for path in described)
    assert api.get("/docs").status_code == 200
