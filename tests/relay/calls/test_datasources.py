from typing import Any

import httpx
import pytest

from doubles.call_relay import COMPANY, CallRelay
from doubles.scripted_agent import ScriptedAgent

COMPLETE = {
    "title": "Procore",
    "type": "procore",
    "settings": {"companyId": COMPANY, "environment": "live"},
    "useConnector": False,
}


async def save(relay: CallRelay, **members: Any) -> httpx.Response:
    return await relay.api.post("/api/datasources", json=members)


async def test_new_data_source_has_the_platforms_members(relay: CallRelay) -> None:
    made = await save(relay, **COMPLETE)
    assert made.status_code == 201
    told = made.json()
    assert {name: told[name] for name in COMPLETE} == COMPLETE
    assert told["id"].startswith("ds_")
    assert set(told) >= {
        "typeIcon",
        "typeTitle",
        "candelete",
        "readOnly",
        "status",
        "connectorId",
        "clientConnectorId",
        "modified",
        "modifiedBy",
        "enableB2B",
        "enableFiltering",
        "b2bMappings",
        "admins",
        "allowedUsers",
        "exclusionUsers",
    }
    assert (await relay.api.get(f"/api/datasources/{told['id']}")).json() == told
    assert (await relay.api.get("/api/datasources")).json() == {"items": [told]}


@pytest.mark.parametrize(
    ("members", "lacking"),
    [
        ({}, "a name"),
        ({"title": " "}, "a name"),
        ({**COMPLETE, "title": None}, "a name"),
        ({**COMPLETE, "settings": None}, "company id"),
        ({**COMPLETE, "settings": {"environment": "live"}}, "company id"),
        ({**COMPLETE, "settings": {"companyId": "", "environment": "live"}}, "company id"),
        ({**COMPLETE, "settings": {"companyId": "5"}}, "environment"),
        ({**COMPLETE, "settings": {"companyId": "5", "environment": ""}}, "environment"),
        ({**COMPLETE, "useConnector": True}, "a connector"),
        ({**COMPLETE, "useConnector": True, "connectorId": None}, "a connector"),
        ({**COMPLETE, "useConnector": True, "connectorGroup": " "}, "a connector"),
    ],
)
async def test_incomplete_data_source_is_saved_and_says_what_it_lacks(
    relay: CallRelay, members: dict[str, Any], lacking: str
) -> None:
    made = await save(relay, **members)
    assert made.status_code == 201, made.text
    assert made.json()["status"] == "incomplete"
    assert lacking in made.json()["message"]


async def test_complete_data_source_waits_for_its_test(relay: CallRelay) -> None:
    for members in (
        COMPLETE,
        {**COMPLETE, "useConnector": True, "connectorGroup": "site"},
        {**COMPLETE, "settings": {"companyId": 5, "environment": "developer-sandbox"}},
    ):
        made = (await save(relay, **members)).json()
        assert (made["status"], made["message"]) == (
            "incomplete",
            "Test the connection to finish.",
        )


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"settings": {"nonsense": 1}}, "settings.nonsense"),
        ({"settings": {"companyId": "12a"}}, "settings.companyId"),
        ({"settings": {"companyId": 0}}, "settings.companyId"),
        ({"settings": {"companyId": -5}}, "settings.companyId"),
        ({"settings": {"companyId": 1.5}}, "settings.companyId"),
        ({"settings": {"companyId": True}}, "settings.companyId"),
        ({"settings": {"companyId": 2**63}}, "settings.companyId"),
        ({"settings": {"companyId": "9" * 400}}, "settings.companyId"),
        ({"settings": {"companyId": ["1"]}}, "settings.companyId"),
        ({"settings": {"projectId": "x"}}, "settings.projectId"),
        ({"settings": {"environment": "staging"}}, "settings.environment"),
        ({"type": "sharepoint"}, "type"),
        ({"title": "x" * 201}, "title"),
        ({"title": "a\nb"}, "title"),
        ({"useConnector": "yes"}, "useConnector"),
        ({"connectorId": "con_0000000000000000"}, "con_0000000000000000"),
        ({"connectorId": "../x"}, "connectorId"),
        ({"connectorId": 5}, "connectorId"),
        ({"admins": "me"}, "admins"),
    ],
)
async def test_what_is_wrong_with_a_data_source_is_named(
    relay: CallRelay, members: dict[str, Any], named: str
) -> None:
    answer = await save(relay, **members)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert named in answer.json()["detail"]
    assert (await relay.api.get("/api/datasources")).json() == {"items": []}


