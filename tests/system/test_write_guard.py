"""Looking before writing, end to end: dry runs, lists of new records, ceilings, drift."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from system.conftest import Running

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

FIELD, FIELD_ID = "custom_field_49418", 49418


def key() -> dict[str, str]:
    return {"Idempotency-Key": f"test-{uuid.uuid4()}"}


def writes(running: Running) -> int:
    return sum(
        request["method"] != "GET" and request["path"].startswith("/rest/")
        for request in running.requests()
    )


def condition(field: str, operator: str, value: object) -> dict[str, object]:
    return {"arg1": {"name": field}, "operator": operator, "arg2": {"value": value}}


@pytest.fixture
def project(running: Running) -> dict[str, str]:
    return {"project_id": str(running.project["id"])}


@pytest.fixture
def policy(running: Running) -> Iterator[Path]:
    file = running.ensemble.home / "policy.toml"
    before = file.read_text()
    yield file
    file.write_text(before)


def made(
    api: httpx.Client, running: Running, project: dict[str, str], count: int
) -> list[dict[str, Any]]:
    records = [{"name": f"Bulk {number}"} for number in range(count)]
    place = f"{running.base}/records/punch_items"
    answer = api.post(place, params=project, headers=key(), json=records)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["count"], told["failed"]) == (count, 0)
    return [item["record"] for item in told["items"]]


def test_change_is_rehearsed_then_made(
    api: httpx.Client, running: Running, project: dict[str, str]
) -> None:
    ids = [record["id"] for record in made(api, running, project, 3)]
    before = writes(running)
    query = {
        "action": "delete",
        "info": {"name": "punch_items"},
        "conditions": [
            {
                "conditions": [
                    condition("id", "in", ids),
                    condition("project_id", "eq", project["project_id"]),
                ]
            }
        ],
        "multiple": True,
    }
    told = api.post(f"{running.base}/query", json={**query, "dryRun": True}).json()
    assert (told["success"], told["dryRun"], told["count"]) == (True, True, 3)
    assert told["message"] == "3 records would be deleted; nothing was written."
    one = f"{running.base}/records/punch_items/{ids[0]}"
    shown = api.delete(one, params={**project, "dryRun": "true"}).json()
    assert [item["id"] for item in shown["items"]] == ids[:1]
    assert writes(running) == before
    done = api.post(f"{running.base}/query", json=query).json()
    assert sorted(item["id"] for item in done["items"]) == sorted(ids)
    assert writes(running) == before + 3


def test_repeated_list_of_records_is_created_once(
    api: httpx.Client, running: Running, project: dict[str, str]
) -> None:
    code = uuid.uuid4().hex[:8]
    records = [{"code": f"{code}{number}", "name": f"C{number}"} for number in range(5)]
    place, headers, before = f"{running.base}/records/cost_codes", key(), writes(running)
    first = api.post(place, params=project, headers=headers, json=records)
    again = api.post(place, params=project, headers=headers, json=records)
    assert [item["status"] for item in first.json()["items"]] == ["created"] * 5
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert writes(running) == before + 1  # one sync
    call = api.get(f"/api/calls/{first.headers['cloud-connect-call-id']}").json()
    assert (call["operation"], call["outcome"], call["rows"]) == ("records.create", "completed", 5)


def test_policy_of_the_pc_bounds_what_one_call_changes(
    api: httpx.Client, running: Running, project: dict[str, str], policy: Path
) -> None:
    text = policy.read_text()
    assert "max_records_per_call = 100" in text
    policy.write_text(text.replace("max_records_per_call = 100", "max_records_per_call = 2"))
    before = writes(running)
    records = [{"name": "x"}] * 3
    place = f"{running.base}/records/punch_items"

    def refused() -> bool:
        rehearsed = api.post(place, params={**project, "dryRun": "true"}, json=records).json()
        return "would be refused" in rehearsed["message"]

    until = time.monotonic() + 20
    while not refused():  # the agent looks at the file once a second
        assert time.monotonic() < until
    answer = api.post(place, params=project, headers=key(), json=records)
    assert (answer.status_code, answer.json()["code"]) == (403, "policy_denied")
    assert "at most 2 records" in answer.json()["detail"]
    assert answer.json()["outcome"] == "not_executed"
    assert writes(running) == before


def test_custom_field_that_the_company_retires_or_changes_is_reported(
    api: httpx.Client, running: Running, project: dict[str, str]
) -> None:
    def change(**facts: object) -> None:
        company = {"id": running.company["id"], **facts}
        url = f"{running.ensemble.simulator['admin_url']}/state"
        answer = httpx.post(url, json={"companies": [company]}, trust_env=False)
        assert answer.is_success, answer.text

    def drift() -> dict[str, Any]:
        answer = api.get(f"{running.base}/drift", params={"refresh": "true"})
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def labels() -> set[str]:
        tree = api.post(f"{running.base}/tree", params={"refresh": "true"}).json()["items"]
        (table,) = (
            node for group in tree for node in group["nodes"] if node["name"] == "punch_items"
        )
        return {field["text"] for field in table["fields"] if field["name"] == FIELD}

    assert labels()
    listed = {**project, "fields": f"id,{FIELD}", "limit": "1"}
    assert api.get(f"{running.base}/records/punch_items", params=listed).is_success
    first = drift()
    assert first["items"] == []
    try:
        change(retired_custom_fields=[FIELD_ID])
        told = drift()
    finally:
        change(retired_custom_fields=[])
    assert (told["version"], told["previous_version"]) == (first["version"] + 1, first["version"])
    (item,) = told["items"]
    assert (item["resource"], item["field"], item["kind"]) == ("punch_items", FIELD, "gone")
    assert item["used_by_queries"] >= 1
    assert drift()["items"] == []
    try:
        change(retyped_custom_fields={FIELD_ID: "decimal"})
        (retyped,) = drift()["items"]
    finally:
        change(retyped_custom_fields={})
    assert (retyped["field"], retyped["kind"]) == (FIELD, "type_changed")
    assert drift()["items"] == []
    assert labels()
    kept = running.ensemble.home / "state" / "metadata"
    assert [file.name for file in kept.iterdir()] == [
        f"developer-sandbox-{running.company['id']}.json"
    ]
