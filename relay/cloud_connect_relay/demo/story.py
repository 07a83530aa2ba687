"""The story of the demo: one data source, one connection test, every verb, one long list."""

import time
from dataclasses import dataclass
from typing import Any

import httpx

from cloud_connect.errors import CloudConnectError
from cloud_connect_relay.demo.ensemble import ENVIRONMENT, Ensemble, Tell

__all__ = ["StoryError", "tell_story"]


class StoryError(CloudConnectError):
    """A step of the story did not do what it should; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    api: httpx.AsyncClient
    base: str
    company_id: int
    project_id: int


async def tell_story(ensemble: Ensemble, *, tell: Tell) -> str:
    """Run every step against the running *ensemble* and return the data source's id.

    Raises:
        StoryError: At the first step that fails.
    """
    stage = await _data_source(ensemble, tell)
    await _connection_test(stage, tell)
    await _rfi(stage, tell)
    await _long_list(stage, tell)
    await _delete(stage, tell)
    if "hosted" in ensemble.pids:
        await _without_cloud_connect(stage, tell)
    return stage.base.rsplit("/", 1)[-1]


async def _data_source(ensemble: Ensemble, tell: Tell) -> _Stage:
    company = next(c for c in ensemble.simulator["companies"] if c.get("connected"))
    project = next(p for p in ensemble.simulator["projects"] if p["company_id"] == company["id"])
    saved = await _call(
        "Save the data source",
        ensemble.api.post(
            "/api/datasources",
            json={
                "title": "Procore (demo)",
                "type": "procore",
                "settings": {
                    "companyId": str(company["id"]),
                    "environment": ENVIRONMENT,
                    "projectId": str(project["id"]),
                },
                "useConnector": True,
                "connectorId": ensemble.connector["id"],
            },
        ),
        status=201,
    )
    tell("Details saved successfully", f"{saved['title']}, {company['name']}, {project['name']}")
    return _Stage(
        api=ensemble.api,
        base=f"/api/datasources/{saved['id']}",
        company_id=company["id"],
        project_id=project["id"],
    )


async def _connection_test(stage: _Stage, tell: Tell) -> None:
    answer = await _call("Test connection", stage.api.post(f"{stage.base}/test"))
    if not answer["success"]:
        raise StoryError(f"Test connection: {answer['message']}")
    passed = sum(step["status"] == "PASS" for step in answer.get("steps", ()))
    tell(answer["message"], f"{passed} steps passed")


async def _rfi(stage: _Stage, tell: Tell) -> None:
    me = await _call("Read who we are", stage.api.get(f"{stage.base}/records/me"))
    manager = me[0]["id"]
    created = await _call(
        "Create an RFI",
        stage.api.post(
            f"{stage.base}/records/rfis",
            params={"project_id": stage.project_id},
            headers={"Idempotency-Key": f"demo-rfi-{time.time_ns()}"},
            json={
                "subject": "Which door goes to room 12?",
                "question": {"body": "The plan shows two."},
                "rfi_manager_id": manager,
                "assignee_ids": [manager],
            },
        ),
        status=201,
    )
    tell("Created", f"RFI {created['id']}: {created['subject']}")
    place = f"{stage.base}/records/rfis/{created['id']}"
    scope = {"project_id": stage.project_id}
    back = await _call("Read the RFI back", stage.api.get(place, params=scope))
    _expect(back["subject"] == created["subject"], "Read the RFI back: another subject came.")
    tell("Read back", f"RFI {back['id']}, status {back['status']}")
    changed = await _call(
        "Update the RFI",
        stage.api.patch(
            place,
            params=scope,
            headers={"Idempotency-Key": f"demo-update-{time.time_ns()}"},
            json={"subject": "Which door goes to room 12a?"},
        ),
    )
    _expect(changed["subject"].endswith("12a?"), "Update the RFI: the subject stayed.")
    tell("Updated", f"RFI {changed['id']}: {changed['subject']}")


async def _long_list(stage: _Stage, tell: Tell) -> None:
    started = time.monotonic()
    first_row: float | None = None
    rows = 0
    async with stage.api.stream(
        "GET",
        f"{stage.base}/records/rfis",
        params={"project_id": stage.project_id, "limit": 500},
        headers={"Accept": "application/x-ndjson"},
    ) as response:
        if response.status_code != 200:
            await response.aread()
            raise StoryError(f"Stream 500 RFIs: {_reason(response)}")
        async for line in response.aiter_lines():
            if first_row is None:
                first_row = time.monotonic() - started
            rows += bool(line)
    elapsed = time.monotonic() - started
    _expect(rows == 500, f"Stream 500 RFIs: {rows} rows came.")
    tell(
        "Streamed",
        f"{rows} rows in {elapsed * 1000:.0f} ms, the first after {(first_row or 0) * 1000:.0f} ms",
    )


async def _delete(stage: _Stage, tell: Tell) -> None:
    scope = {"project_id": stage.project_id}
    created = await _call(
        "Create a punch item",
        stage.api.post(
            f"{stage.base}/records/punch_items",
            params=scope,
            headers={"Idempotency-Key": f"demo-punch-{time.time_ns()}"},
            json={"name": "Scratched frame, room 12a"},
        ),
        status=201,
    )
    place = f"{stage.base}/records/punch_items/{created['id']}"
    await _call(
        "Delete the punch item",
        stage.api.delete(
            place, params=scope, headers={"Idempotency-Key": f"demo-delete-{time.time_ns()}"}
        ),
    )
    gone = await stage.api.get(place, params=scope)
    _expect(gone.status_code == 404, "Delete the punch item: it is still there.")
    tell("Deleted", f"punch item {created['id']} (Procore itself has no delete for RFIs)")


async def _without_cloud_connect(stage: _Stage, tell: Tell) -> None:
    """Switch *Use Kianda Cloud Connect* off, run on the hosted connector, and switch it on."""
    off = await _call(
        "Switch Cloud Connect off", stage.api.put(stage.base, json={"useConnector": False})
    )
    _expect(off["useConnector"] is False, "Switch Cloud Connect off: it is still on.")
    answer = await _call("Test the hosted connector", stage.api.post(f"{stage.base}/test"))
    _expect(answer["success"], f"Test the hosted connector: {answer['message']}")
    rows = await _call(
        "Read on the hosted connector",
        stage.api.get(
            f"{stage.base}/records/rfis", params={"project_id": stage.project_id, "limit": 3}
        ),
    )
    _expect(len(rows) == 3, f"Read on the hosted connector: {len(rows)} rows came.")
    await _call("Switch Cloud Connect on", stage.api.put(stage.base, json={"useConnector": True}))
    answer = await _call("Test the connector again", stage.api.post(f"{stage.base}/test"))
    _expect(answer["success"], f"Test the connector again: {answer['message']}")
    tell("Ran on the hosted agent", "with Use Kianda Cloud Connect off; it is on again")


async def _call(title: str, request: Any, *, status: int = 200) -> Any:
    response: httpx.Response = await request
    if response.status_code != status:
        raise StoryError(f"{title}: {_reason(response)}")
    return response.json()


def _reason(response: httpx.Response) -> str:
    try:
        answer = response.json()
    except ValueError:
        return f"HTTP {response.status_code}"
    return str(answer.get("detail") or answer.get("message") or answer)


def _expect(held: bool, otherwise: str) -> None:  # noqa: FBT001 - reads like an assertion
    if not held:
        raise StoryError(otherwise)