async def test_company_id_stays_as_it_was_written(relay: CallRelay) -> None:
    for company in (5, "5", COMPANY, int(COMPANY), 2**63 - 1):
        settings = {"companyId": company, "environment": "live", "projectId": company}
        assert (await save(relay, settings=settings)).json()["settings"] == settings


async def test_connectors_of_others_are_not_taken(relay: CallRelay) -> None:
    other = await relay.store.subscription("Other")
    foreign = await relay.enrol(subscription_id=other)
    revoked = await relay.enrol(status_flag="revoked")
    for connector in (foreign, revoked):
        answer = await save(relay, **{**COMPLETE, "connectorId": connector})
        assert answer.status_code == 400
        assert connector in answer.json()["detail"]


async def test_one_connector_or_several_are_told_as_they_came(relay: CallRelay) -> None:
    one, two = await relay.enrol(), await relay.enrol()
    single = (await save(relay, **{**COMPLETE, "connectorId": one})).json()
    assert single["connectorId"] == one
    several = (await save(relay, **{**COMPLETE, "connectorId": [one, two, one]})).json()
    assert several["connectorId"] == [one, two]
    none = (await save(relay, **{**COMPLETE, "connectorId": ""})).json()
    assert none["connectorId"] == ""


async def test_change_keeps_what_it_leaves_out(relay: CallRelay) -> None:
    made = (await save(relay, **COMPLETE, admins=["ann"])).json()
    place = f"/api/datasources/{made['id']}"
    changed = await relay.api.put(place, json={"title": "Other"})
    assert changed.status_code == 200
    expected = {**made, "title": "Other", "modified": changed.json()["modified"]}
    assert changed.json() == expected
    whole = await relay.api.put(place, json=changed.json())
    assert whole.status_code == 200
    assert whole.json()["admins"] == ["ann"]


async def test_change_of_another_data_sources_id_is_refused(relay: CallRelay) -> None:
    one, two = (await save(relay)).json(), (await save(relay)).json()
    answer = await relay.api.put(f"/api/datasources/{one['id']}", json={"id": two["id"]})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"title": "New name"}, "ready"),
        ({"allowedUsers": ["ann"]}, "ready"),
        ({"settings": {"companyId": COMPANY, "environment": "developer_sandbox"}}, "ready"),
        ({"settings": {"companyId": COMPANY, "environment": "live"}}, "incomplete"),
        ({"useConnector": False}, "incomplete"),
        ({"connectorGroup": "site"}, "incomplete"),
        ({"title": ""}, "incomplete"),
    ],
)
async def test_ready_lasts_until_the_connection_changes(
    relay: CallRelay, change: dict[str, Any], status: str
) -> None:
    _, base = await relay.ready(ScriptedAgent())
    await relay.api.post(f"{base}/test")
    changed = await relay.api.put(base, json=change)
    assert changed.json()["status"] == status
    assert (await relay.api.get(base)).json()["status"] == status


