import asyncio

import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from doubles.call_relay import CallRelay
from doubles.scripted_agent import ScriptedAgent, hang, problem


async def test_call_is_found_as_soon_as_its_answer_is_there(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    for path in ("records/rfis", "records/rfis/7", "procore/rest/v1.0/me"):
        answer = await relay.api.get(f"{base}/{path}")
        call_id = answer.headers["cloud-connect-call-id"]
        found = await relay.api.get(f"/api/calls/{call_id}")
        assert found.status_code == 200
        told = found.json()
        assert told["call_id"] == call_id
        assert told["connector_id"] == relay.connected[0].live.connector_id
        assert told["datasource_id"] == base.rsplit("/", 1)[1]
        assert told["started_at"].endswith("Z")
        await relay.quiet()
        ended = (await relay.api.get(f"/api/calls/{call_id}")).json()
        assert (ended["outcome"], ended["final"], ended["status"]) == ("completed", True, 200)
        assert ended["finished_at"] >= ended["started_at"]
        assert ended["duration_ms"] >= 0
    assert len(agent.calls) == 3


async def test_running_call_is_found_too(relay: CallRelay) -> None:
    agent, base = await relay.ready(ScriptedAgent(script={Operation.GET: hang}))
    async with asyncio.TaskGroup() as tasks:
        held = tasks.create_task(relay.api.get(f"{base}/records/rfis/7"))
        await agent.arrived.wait()
        call_id = agent.calls[0].head.call_id
        told = (await relay.api.get(f"/api/calls/{call_id}")).json()
        assert (told["state"], told["outcome"], told["final"]) == ("dispatched", None, False)
        assert (told["finished_at"], told["duration_ms"]) == (None, None)
        listed = (await relay.api.get("/api/calls")).json()["items"]
        assert [call["call_id"] for call in listed] == [call_id]
        filtered = await relay.api.get("/api/calls", params={"outcome": "completed"})
        assert filtered.json() == {"items": [], "next": None}
        held.cancel()


async def test_calls_are_listed_newest_first_and_narrowed(relay: CallRelay) -> None:
    async def refuse(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(problem("policy_denied", status=403), end_stream=True)

    _, base = await relay.ready(ScriptedAgent(script={Operation.GET: refuse}))
    ids = []
    for path in ("records/rfis", "records/rfis/7", "procore/rest/v1.0/me"):
        answer = await relay.api.get(f"{base}/{path}")
        ids.append(answer.headers["cloud-connect-call-id"])
    await relay.quiet()

    async def found(**params: str) -> list[str]:
        answer = await relay.api.get("/api/calls", params=params)
        assert answer.status_code == 200, answer.text
        return [call["call_id"] for call in answer.json()["items"]]

    assert await found() == ids[::-1]
    assert await found(limit="2") == ids[:0:-1]
    assert await found(outcome="not_executed") == [ids[1]]
    assert await found(outcome="running") == []
    assert await found(status="2xx") == [ids[2], ids[0]]
    assert await found(call_id=ids[1]) == [ids[1]]
    assert await found(attempts_of="nobody's") == []
    assert await found(since="1h", until="1d") == []
    assert await found(since="1h") == ids[::-1]
    assert await found(operation="passthrough") == [ids[2]]
    assert await found(connector_id=relay.connected[0].live.connector_id) == ids[::-1]
    assert await found(connector_id="con_0000000000000000") == []
    assert await found(datasource_id=base.rsplit("/", 1)[1]) == ids[::-1]
    for params in (
        {"limit": "0"},
        {"limit": "x"},
        {"outcome": "maybe"},
        {"operation": "dance"},
        {"status": "1xx"},
        {"since": "soon"},
        {"after": "x"},
        {"after": "nan~call_0000000000000000"},
    ):
        answer = await relay.api.get("/api/calls", params=params)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert next(iter(params)) in answer.json()["detail"]


async def test_list_goes_on_where_its_page_ended_whatever_comes_meanwhile(
    relay: CallRelay,
) -> None:
    agent, base = await relay.ready(ScriptedAgent(script={Operation.GET: hang}))
    ids = []
    async with asyncio.TaskGroup() as tasks:
        held = tasks.create_task(relay.api.get(f"{base}/records/rfis/7"))
        await agent.arrived.wait()
        ids.append(agent.calls[0].head.call_id)
        for _ in range(4):
            answer = await relay.api.get(f"{base}/records/rfis")
            ids.append(answer.headers["cloud-connect-call-id"])
        seen: list[str] = []
        params = {"limit": "2"}
        while True:
            page = (await relay.api.get("/api/calls", params=params)).json()
            seen += [call["call_id"] for call in page["items"]]
            await relay.api.get(f"{base}/records/rfis")
            if page["next"] is None:
                break
            params["after"] = page["next"]
        held.cancel()
    assert seen == ids[::-1], "running ones stand among those that have ended"


@pytest.mark.parametrize("call_id", ["call_0000000000000000", "nonsense", "%2e%2e", "call_"])
async def test_unknown_and_malformed_ids_answer_alike(relay: CallRelay, call_id: str) -> None:
    answer = await relay.api.get(f"/api/calls/{call_id}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.json()["detail"] == "There is nothing here, or it is not yours."


async def test_calls_of_other_subscriptions_are_not_there(relay: CallRelay) -> None:
    agent, base = await relay.ready(ScriptedAgent(script={Operation.GET: hang}))
    other = await relay.store.subscription("Other")
    headers = {"Authorization": f"Bearer {await relay.store.key('all', subscription_id=other)}"}
    done = await relay.api.post(
        f"{base}/records/rfis", headers={"Idempotency-Key": "mine"}, json={"name": "x"}
    )
    async with asyncio.TaskGroup() as tasks:
        held = tasks.create_task(relay.api.get(f"{base}/records/rfis/7"))
        async with asyncio.timeout(5):
            while len(agent.calls) < 2:
                await asyncio.sleep(0.01)
        for call_id in (
            agent.calls[1].head.call_id,
            done.headers["cloud-connect-call-id"],
        ):
            theirs = await relay.api.get(f"/api/calls/{call_id}", headers=headers)
            assert theirs.status_code == 404
        key = await relay.api.get("/api/calls", params={"idempotency_key": "mine"}, headers=headers)
        assert key.status_code == 404
        assert (await relay.api.get("/api/calls", headers=headers)).json() == {
            "items": [],
            "next": None,
        }
        held.cancel()


async def test_lookup_asks_the_journal_of_a_call_that_is_unknown(relay: CallRelay) -> None:
    from cloud_connect.tunnel import ResponseHead
    from doubles.scripted_agent import Entry

    async def lose(exchange: Exchange, _: bytes) -> None:
        agent.journal[exchange.request.call_id] = Entry(head=None)
        unknown = problem("outcome_unknown", "No answer came.", outcome=Outcome.UNKNOWN)
        await exchange.send_head(unknown, end_stream=True)

    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: lose}))
    answer = await relay.api.post(
        f"{base}/records/rfis", headers={"Idempotency-Key": "k"}, json={"name": "x"}
    )
    lookup = answer.json()["lookup"]
    assert (await relay.api.get(lookup)).json()["outcome"] == "unknown"
    rejected = problem("source_rejected", "No such project.", status=404, outcome=Outcome.COMPLETED)
    agent.journal[answer.json()["call_id"]] = Entry(head=rejected)
    told = (await relay.api.get(lookup)).json()
    assert (told["outcome"], told["final"], told["status"]) == ("completed", True, 404)
    assert (told["code"], told["detail"]) == ("source_rejected", "No such project.")
    agent.journal[answer.json()["call_id"]] = Entry(
        head=ResponseHead(status=500, outcome=Outcome.UNKNOWN)
    )
    by_key = await relay.api.get("/api/calls", params={"idempotency_key": "k"})
    assert by_key.json()["outcome"] == "completed"  # what is final stays


async def test_calls_are_counted(relay: CallRelay) -> None:
    _, base = await relay.ready()
    await relay.api.get(f"{base}/records/rfis")
    await relay.quiet()
    metrics = (await relay.api.get("/metrics")).text
    assert 'cloud_connect_calls_total{operation="records.list",outcome="completed"} 1.0' in metrics


async def test_bytes_are_counted_both_ways(relay: CallRelay) -> None:
    _, base = await relay.ready()
    await relay.api.post(f"{base}/procore/rest/v1.0/files", content=b"x" * 200_000)
    answer = await relay.api.get(f"{base}/records/rfis", headers={"Accept": "application/x-ndjson"})
    await relay.quiet()
    metrics = (await relay.api.get("/metrics")).text
    assert 'cloud_connect_bytes_total{direction="in"} 200000.0' in metrics
    out = len(answer.content) + len(b'{"ok":true}')
    assert f'cloud_connect_bytes_total{{direction="out"}} {out}.0' in metrics
