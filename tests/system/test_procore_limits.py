"""Procore's limits through both ends: never overrun, shared by many, and visible."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from system.conftest import Running, cli

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(120)]

FREE = {"latency_ms": 0, "spike_limit": 0, "spike_seconds": 10}
USERS = 50


def change(running: Running, **behaviour: object) -> None:
    answer = httpx.post(
        f"{running.ensemble.simulator['admin_url']}/state",
        json={"behaviour": behaviour},
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text


@pytest.fixture
def limited(running: Running) -> Iterator[Running]:
    yield running
    change(running, **FREE)


def lists_of_rfis(running: Running) -> list[dict[str, Any]]:
    path = f"/rest/v1.0/projects/{running.project['id']}/rfis"
    return [one for one in running.requests() if one["path"] == path]


def rate_limited(running: Running) -> int:
    answer = httpx.get(f"{running.ensemble.simulator['admin_url']}/counters", trust_env=False)
    counted: int = answer.json()["rate_limited"]
    return counted


async def ask_together(running: Running, query: dict[str, Any]) -> list[httpx.Response]:
    async with (
        httpx.AsyncClient(
            base_url=running.ensemble.api_url,
            headers={"Authorization": f"Bearer {running.ensemble.api_key}"},
            timeout=60,
            trust_env=False,
        ) as api,
        asyncio.TaskGroup() as group,
    ):
        tasks = [
            group.create_task(api.post(f"{running.base}/query", json=query)) for _ in range(USERS)
        ]
    return [task.result() for task in tasks]


def test_fifty_users_of_one_form_cost_one_request(limited: Running) -> None:
    change(limited, latency_ms=1500)
    condition = {"operator": "eq", "arg1": {"name": "project_id"}}
    query = {
        "action": "select",
        "info": {"name": "rfis"},
        "conditions": [
            {
                "group": "and",
                "conditions": [{**condition, "arg2": {"value": limited.project["id"]}}],
            }
        ],
        "rowLimit": 5,
    }
    before = len(lists_of_rfis(limited))
    answers = asyncio.run(ask_together(limited, query))
    assert len(lists_of_rfis(limited)) - before == 1
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(answers[0].json()["items"]) == 5


def test_a_long_list_keeps_to_the_limit_and_status_shows_what_is_left(limited: Running) -> None:
    limit, seconds = 12, 2
    change(limited, spike_limit=limit, spike_seconds=seconds)
    before, refused = len(lists_of_rfis(limited)), rate_limited(limited)
    began = time.monotonic()
    with limited.client() as api:
        rows = api.get(
            f"{limited.base}/records/rfis", params={"project_id": limited.project["id"]}
        ).json()
        taken = time.monotonic() - began
        for _ in range(2 * limit):
            one = api.get(f"{limited.base}/procore/rest/v1.0/me")
            assert one.status_code == 200, one.text
    assert len(rows) >= 100
    assert rate_limited(limited) == refused
    pages = len(lists_of_rfis(limited)) - before
    assert taken < 1.5 * seconds * (pages // limit + 1) + 2
    status = json.loads(
        cli("cloud_connect_agent", "status", "--home", str(limited.ensemble.home), "--json").stdout
    )
    budgets = [budget for grant in status["procore"] for budget in grant["budget"]]
    (budget,) = [one for one in budgets if one["limit"] == limit]
    assert budget["company_id"] == limited.company["id"]
    assert 0 <= budget["remaining"] <= limit