async def test_change_takes_effect_on_the_next_call(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    await relay.api.get(f"{base}/records/rfis")
    await relay.api.put(base, json={"settings": {"companyId": "9", "environment": "live"}})
    await relay.api.get(f"{base}/records/rfis")
    companies = [call.params["source"]["company_id"] for call in agent.calls]
    assert companies == [int(COMPANY), 9]


async def test_data_source_of_a_revoked_connector_can_still_be_saved(relay: CallRelay) -> None:
    connector = await relay.enrol()
    base = await relay.datasource(connector)
    connectors = relay.store.storage.of(relay.store.subscription_id).connectors
    await connectors.revoke(connector, actor="test", at=1.0)
    saved = await relay.api.put(base, json=(await relay.api.get(base)).json())
    assert saved.status_code == 200
    answer = await relay.api.get(f"{base}/records/rfis")
    assert (answer.status_code, answer.json()["code"]) == (503, "connector_offline")
    assert "revoked" in answer.json()["detail"]


async def test_security_is_saved_on_its_own(relay: CallRelay) -> None:
    made = (await save(relay, **COMPLETE)).json()
    place = f"/api/datasources/{made['id']}"
    security = {
        "enableB2B": True,
        "enableFiltering": True,
        "b2bMappings": [{"type": "Read", "table": "rfis", "conditions": []}],
        "admins": ["ann"],
        "allowedUsers": ["bob"],
        "exclusionUsers": [],
    }
    saved = (await relay.api.put(f"{place}/security", json=security)).json()
    assert {name: saved[name] for name in security} == security
    assert saved["title"] == "Procore"
    one = (await relay.api.put(f"{place}/security", json={"enableB2B": False})).json()
    assert {**one, "enableB2B": True, "modified": None} == {**saved, "modified": None}
    wrong = await relay.api.put(f"{place}/security", json={"enableB2C": True})
    assert "enableB2C" in wrong.json()["detail"]


async def test_deleted_data_source_is_gone_at_once(relay: CallRelay) -> None:
    _, base = await relay.ready()
    assert (await relay.api.get(f"{base}/records/rfis")).status_code == 200
    assert (await relay.api.delete(base)).status_code == 204
    assert (await relay.api.delete(base)).status_code == 404
    assert (await relay.api.get(base)).status_code == 404
    assert (await relay.api.put(base, json={})).status_code == 404
    assert (await relay.api.get(f"{base}/records/rfis")).status_code == 404
    assert (await relay.api.get(f"{base}/procore/rest/v1.0/me")).status_code == 404


async def test_other_subscriptions_do_not_see_it(relay: CallRelay) -> None:
    _, base = await relay.ready()
    other = await relay.store.subscription("Other")
    headers = {"Authorization": f"Bearer {await relay.store.key('all', subscription_id=other)}"}
    unknown = "/api/datasources/ds_0000000000000000"
    for method, path in (
        ("GET", ""),
        ("PUT", ""),
        ("DELETE", ""),
        ("PUT", "/security"),
        ("POST", "/test"),
        ("POST", "/tree"),
        ("POST", "/query"),
        ("GET", "/records/rfis"),
        ("GET", "/procore/rest/v1.0/me"),
        ("POST", "/procore/rest/v1.0/me"),
    ):
        body = {"action": "select"} if path == "/query" else {}
        theirs = await relay.api.request(method, base + path, headers=headers, json=body)
        nobodys = await relay.api.request(method, unknown + path, headers=headers, json=body)
        assert theirs.status_code == nobodys.status_code == 404, (method, path)
        assert theirs.json() == nobodys.json()
    assert (await relay.api.get("/api/datasources", headers=headers)).json() == {"items": []}


async def test_changes_stand_in_the_audit_log(relay: CallRelay) -> None:
    base = await relay.datasource()
    await relay.api.put(base, json={"title": "Other"})
    await relay.api.delete(base)
    entries = await relay.store.storage.of(relay.store.subscription_id).audit.newest(limit=3)
    assert [entry.action for entry in entries] == [
        "datasource.delete",
        "datasource.change",
        "datasource.create",
    ]
    assert {entry.target for entry in entries} == {base.rsplit("/", 1)[1]}


async def test_scopes_tell_readers_from_writers(relay: CallRelay) -> None:
    base = await relay.datasource()
    headers = {"Authorization": f"Bearer {await relay.store.key('datasources:read')}"}
    assert (await relay.api.get(base, headers=headers)).status_code == 200
    for method, path in (("PUT", base), ("DELETE", base), ("POST", "/api/datasources")):
        answer = await relay.api.request(method, path, headers=headers, json={})
        assert answer.status_code == 403
