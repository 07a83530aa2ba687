import asyncio
import json
from typing import Any

import httpx
import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import Problem, ResetCode, ResponseHead, Trailers
from doubles.call_relay import COMPANY, CallRelay
from doubles.scripted_agent import ScriptedAgent, hang, problem, row_lines


async def test_list_streams_as_one_array(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    answer = await relay.api.get(
        f"{base}/records/rfis",
        params={
            "project_id": "12",
            "filter[status]": "open",
            "filter[id][gt]": "5",
            "sort": "-id",
            "fields": "id,subject",
            "limit": "3",
        },
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert [row["id"] for row in answer.json()] == [0, 1, 2]
    (heard,) = agent.calls
    assert heard.head.call_id == answer.headers["cloud-connect-call-id"]
    assert 50_000 < heard.head.deadline_ms <= 59_500
    assert heard.params == {
        "source": {"company_id": int(COMPANY), "environment": "developer_sandbox"},
        "resource": "rfis",
        "scope": {"project_id": "12"},
        "filters": [
            {"field": "status", "operator": "eq", "value": "open"},
            {"field": "id", "operator": "gt", "value": "5"},
        ],
        "sort": ["-id"],
        "fields": ["id", "subject"],
        "limit": 3,
    }


async def test_list_streams_a_row_a_line_when_asked_to(relay: CallRelay) -> None:
    _, base = await relay.ready()
    answer = await relay.api.get(f"{base}/records/rfis", headers={"Accept": "application/x-ndjson"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["id"] for line in answer.text.splitlines()] == [0, 1, 2]
    record = await relay.record(answer.headers["cloud-connect-call-id"])
    assert (record.outcome, record.final, record.rows) == (Outcome.COMPLETED, True, 3)
    assert record.bytes == len(answer.content)
    assert record.hops["agent"] == 1.5
    assert record.hops["relay"] >= record.hops["queue"] >= 0


async def test_empty_list_is_an_empty_array(relay: CallRelay) -> None:
    async def nothing(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200), end_stream=True)

    _, base = await relay.ready(ScriptedAgent(script={Operation.LIST: nothing}))
    assert (await relay.api.get(f"{base}/records/rfis")).json() == []


async def test_first_rows_arrive_before_the_last_are_there(relay: CallRelay) -> None:
    release = asyncio.Event()

    async def slowly(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200, total_items=4))
        await exchange.send(row_lines(2))
        await release.wait()
        await exchange.send(row_lines(2, start=2), end_stream=True)

    _, base = await relay.ready(ScriptedAgent(script={Operation.LIST: slowly}))
    async with relay.api.stream("GET", f"{base}/records/rfis") as answer:
        assert answer.headers["total-items"] == "4"
        assert "Total-Items" in answer.headers["access-control-expose-headers"]
        pieces = answer.aiter_raw()
        first = await anext(pieces)
        while b"Row 1" not in first:
            first += await anext(pieces)
        release.set()
        rest = b"".join([piece async for piece in pieces])
    assert [row["id"] for row in json.loads(first + rest)] == [0, 1, 2, 3]


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
async def test_list_that_fails_midway_ends_without_its_end(relay: CallRelay, accept: str) -> None:
    async def break_off(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200))
        await exchange.send(row_lines(2))
        failure = problem("source_unavailable", "Procore went away.").problem
        await exchange.send_trailers(Trailers(problem=failure))

    _, base = await relay.ready(ScriptedAgent(script={Operation.LIST: break_off}))
    async with relay.api.stream(
        "GET", f"{base}/records/rfis", headers={"Accept": accept}
    ) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            await answer.aread()
    await relay.quiet()
    record = await relay.record(answer.headers["cloud-connect-call-id"])
    assert record.code == "source_unavailable"
    assert record.detail == "Procore went away."
    assert (record.outcome, record.rows) == (Outcome.NOT_EXECUTED, 2)


