import time
from datetime import datetime
from types import SimpleNamespace

import pytest

from cloud_connect.calls import Report
from cloud_connect_relay.api.connector_documents import _last_seen, connector_document
from cloud_connect_relay.gateway.registry import EchoNotes
from cloud_connect_relay.metrics import Metrics
from cloud_connect_relay.storage.connectors import Connector, ConnectorFlag
from cloud_connect_relay.times import iso_time
from doubles.relay_node import NOW, Node

FIELDS = {
    "id",
    "name",
    "machine",
    "os",
    "version",
    "group",
    "hosted",
    "status",
    "connected_since",
    "last_seen_at",
    "round_trip_ms",
    "echo_ms",
    "echoed_at",
    "echo_error",
    "started_at",
    "clock_skew_seconds",
    "statistics",
    "in_flight",
    "policy_class",
    "key_id",
    "sealing_key",
    "certificate",
    "intercepted_at",
    "procore",
    "drained",
    "paused_until",
    "paused_by",
    "held_until",
    "policy",
    "problems",
}
REPORT = {
    "procore": [{"environment": "live", "state": "ready"}],
    "policy": {"class": "read-only"},
}


async def test_connectors_are_listed_with_everything_the_platform_shows(node: Node) -> None:
    connector_id = await node.store.connector(
        name="site office", last_seen_at=NOW, report=REPORT, group="g"
    )
    (item,) = (await node.api.get("/api/connectors")).json()["items"]
    assert set(item) == FIELDS
    assert item["id"] == connector_id
    assert item["status"] == "offline"
    assert item["last_seen_at"] == "2026-09-21T14:13:20.000Z"
    assert item["connected_since"] is None
    assert item["procore"] == REPORT["procore"]
    assert item["policy"] == REPORT["policy"]
    alone = (await node.api.get(f"/api/connectors/{connector_id}")).json()
    assert alone.pop("statistics").keys() == item.pop("statistics").keys()  # they grow meanwhile
    assert alone == item


async def test_connector_can_be_renamed_regrouped_and_drained(node: Node) -> None:
    path = f"/api/connectors/{await node.store.connector(group='old')}"
    renamed = await node.api.patch(path, json={"name": "new name"})
    assert (renamed.json()["name"], renamed.json()["group"]) == ("new name", "old")
    assert (await node.api.patch(path, json={"group": "b"})).json()["group"] == "b"
    assert (await node.api.patch(path, json={"group": None})).json()["group"] is None
    drained = await node.api.patch(path, json={"draining": True})
    assert drained.status_code == 200
    assert drained.json()["name"] == "new name"
    actions = (await node.api.get("/api/audit", params={"limit": 1})).json()["items"]
    assert actions[0]["action"] == "connector.change"
    assert actions[0]["detail"] == {"draining": True}
    assert actions[0]["actor"].startswith("key:key_")


async def test_connector_is_paused_for_a_while_and_resumed(node: Node) -> None:
    path = f"/api/connectors/{await node.store.connector()}"
    before = (await node.api.get(path)).json()
    assert (before["paused_until"], before["paused_by"]) == (None, None)
    paused = (await node.api.patch(path, json={"paused_for": 3600})).json()
    left = datetime.fromisoformat(paused["paused_until"]).timestamp() - time.time()
    assert paused["paused_by"] == "administrator"
    assert 3500 < left <= 3600
    assert (await node.api.get(path)).json()["paused_until"] == paused["paused_until"]
    resumed = (await node.api.patch(path, json={"paused_for": 0})).json()
    assert (resumed["paused_until"], resumed["paused_by"]) == (None, None)
    actions = (await node.api.get("/api/audit", params={"limit": 2})).json()["items"]
    assert [action["detail"]["paused_until"] is None for action in actions] == [True, False]


async def test_pause_made_here_is_told_beside_that_of_the_pc(node: Node) -> None:
    report = {"paused": True, "paused_until": "2030-01-01T00:00:00+00:00"}
    path = f"/api/connectors/{await node.store.connector(report=report)}"
    before = (await node.api.get(path)).json()
    assert (before["paused_by"], before["held_until"]) == ("pc", None)
    held = (await node.api.patch(path, json={"paused_for": 3600})).json()
    assert (held["paused_by"], held["paused_until"]) == ("pc", report["paused_until"])
    assert 3500 < datetime.fromisoformat(held["held_until"]).timestamp() - time.time() <= 3600
    await node.api.delete(path)
    revoked = (await node.api.get(path)).json()
    assert revoked["status"] == "revoked"
    assert (revoked["paused_by"], revoked["paused_until"], revoked["held_until"]) == (None,) * 3


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"group": ""},
        {"machine": "x"},
        {"draining": "so"},
        {"paused_for": -1},
        {"paused_for": 604_801},
        {"paused_for": "an hour"},
        {"paused_for": True},
    ],
)
async def test_wrong_change_is_refused(node: Node, body: dict[str, object]) -> None:
    path = f"/api/connectors/{await node.store.connector()}"
    answer = await node.api.patch(path, json=body)
    assert answer.status_code == 400
    assert next(iter(body)) in answer.json()["detail"]


