"""Kianda's microservice contract, by an implementation of its crypto that is not ours."""

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from cloud_connect.calls import Operation
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResponseHead
from doubles.call_relay import COMPANY, CallRelay
from doubles.kianda import Kianda
from doubles.kianda_bed import INSERT, SELECT, connected, executions, registered
from doubles.scripted_agent import Act, ScriptedAgent, problem, row_lines


@pytest.mark.parametrize("dialect", ["A", "B"])
async def test_platform_tests_describes_and_queries(
    relay: CallRelay, http: httpx.AsyncClient, dialect: str
) -> None:
    agent, kianda = await connected(relay, http, dialect=dialect)
    settings = dict(kianda.settings)
    tested = await kianda.test()
    assert tested["success"] is True
    assert tested["message"] == "Connection test succeeded"
    assert (tested["items"], tested["resultCount"]) == ([], "0")
    tree = await kianda.metadata()
    assert (tree["items"], tree["resultCount"]) == ([{"name": "rfis"}], "1")
    found = await kianda.query(**SELECT)
    assert found["success"] is True
    assert [row["id"] for row in found["items"]] == [0, 1, 2]
    assert found["resultCount"] == "3"
    assert found["data"]["totalItems"] == 3
    assert kianda.settings == settings
    assert json.loads(agent.heard[-1].body) == SELECT
    base = f"/api/datasources/{settings['datasourceId']}"
    assert (await relay.api.get(base)).json()["status"] == "ready"


async def test_what_is_tested_is_what_another_node_has_just_stored(
    relay: CallRelay, http: httpx.AsyncClient
) -> None:
    agent, kianda = await connected(relay, http)
    await kianda.query(**SELECT)  # from here on this node knows where calls go, for seconds
    datasources = relay.store.storage.of(relay.store.subscription_id).datasources
    source = await datasources.find(kianda.settings["datasourceId"])
    assert source is not None
    edited = replace(source.details, settings={**source.details.settings, "companyId": 77})
    await datasources.replace(
        source,
        edited,
        status=source.status,
        message="",
        action="datasource.change",
        actor=source.modified_by,
        at=source.modified_at + 1,
    )
    assert (await kianda.test())["success"] is True
    assert agent.heard[-1].params["source"]["company_id"] == 77


async def test_settings_may_carry_company_environment_and_connector(
    relay: CallRelay, http: httpx.AsyncClient
) -> None:
    agent = ScriptedAgent()
    live = await relay.connect(agent)
    settings = {
        "companyId": COMPANY,
        "environment": "developer_sandbox",
        "connectorId": live.live.connector_id,
    }
    kianda = await registered(relay, http, settings)
    assert (await kianda.query(**SELECT))["success"] is True
    assert agent.heard[-1].params["source"]["company_id"] == int(COMPANY)


async def test_secret_that_kianda_gave_out_is_taken(
    relay: CallRelay, http: httpx.AsyncClient
) -> None:
    _, kianda = await connected(relay, http)
    theirs = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    place = kianda.test_url.rpartition("/")[0].rpartition("/")[2]
    put = await relay.api.put(f"/api/custom-connectors/{place}/secret", json={"secret": theirs})
    assert put.status_code == 204
    refused = await kianda.post(kianda.test_url, kianda.request("Test"))
    assert refused.status_code == 401
    kianda.secret = theirs
    assert (await kianda.test())["success"] is True
    given = await relay.api.post(
        "/api/custom-connectors", json={"title": "Given", "secret": theirs}
    )
    assert given.status_code == 201
    assert given.json()["secret"] is None
    wrong = await relay.api.post("/api/custom-connectors", json={"title": "x", "secret": "short"})
    assert wrong.status_code == 400
    assert "secret" in wrong.json()["detail"]
    assert "short" not in wrong.json()["detail"]