async def test_list_whose_stream_breaks_midway_ends_without_its_end(relay: CallRelay) -> None:
    rows_arrived = asyncio.Event()

    async def reset(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200))
        await exchange.send(row_lines(2))
        await rows_arrived.wait()
        exchange.reset(ResetCode.TRUNCATED)

    agent, base = await relay.ready(ScriptedAgent(script={Operation.LIST: reset}))
    await relay.connect(ScriptedAgent())
    async with relay.api.stream("GET", f"{base}/records/rfis") as answer:
        pieces = answer.aiter_raw()
        assert b"Row 0" in await anext(pieces) + await anext(pieces)
        rows_arrived.set()
        with pytest.raises(httpx.RemoteProtocolError):
            async for _ in pieces:
                pass
    assert len(agent.calls) == 1


async def test_one_record_is_returned_whole(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    answer = await relay.api.get(f"{base}/records/rfis/7", params={"project_id": "12"})
    assert answer.json() == {"id": 7}
    assert agent.calls[0].params["record_id"] == "7"
    assert agent.calls[0].params["scope"] == {"project_id": "12"}


async def test_default_project_of_the_data_source_goes_along(relay: CallRelay) -> None:
    agent = ScriptedAgent()
    connected = await relay.connect(agent)
    base = await relay.datasource(
        connected.live.connector_id,
        settings={"companyId": 5, "environment": "live", "projectId": "77"},
    )
    await relay.api.get(f"{base}/records/rfis")
    assert agent.calls[0].params["source"] == {
        "company_id": 5,
        "environment": "live",
        "project_id": 77,
    }


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (problem("policy_denied", status=403), 403),
        (problem("sign_in_required", status=409), 409),
        (problem("source_unavailable", status=502), 502),
        (problem("rate_limited", status=429, retry_after=7), 429),
        (problem("unsupported_operation", status=405), 405),
        (problem("invalid_request", status=400), 400),
        (problem("connector_paused", status=503), 503),
        (problem("journal_unavailable", status=503), 503),
        (problem("internal_error", status=500), 500),
        (problem("deadline_exceeded", status=504), 504),
        (problem("source_rejected", status=422, outcome=Outcome.COMPLETED), 422),
        (problem("something_new", status=418), 500),
        (problem("source_rejected", status=200, outcome=Outcome.COMPLETED), 500),
    ],
)
async def test_agents_problem_becomes_a_problem_document(
    relay: CallRelay, head: ResponseHead, status: int
) -> None:
    async def refuse(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(head, end_stream=True)

    _, base = await relay.ready(ScriptedAgent(script={Operation.GET: refuse}))
    answer = await relay.api.get(f"{base}/records/rfis/7")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    call_id = answer.headers["cloud-connect-call-id"]
    assert told["call_id"] == call_id
    assert told["lookup"] == f"/api/calls/{call_id}"
    assert told["detail"] == "No."
    assert answer.headers.get("retry-after") == ("7" if status == 429 else None)
    record = await relay.record(call_id)
    assert record.code == told["code"]
    assert record.outcome == told["outcome"]


async def test_procores_own_words_come_with_a_rejection(relay: CallRelay) -> None:
    async def reject(exchange: Exchange, _: bytes) -> None:
        told = Problem(
            code="source_rejected",
            detail="Procore says no.",
            status=404,
            outcome=Outcome.COMPLETED,
            source={"errors": ["not here"]},
        )
        await exchange.send_head(ResponseHead(status=404, problem=told), end_stream=True)

    _, base = await relay.ready(ScriptedAgent(script={Operation.GET: reject}))
    answer = await relay.api.get(f"{base}/records/rfis/7")
    assert answer.status_code == 404
    assert answer.json()["source"] == {"errors": ["not here"]}
    assert answer.json()["outcome"] == "completed"


async def test_read_moves_to_another_connector_when_the_first_dies(relay: CallRelay) -> None:
    dying = ScriptedAgent(script={Operation.LIST: hang})
    first = await relay.connect(dying, group="site")
    base = await relay.datasource(connectorGroup="site")
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(relay.api.get(f"{base}/records/rfis"))
        await dying.arrived.wait()
        other = ScriptedAgent()
        await relay.connect(other, group="site")
        await first.lose()
    assert len((await asked).json()) == 3
    assert len(other.calls) == 1
    assert other.calls[0].head.call_id == dying.calls[0].head.call_id


async def test_read_goes_on_over_the_same_connectors_new_session(relay: CallRelay) -> None:
    agent = ScriptedAgent(script={Operation.LIST: hang})
    first = await relay.connect(agent, last_seen_at=relay.clock())
    base = await relay.datasource(first.live.connector_id)
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(relay.api.get(f"{base}/records/rfis"))
        await agent.arrived.wait()
        agent.script.clear()
        await first.lose()
        await relay.connect(agent, first.live.connector_id)
    assert (await asked).status_code == 200


async def test_read_is_tried_twice_and_no_more(relay: CallRelay) -> None:
    async def reset(exchange: Exchange, _: bytes) -> None:
        exchange.reset(ResetCode.INTERNAL)

    agents = [ScriptedAgent(script={Operation.LIST: reset}) for _ in range(3)]
    for agent in agents:
        await relay.connect(agent, group="site")
    base = await relay.datasource(connectorGroup="site")
    answer = await relay.api.get(f"{base}/records/rfis")
    assert answer.status_code == 503
    assert answer.json()["code"] == "connector_offline"
    assert answer.json()["retry_safe"] is True
    assert sum(len(agent.calls) for agent in agents) == 2


async def test_deadline_of_a_read_ends_it_at_the_source_and_may_be_repeated(
    relay: CallRelay,
) -> None:
    agent, base = await relay.ready(ScriptedAgent(script={Operation.LIST: hang}))
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await relay.api.get(
        f"{base}/records/rfis", headers={"Cloud-Connect-Deadline-Ms": "300"}
    )
    assert 0.3 <= loop.time() - began < 5
    assert answer.status_code == 504
    told = answer.json()
    assert (told["code"], told["outcome"]) == ("deadline_exceeded", "not_executed")
    assert told["retry_safe"] is True
    async with asyncio.timeout(2):
        while not agent.cancelled:
            await asyncio.sleep(0.005)
    assert agent.calls[0].head.deadline_ms <= 270


async def test_bad_deadline_is_refused(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    for path in ("records/rfis", "procore/rest/v1.0/me"):
        answer = await relay.api.get(
            f"{base}/{path}", headers={"Cloud-Connect-Deadline-Ms": "soon"}
        )
        assert answer.status_code == 400
        assert "Cloud-Connect-Deadline-Ms" in answer.json()["detail"]
    assert agent.calls == []


async def test_caller_who_hangs_up_ends_a_read_at_the_source(relay: CallRelay) -> None:
    agent, base = await relay.ready(ScriptedAgent(script={Operation.LIST: hang}))
    with pytest.raises(httpx.ReadTimeout):
        await relay.api.get(f"{base}/records/rfis", timeout=0.2)
    await relay.quiet()
    async with asyncio.timeout(2):
        while not agent.cancelled:
            await asyncio.sleep(0.005)
    record = await relay.record(agent.cancelled[0])
    assert record.outcome is Outcome.NOT_EXECUTED
    assert record.detail == "The caller hung up."


async def test_caller_who_hangs_up_midway_ends_the_stream_at_the_source(relay: CallRelay) -> None:
    async def endless(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200))
        while True:
            await exchange.send(row_lines(100))

    agent, base = await relay.ready(ScriptedAgent(script={Operation.LIST: endless}))
    async with relay.api.stream("GET", f"{base}/records/rfis") as answer:
        await anext(answer.aiter_raw())
    await relay.quiet()
    assert relay.calls.running == 0
    async with asyncio.timeout(2):
        while not agent.cancelled:
            await asyncio.sleep(0.005)


async def test_too_long_parameters_are_refused_in_a_sentence(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    params: dict[str, Any] = {f"filter[f{number}]": "x" * 1000 for number in range(20)}
    answer = await relay.api.get(f"{base}/records/rfis", params=params)
    assert answer.status_code == 413
    assert answer.json()["code"] == "payload_too_large"
    assert agent.calls == []


async def test_unknown_parameter_is_named(relay: CallRelay) -> None:
    _, base = await relay.ready()
    answer = await relay.api.get(f"{base}/records/rfis", params={"projectId": "1"})
    assert answer.status_code == 400
    assert "projectId" in answer.json()["detail"]
