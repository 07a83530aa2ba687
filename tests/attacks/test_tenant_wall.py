"""Two subscriptions on one relay: what belongs to one does not exist for the other."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud_connect_relay.ids import new_id
from doubles.call_relay import COMPANY, CallRelay, call_relay
from doubles.hammer import hammer
from doubles.route_rules import GUARDED
from doubles.scripted_agent import ScriptedAgent
from doubles.timed_refusals import assert_time_tells_nothing

# Which object a path's id names; a route with another kind of id has no entry, and fails.
PREFIXES = {
    "call_id": "call",
    "connector_id": "con",
    "datasource_id": "ds",
    "key_id": "key",
    "registration_id": "reg",
    "token_id": "jt",
    "user_id": "usr",
}
OTHERS = {"path": "rest/v1.0/projects", "resource": "rfis", "record_id": "1"}
ROUTES = sorted(route for route in GUARDED if "_id}" in route)
# What a route needs so that its request is complete, and only the id is wrong.
SELECT = {"action": "select", "info": {"name": "rfis"}}
UPDATE = {"action": "update", "info": {"name": "rfis"}, "mappings": {"a": 1}}
BODIES: dict[str, list[dict[str, Any]]] = {
    "query": [SELECT, UPDATE],
    "secret": [{"secret": "x" * 44}],
    "{connector_id}": [{"name": "x"}],
    "{record_id}": [{"subject": "x"}],
    "{resource}": [{"subject": "x"}],
    "{user_id}": [{"role": "viewer"}],
}
TIMED = (
    "/api/calls/{call_id}",
    "/api/connectors/{connector_id}",
    "/api/custom-connectors/{registration_id}",
    "/api/datasources/{datasource_id}",
    "/api/datasources/{datasource_id}/records/rfis",
    "/api/keys/{key_id}",
    "/api/users/{user_id}",
)
LISTS = ("/api/enrolment-tokens", "/api/custom-connectors")
PAIRS = 60  # of answers before each look at their times
NOTICEABLE = 0.002  # seconds


def nothing(path: str) -> dict[str, Any]:
    """Return the list that has nothing in it; that of calls has pages."""
    return {"items": []} | ({"next": None} if path == "/api/calls" else {})


@dataclass(frozen=True, kw_only=True)
class Walls:
    """A relay with an owner of things, and a stranger with every right in another subscription."""

    relay: CallRelay
    owned: dict[str, str]
    stranger: dict[str, str]
    subscription_id: str

    def fill(self, path: str, ids: dict[str, str]) -> str:
        return re.sub(r"\{(\w+)\}", lambda match: OTHERS.get(match[1]) or ids[match[1]], path)

    async def as_stranger(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {**self.stranger, **options.pop("headers", {})}
        return await self.relay.api.request(method, path, headers=headers, **options)


@pytest.fixture
async def walls(tmp_path: Path) -> AsyncIterator[Walls]:
    async with call_relay(tmp_path, connector_wait=0.1) as relay:
        agent = ScriptedAgent()
        connected = await relay.connect(agent)
        source = await relay.datasource(connected.live.connector_id)
        call = await relay.api.get(f"{source}/records/rfis")
        user = await relay.api.post("/api/users", json={"username": "anna", "role": "viewer"})
        key = await relay.api.post("/api/keys", json={"scopes": ["calls:read"]})
        token = await relay.api.post("/api/enrolment-tokens", json={})
        registration = await relay.api.post("/api/custom-connectors", json={"title": "Kianda"})
        owned = {
            "call_id": call.headers["cloud-connect-call-id"],
            "connector_id": connected.live.connector_id,
            "datasource_id": source.rsplit("/", 1)[1],
            "key_id": key.json()["id"],
            "registration_id": registration.json()["id"],
            "token_id": token.json()["id"],
            "user_id": user.json()["id"],
        }
        await relay.record(owned["call_id"])
        other = await relay.store.subscription("Other")
        bearer = await relay.store.key("all", subscription_id=other)
        yield Walls(
            relay=relay,
            owned=owned,
            stranger={"Authorization": f"Bearer {bearer}"},
            subscription_id=other,
        )


def unknown() -> dict[str, str]:
    return {name: new_id(prefix) for name, prefix in PREFIXES.items()}


def comparable(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    """All of an answer but its time."""
    headers = [(name, value) for name, value in answer.headers.items() if name != "date"]
    return answer.status_code, sorted(headers), answer.content


@pytest.mark.catalogue("T78")
async def test_what_is_anothers_answers_as_what_does_not_exist(walls: Walls) -> None:
    assert len(ROUTES) > 30
    for route in ROUTES:
        method, path = route.split(" ")
        connector = {"Cloud-Connect-Connector": walls.owned["connector_id"]}
        sealed = connector if path.endswith("sealed") else {}
        takes_file = method == "POST" and path.endswith(("uploads", "attachments"))
        for body in BODIES.get(path.rsplit("/", 1)[1], [{}]):
            options: dict[str, Any] = {
                "json": body,
                "headers": {"Idempotency-Key": "one", **sealed},
                "params": {"filename": "a.txt"} if takes_file else {},
            }
            theirs = await walls.as_stranger(method, walls.fill(path, walls.owned), **options)
            nobodys = await walls.as_stranger(method, walls.fill(path, unknown()), **options)
            assert theirs.status_code == 404, (route, theirs.text)
            assert comparable(theirs) == comparable(nobodys), route
            if method != "HEAD":
                assert theirs.json()["code"] == "not_found"
    for path in ("/api/connectors", "/api/datasources", "/api/calls", *LISTS):
        assert (await walls.as_stranger("GET", path)).json() == nothing(path), path
    assert len((await walls.as_stranger("GET", "/api/keys")).json()["items"]) == 1  # its own
    for name, path in (
        ("datasource_id", "/api/datasources/"),
        ("connector_id", "/api/connectors/"),
        ("key_id", "/api/keys/"),
        ("registration_id", "/api/custom-connectors/"),
        ("user_id", "/api/users/"),
    ):
        kept = await walls.relay.api.get(path + walls.owned[name])
        assert kept.status_code == 200, path
        assert kept.json().get("status") != "revoked"


@pytest.mark.catalogue("T78")
@pytest.mark.timeout(300)
async def test_time_does_not_tell_what_is_anothers_from_what_does_not_exist(walls: Walls) -> None:
    url = walls.relay.services.addresses.api_url
    async with hammer(url, walls.stranger) as caller:
        for path in TIMED:

            async def ask(whose: str, path: str = path) -> float:
                ids = walls.owned if whose == "theirs" else unknown()
                hit = await caller.get(walls.fill(path, ids))
                assert hit.status == 404
                return hit.seconds

            kinds = ("theirs", "nobodys")
            await assert_time_tells_nothing(ask, kinds, within=NOTICEABLE, rounds=PAIRS)


@pytest.mark.catalogue("T80")
async def test_nothing_in_a_request_chooses_another_subscription(walls: Walls) -> None:
    owner = walls.relay.store.subscription_id
    invented = ("Cloud-Connect-Subscription", "X-Subscription-Id", "X-Tenant-Id", "Subscription")
    headers = dict.fromkeys(invented, owner) | {
        "X-Original-URL": "/api/keys",
        "X-Rewrite-URL": "/api/keys",
        "X-Forwarded-Prefix": "/x",
    }
    names = ("subscription", "subscription_id", "subscriptionId", "tenant", "tenant_id")
    before = await everything(walls)
    for name in names:
        for path in ("/api/connectors", "/api/datasources", "/api/calls"):
            listed = await walls.as_stranger("GET", path, headers=headers, params={name: owner})
            assert listed.json() == nothing(path)
        for method, path, body in (
            ("POST", "/api/datasources", {"title": "mine"}),
            ("POST", "/api/keys", {"scopes": ["calls:read"]}),
            ("POST", "/api/users", {"username": "mallory"}),
            ("POST", "/api/enrolment-tokens", {}),
        ):
            made = await walls.as_stranger(
                method, path, headers=headers, params={name: owner}, json={**body, name: owner}
            )
            assert made.status_code == 400, (path, "an unknown member is named, not ignored")
            assert name in made.json()["detail"]
        source = f"/api/datasources/{walls.owned['datasource_id']}"
        for query in ({**SELECT, name: owner}, {name: owner}):
            asked = await walls.as_stranger(
                "POST", f"{source}/query", headers=headers, params={name: owner}, json=query
            )
            assert asked.status_code == 404
    for prefix in (f"/api/{owner}", f"/api/subscriptions/{owner}", f"/{owner}/api"):
        for path in ("/datasources", "/keys", f"/connectors/{walls.owned['connector_id']}"):
            assert (await walls.as_stranger("GET", prefix + path)).status_code == 404
    assert await everything(walls) == before


async def everything(walls: Walls) -> list[Any]:
    """What the owner's subscription has, and what the stranger's has."""
    paths = ("/api/datasources", "/api/keys", "/api/users", "/api/enrolment-tokens")
    owners = [(await walls.relay.api.get(path)).json()["items"] for path in paths]
    strangers = [(await walls.as_stranger("GET", path)).json()["items"] for path in paths]
    for keys in (owners[1], strangers[1]):
        for key in keys:
            key.pop("last_used_at")
    return [owners, strangers]


@pytest.mark.catalogue("T84")
async def test_key_of_a_write_means_nothing_in_another_subscription(walls: Walls) -> None:
    agent = ScriptedAgent()
    connected = await walls.relay.connect(agent, subscription_id=walls.subscription_id)
    made = await walls.as_stranger(
        "POST",
        "/api/datasources",
        json={
            "title": "Procore",
            "settings": {"companyId": COMPANY, "environment": "developer_sandbox"},
            "useConnector": True,
            "connectorId": connected.live.connector_id,
        },
    )
    record: dict[str, Any] = {
        "json": {"subject": "secret"},
        "headers": {"Idempotency-Key": "shared"},
    }
    owners = f"/api/datasources/{walls.owned['datasource_id']}/records/rfis"
    first = await walls.relay.api.post(owners, **record)
    assert first.status_code == 201
    lookup = await walls.as_stranger("GET", "/api/calls", params={"idempotency_key": "shared"})
    nothing = await walls.as_stranger("GET", "/api/calls", params={"idempotency_key": "other"})
    assert lookup.status_code == 404
    assert comparable(lookup) == comparable(nothing)
    call_id = first.headers["cloud-connect-call-id"]
    assert (await walls.as_stranger("GET", f"/api/calls/{call_id}")).status_code == 404

    own = await walls.as_stranger(
        "POST", f"/api/datasources/{made.json()['id']}/records/rfis", **record
    )
    assert own.status_code == 201
    assert "idempotency-replayed" not in own.headers
    assert own.headers["cloud-connect-call-id"] != call_id
    assert len(agent.executed) == 1, "carried out for the stranger, by its own agent"
    again = await walls.relay.api.post(owners, **record)
    assert again.headers["idempotency-replayed"] == "true"


@pytest.mark.catalogue("T84")
async def test_writes_under_one_key_at_once_stay_in_their_subscriptions(walls: Walls) -> None:
    """Neither waits for the other, and neither is taken for the other while both run."""
    agent = ScriptedAgent()
    connected = await walls.relay.connect(agent, subscription_id=walls.subscription_id)
    details = {
        "title": "Procore",
        "settings": {"companyId": COMPANY, "environment": "developer_sandbox"},
        "useConnector": True,
        "connectorId": connected.live.connector_id,
    }
    made = await walls.as_stranger("POST", "/api/datasources", json=details)
    own = f"/api/datasources/{made.json()['id']}/records/rfis"
    owners = f"/api/datasources/{walls.owned['datasource_id']}/records/rfis"
    async with asyncio.TaskGroup() as tasks:
        answers = [
            tasks.create_task(
                walls.relay.api.post(
                    path, json={"subject": "x"}, headers={"Idempotency-Key": "k", **headers}
                )
            )
            for path, headers in ((owners, {}), (own, walls.stranger)) * 3
        ]
    statuses = sorted(task.result().status_code for task in answers)
    assert statuses.count(201) >= 2
    assert set(statuses) <= {201, 409}, "409: the same key of the same subscription still runs"
    assert len(agent.executed) == 1