async def test_registrations_are_listed_without_secrets_and_deleted(
    relay: CallRelay, http: httpx.AsyncClient
) -> None:
    _, kianda = await connected(relay, http)
    (listed,) = (await relay.api.get("/api/custom-connectors")).json()["items"]
    assert "secret" not in listed
    assert listed["title"] == "Kianda"
    assert listed["test_url"] == kianda.test_url
    path = f"/api/custom-connectors/{listed['id']}"
    assert (await relay.api.get(path)).json() == listed
    assert (await relay.api.delete(path)).status_code == 204
    assert (await relay.api.get(path)).status_code == 404
    assert (await relay.api.delete(path)).status_code == 404
    put = await relay.api.put(f"{path}/secret", json={"secret": kianda.secret})
    assert put.status_code == 404
    gone = await kianda.post(kianda.test_url, kianda.request("Test"))
    assert gone.status_code == 401


async def test_registering_needs_the_scopes_that_the_registration_gets(relay: CallRelay) -> None:
    async def ask(*scopes: str, **members: Any) -> int:
        key = await relay.store.key(*scopes)
        made = await relay.api.post(
            "/api/custom-connectors",
            json={"title": "x", **members},
            headers={"Authorization": f"Bearer {key}"},
        )
        return made.status_code

    assert await ask("keys:manage") == 403
    assert await ask("calls:read", "calls:test", "calls:write") == 403
    reads = ("keys:manage", "calls:read", "calls:test")
    assert await ask(*reads) == 403
    assert await ask(*reads, allow_writes=False) == 201
    assert await ask(*reads, dialect="B") == 201
    assert await ask(*reads, "calls:write") == 201


async def test_secret_is_nowhere_in_the_store(relay: CallRelay, http: httpx.AsyncClient) -> None:
    _, kianda = await connected(relay, http)
    found = await kianda.query(**SELECT)
    assert found["items"][0]["subject"] == "Row 0"
    folder = relay.services.settings.data_dir
    kept = b"".join(path.read_bytes() for path in folder.glob("relay.sqlite3*"))
    assert len(kept) > 4096
    for text in (kianda.secret.encode(), kianda.key, b"Row 0"):
        assert text not in kept


async def test_refusal_of_the_source_is_a_sentence_and_a_200(
    relay: CallRelay, http: httpx.AsyncClient
) -> None:
    async def refuse(exchange: Exchange, _: bytes) -> None:
        head = problem("policy_denied", "The policy on the PC forbids it.", status=403)
        await exchange.send_head(head, end_stream=True)

    script: dict[Operation, Act] = dict.fromkeys(
        (Operation.QUERY, Operation.TEST, Operation.TREE), refuse
    )
    _, kianda = await connected(relay, http, ScriptedAgent(script=script))
    for told in (await kianda.query(**SELECT), await kianda.test(), await kianda.metadata()):
        assert told["success"] is False
        assert told["message"] == "The policy on the PC forbids it."
        assert told["data"]["code"] == "policy_denied"
        assert told["data"]["outcome"] == "not_executed"
        assert (told["items"], told["resultCount"]) == ([], "0")


async def test_connector_that_is_not_there_is_a_sentence_and_a_200(
    relay: CallRelay, http: httpx.AsyncClient
) -> None:
    base = await relay.datasource(await relay.enrol())
    kianda = await registered(relay, http, {"datasourceId": base.rpartition("/")[2]})
    told = await kianda.query(**SELECT)
    assert told["success"] is False
    assert told["data"]["code"] == "connector_offline"
    kianda.settings = {"datasourceId": "ds_0000000000000000"}
    for answer in (await kianda.query(**SELECT), await kianda.test(), await kianda.metadata()):
        assert answer["success"] is False
        assert "does not exist" in answer["message"]