async def test_revoked_connector_stays_listed_as_revoked(node: Node) -> None:
    path = f"/api/connectors/{await node.store.connector()}"
    answer = await node.api.delete(path)
    assert answer.status_code == 204
    assert answer.content == b""
    assert (await node.api.get(path)).json()["status"] == "revoked"
    audit = (await node.api.get("/api/audit")).json()["items"]
    assert audit[0]["action"] == "connector.revoke"


async def test_foreign_unknown_and_malformed_ids_answer_alike(node: Node) -> None:
    foreign = await node.store.connector(subscription_id=await node.store.subscription("Other"))
    bodies = set()
    for connector_id in (foreign, "con_0000000000000000", "x", "con_", "con_%00", "..%2fx"):
        path = f"/api/connectors/{connector_id}"
        for answer in (
            await node.api.get(path),
            await node.api.patch(path, json={"name": "x"}),
            await node.api.delete(path),
        ):
            assert answer.status_code == 404, path
            bodies.add(answer.text)
    assert len(bodies) == 1
    assert (await node.api.get("/api/connectors")).json() == {"items": []}


async def test_live_connector_is_shown_as_it_is_now() -> None:
    live = SimpleNamespace(
        session=SimpleNamespace(last_received=time.monotonic()),
        connected_since=NOW - 60,
        round_trip_ms=1.5,
        in_flight=2,
        draining=False,
        paused=False,
        certificate="intercepted",
        echo=EchoNotes(seconds=0.0021, at=NOW - 5),
        report=Report(paused=False, policy={"class": "test-only"}),
    )
    registry = SimpleNamespace(get=lambda _: live, intercepted={})
    services = SimpleNamespace(clock=lambda: NOW, registry=registry, metrics=Metrics())
    connector = Connector(
        id="con_1",
        subscription_id="sub_1",
        name="pc",
        machine="PC",
        os="Linux",
        version="1",
        group=None,
        hosted=False,
        flag=ConnectorFlag.ACTIVE,
        policy_class="read-write",
        public_key=b"",
        key_id="key_1",
        generation=1,
        enrolled_at=NOW,
        last_seen_at=None,
        connected_since=None,
        report=REPORT,
    )
    shown = connector_document(services, connector, None)  # type: ignore[arg-type]
    assert shown["status"] == "online"
    assert shown["connected_since"] == iso_time(NOW - 60)
    assert (shown["round_trip_ms"], shown["in_flight"]) == (1.5, 2)
    assert (shown["echo_ms"], shown["echoed_at"]) == (2.1, iso_time(NOW - 5))
    assert shown["statistics"]["uptime_24h"] is None
    assert shown["policy"] == {"class": "test-only"}
    assert (shown["certificate"], shown["intercepted_at"]) == ("intercepted", None)
    assert "as its administrator allows" in shown["problems"][-1]
    registry.get, registry.intercepted["con_1"] = lambda _: None, NOW
    shown = connector_document(services, connector, None)  # type: ignore[arg-type]
    assert (shown["certificate"], shown["intercepted_at"]) == ("intercepted", iso_time(NOW))
    assert "Refused" in shown["problems"][-1]


def test_live_connector_was_seen_when_it_was_heard() -> None:
    services = SimpleNamespace(clock=lambda: NOW)
    live = SimpleNamespace(session=SimpleNamespace(last_received=time.monotonic() - 5))
    seen = _last_seen(services, SimpleNamespace(last_seen_at=0), live)  # type: ignore[arg-type]
    assert seen == pytest.approx(NOW - 5, abs=1)


async def test_waiting_and_suspected_connectors_say_what_to_do_and_are_let_in_once(
    node: Node,
) -> None:
    for flag, verb, word in (
        ("pending", "approve", "approve"),
        ("clone_suspected", "recover", "reset --new-identity"),
    ):
        connector_id = await node.store.connector(status_flag=flag)
        shown = (await node.api.get(f"/api/connectors/{connector_id}")).json()
        assert shown["status"] == flag
        assert word in shown["problems"][0]
        answer = await node.api.post(f"/api/connectors/{connector_id}/{verb}")
        assert answer.status_code == 200, answer.text
        assert (answer.json()["status"], answer.json()["problems"]) == ("offline", [])
        assert (await node.api.post(f"/api/connectors/{connector_id}/{verb}")).status_code == 400
        reader = node.auth(await node.store.key("connectors:read"))
        path = f"/api/connectors/{connector_id}/{verb}"
        assert (await node.api.post(path, headers=reader)).status_code == 403
        entries = (await node.api.get("/api/audit")).json()["items"]
        done = [entry["action"] for entry in entries if entry["target"] == connector_id]
        assert done == [f"connector.{verb}"]
        for unknown in ("con_0000000000000000", "no id at all"):
            path = f"/api/connectors/{unknown}/{verb}"
            assert (await node.api.post(path)).status_code == 404