@pytest.mark.parametrize(
    ("query", "word"),
    [
        (None, "query"),
        ({"action": "explode", "info": {"name": "rfis"}}, "explode"),
        ({**INSERT, "dryRun": "perhaps"}, "dryRun"),
    ],
)
async def test_query_that_is_none_is_a_sentence(
    relay: CallRelay, http: httpx.AsyncClient, query: dict[str, Any] | None, word: str
) -> None:
    _, kianda = await connected(relay, http)
    request = kianda.request("Query", query)
    told = kianda.opened(await kianda.post(kianda.query_url, request), request)
    assert told["success"] is False
    assert word in told["message"]


async def test_data_source_of_another_subscription_does_not_exist(
    relay: CallRelay, http: httpx.AsyncClient
) -> None:
    agent, kianda = await connected(relay, http)
    other = await relay.store.subscription("Other")
    key = await relay.store.key("all", subscription_id=other)
    made = await relay.api.post(
        "/api/custom-connectors",
        json={"title": "Foreign"},
        headers={"Authorization": f"Bearer {key}"},
    )
    connector = (await relay.api.get("/api/connectors")).json()["items"][0]["id"]
    foreign = Kianda.of(http, made.json(), kianda.settings)
    told = await foreign.query(**SELECT)
    assert told["success"] is False
    assert "does not exist" in told["message"]
    foreign.settings = {
        "companyId": COMPANY,
        "environment": "developer_sandbox",
        "connectorId": connector,
    }
    assert (await foreign.query(**SELECT))["data"]["code"] == "connector_offline"
    assert not agent.heard


async def test_older_dialect_may_not_write_unless_it_is_allowed(
    relay: CallRelay, http: httpx.AsyncClient
) -> None:
    agent, kianda = await connected(relay, http, dialect="B")
    told = await kianda.query(**INSERT)
    assert told["success"] is False
    assert told["data"]["outcome"] == "not_executed"
    assert not agent.executed
    allowed = await registered(relay, http, kianda.settings, dialect="B", allow_writes=True)
    assert (await allowed.query(**INSERT))["success"] is True
    assert executions(agent) == 1


async def test_quota_of_the_subscription_holds(relay: CallRelay, http: httpx.AsyncClient) -> None:
    from cloud_connect_relay.quota import Quota
    from cloud_connect_relay.storage.subscriptions import Subscriptions

    _, kianda = await connected(relay, http)
    await Subscriptions(relay.store.storage).set_quota(
        relay.store.subscription_id, Quota(per_second=1), actor="test", at=0
    )
    answers = [await kianda.query(**SELECT) for _ in range(4)]
    assert "quota_exceeded" in {one["data"].get("code") for one in answers}


async def test_rehearsal_says_that_it_is_one(relay: CallRelay, http: httpx.AsyncClient) -> None:
    async def rehearse(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200))
        await exchange.send(row_lines(1), end_stream=True)

    agent, kianda = await connected(
        relay, http, ScriptedAgent(script={Operation.QUERY_DRY_RUN: rehearse})
    )
    told = await kianda.query(**INSERT, dryRun=True)
    assert told["data"]["dryRun"] is True
    assert not agent.executed


async def test_answers_and_failures_say_where_the_time_went(
    relay: CallRelay, http: httpx.AsyncClient
) -> None:
    async def fail(exchange: Exchange, _: bytes) -> None:
        late = problem("rate_limited", "Later.", status=429)
        await exchange.send_head(
            late.model_copy(update={"hops": {"agent": 59.0, "limit": 58.0}}), end_stream=True
        )

    agent, kianda = await connected(relay, http)
    place = kianda.test_url.rpartition("/")[0]
    asked = {"test": kianda.request("Test"), "metadata": kianda.request("Metadata")}
    asked["query"] = kianda.request("Query", query=SELECT)
    for name, document in asked.items():
        answer = await kianda.post(f"{place}/{name}", document)
        assert "relay;dur=" in answer.headers["server-timing"], name
    agent.script[Operation.QUERY] = fail
    failed = await kianda.post(f"{place}/query", kianda.request("Query", query=SELECT))
    assert failed.json()["queryResult"]["success"] is False
    assert "limit;dur=58" in failed.headers["server-timing"]
