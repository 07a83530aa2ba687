import asyncio
from typing import Any

import httpx
import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResetCode, ResponseHead, Trailers
from cloud_connect_relay.storage.calls import CallState
from doubles.call_relay import CallRelay
from doubles.scripted_agent import Entry, ScriptedAgent, problem

KEY = {"Idempotency-Key": "key-1"}
DONE = ResponseHead(
    status=201, headers=(("content-type", "application/json"),), outcome=Outcome.COMPLETED
)


async def settled(relay: CallRelay, path: str) -> dict[str, Any]:
    """Wait until a call's lookup tells an outcome that stays."""
    async with asyncio.timeout(10):
        while True:
            answer = await relay.api.get(path)
            assert answer.status_code == 200, answer.text
            if answer.json()["final"]:
                told: dict[str, Any] = answer.json()
                return told
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("method", "place", "operation", "answered"),
    [
        ("POST", "rfis", "records.create", (201, {"id": 7, "name": "Dent"})),
        ("PATCH", "rfis/7", "records.update", (200, {"id": 7, "name": "Dent"})),
        ("DELETE", "rfis/7", "records.delete", (200, {})),
    ],
)
async def test_each_write_is_carried_out_once_and_recorded(
    relay: CallRelay, method: str, place: str, operation: str, answered: tuple[int, Any]
) -> None:
    agent, base = await relay.ready()
    body = None if method == "DELETE" else {"name": "Dent"}
    answer = await relay.api.request(
        method, f"{base}/records/{place}?project_id=5", headers=KEY, json=body
    )
    assert (answer.status_code, answer.json()) == answered, answer.text
    assert "idempotency-replayed" not in answer.headers
    call_id = answer.headers["cloud-connect-call-id"]
    assert agent.executed == {call_id: 1}
    assert agent.calls[0].head.operation == operation
    assert agent.calls[0].params["scope"] == {"project_id": "5"}
    stored = await relay.store.storage.of(relay.store.subscription_id).calls.find(call_id)
    assert stored is not None
    assert (stored.state, stored.final, stored.idempotency_key) == ("completed", True, "key-1")
    assert stored.operation == operation
    assert stored.finished_at is not None


@pytest.mark.parametrize(("method", "place"), [("POST", ""), ("PATCH", "/7"), ("DELETE", "/7")])
async def test_write_without_a_key_is_refused_and_not_dispatched(
    relay: CallRelay, method: str, place: str
) -> None:
    agent, base = await relay.ready()
    answer = await relay.api.request(method, f"{base}/records/rfis{place}", json={"name": "x"})
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_required")
    bad = await relay.api.request(
        method,
        f"{base}/records/rfis{place}",
        headers={"Idempotency-Key": "x" * 256},
        json={"name": "x"},
    )
    assert (bad.status_code, bad.json()["code"]) == (400, "invalid_request")
    assert agent.heard == []


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b'{"a":1,"a":2}', b'{"a":NaN}'])
async def test_body_that_is_no_plain_object_is_refused(relay: CallRelay, body: bytes) -> None:
    agent, base = await relay.ready()
    answer = await relay.api.post(f"{base}/records/rfis", headers=KEY, content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert agent.heard == []


async def test_record_over_a_mebibyte_is_refused_in_a_sentence(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    text = b'{"name":"' + b"x" * 1024 * 1024 + b'"}'

    async def pieces() -> Any:
        for start in range(0, len(text), 65536):
            yield text[start : start + 65536]

    declared = await relay.api.post(f"{base}/records/rfis", headers=KEY, content=text)
    chunked = await relay.api.post(f"{base}/records/rfis", headers=KEY, content=pieces())
    for answer in (declared, chunked):
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
        assert "1048576" in answer.json()["detail"]
    assert agent.heard == []


async def test_long_record_arrives_whole(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    name = "x" * 900_000
    answer = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": name})
    assert answer.status_code == 201
    assert len(agent.calls[0].body) > 900_000


async def test_refusal_before_the_whole_body_was_read_is_the_answer(relay: CallRelay) -> None:
    async def refuse(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(problem("policy_denied", status=403), end_stream=True)

    agent = ScriptedAgent(script={Operation.CREATE: refuse}, reads_body=False)
    _, base = await relay.ready(agent)
    answer = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x" * 900_000})
    assert answer.status_code == 403
    assert answer.json()["code"] == "policy_denied"


async def test_write_is_on_disk_before_its_agent_hears_of_it(relay: CallRelay) -> None:
    seen: list[str] = []

    async def look(exchange: Exchange, _: bytes) -> None:
        calls = relay.store.storage.of(relay.store.subscription_id).calls
        record = await calls.find(exchange.request.call_id)
        seen.append("" if record is None else record.state.value)
        await agent.write(exchange, b"{}", head=DONE)

    agent = ScriptedAgent(script={Operation.CREATE: look})
    _, base = await relay.ready(agent)
    await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
    assert seen == ["dispatched"]


async def test_refused_write_had_no_effect_and_releases_its_key(relay: CallRelay) -> None:
    async def refuse(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(
            problem("rate_limited", status=429, retry_after=3), end_stream=True
        )

    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: refuse}))
    refused = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
    assert refused.status_code == 429
    assert refused.json()["outcome"] == "not_executed"
    assert refused.json()["retry_safe"] is True
    agent.script.clear()
    again = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "other"})
    assert again.status_code == 201
    assert "idempotency-replayed" not in again.headers
    assert again.headers["cloud-connect-call-id"] != refused.json()["call_id"]


async def test_write_whose_connection_breaks_is_unknown_until_the_journal_tells(
    relay: CallRelay,
) -> None:
    async def carry_out_and_hang(exchange: Exchange, _: bytes) -> None:
        await agent.write(exchange, b'{"id":7}', head=DONE, answer=False)
        await asyncio.Event().wait()

    agent = ScriptedAgent(script={Operation.CREATE: carry_out_and_hang})
    connected = await relay.connect(agent)
    base = await relay.datasource(connected.live.connector_id)
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(
            relay.api.post(
                f"{base}/records/rfis",
                headers={**KEY, "Cloud-Connect-Deadline-Ms": "1200"},
                json={"name": "x"},
            )
        )
        await agent.arrived.wait()
        await connected.lose()
    answer = asked.result()
    assert answer.status_code in {502, 504}
    told = answer.json()
    assert told["outcome"] == "unknown"
    assert told["retry_safe"] is False
    assert answer.headers["should-retry"] == "false"
    before = (await relay.api.get(told["lookup"])).json()
    assert (before["outcome"], before["final"]) == ("unknown", False)
    await relay.connect(agent, connected.live.connector_id)
    after = await settled(relay, told["lookup"])
    assert (after["outcome"], after["status"]) == ("completed", 201)
    assert list(agent.executed.values()) == [1]


async def test_answer_comes_from_the_journal_when_the_agent_is_back_in_time(
    relay: CallRelay,
) -> None:
    async def carry_out_and_hang(exchange: Exchange, _: bytes) -> None:
        await agent.write(exchange, b'{"id":7}', head=DONE, answer=False)
        await asyncio.Event().wait()

    agent = ScriptedAgent(script={Operation.CREATE: carry_out_and_hang})
    connected = await relay.connect(agent)
    base = await relay.datasource(connected.live.connector_id)
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(
            relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
        )
        await agent.arrived.wait()
        await connected.lose()
        await relay.connect(agent, connected.live.connector_id)
    answer = asked.result()
    assert (answer.status_code, answer.json()) == (201, {"id": 7})
    assert "idempotency-replayed" not in answer.headers
    assert list(agent.executed.values()) == [1]


async def test_write_that_the_agent_never_heard_of_was_not_executed(relay: CallRelay) -> None:
    async def hang(_: Exchange, __: bytes) -> None:
        await asyncio.Event().wait()

    agent = ScriptedAgent(script={Operation.CREATE: hang})
    connected = await relay.connect(agent)
    base = await relay.datasource(connected.live.connector_id)
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(
            relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
        )
        await agent.arrived.wait()
        await connected.lose()
        await relay.connect(agent, connected.live.connector_id)
    answer = asked.result()
    assert (answer.status_code, answer.json()["code"]) == (503, "connector_offline")
    assert answer.json()["outcome"] == "not_executed"


async def test_interrupted_write_at_the_agent_stays_unknown_for_good(relay: CallRelay) -> None:
    async def die(exchange: Exchange, _: bytes) -> None:
        interrupted = problem("outcome_unknown", "It stopped.", outcome=Outcome.UNKNOWN)
        agent.journal[exchange.request.call_id] = Entry(head=interrupted)
        await asyncio.Event().wait()

    agent = ScriptedAgent(script={Operation.CREATE: die})
    connected = await relay.connect(agent)
    base = await relay.datasource(connected.live.connector_id)
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(
            relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
        )
        await agent.arrived.wait()
        await connected.lose()
        await relay.connect(agent, connected.live.connector_id)
    assert asked.result().json()["code"] == "outcome_unknown"
    told = await settled(relay, asked.result().json()["lookup"])
    assert told["outcome"] == "unknown"
    assert "Look there for the record" in told["detail"]


async def test_dispatched_write_never_moves_to_another_connector(relay: CallRelay) -> None:
    async def hang(_: Exchange, __: bytes) -> None:
        await asyncio.Event().wait()

    first = ScriptedAgent(script={Operation.CREATE: hang})
    connected = await relay.connect(first, group="site")
    base = await relay.datasource(connectorGroup="site")
    other = ScriptedAgent()
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(
            relay.api.post(
                f"{base}/records/rfis",
                headers={**KEY, "Cloud-Connect-Deadline-Ms": "1200"},
                json={"name": "x"},
            )
        )
        await first.arrived.wait()
        await relay.connect(other, group="site")
        await connected.lose()
    assert asked.result().json()["outcome"] == "unknown"
    assert other.calls == []


async def test_refused_stream_moves_to_another_connector(relay: CallRelay) -> None:
    async def refuse(exchange: Exchange, _: bytes) -> None:
        exchange.reset(ResetCode.REFUSED)

    full = ScriptedAgent(script={Operation.CREATE: refuse})
    await relay.connect(full, group="site")
    free = ScriptedAgent()
    await relay.connect(free, group="site")
    base = await relay.datasource(connectorGroup="site")
    for number in range(4):
        answer = await relay.api.post(
            f"{base}/records/rfis",
            headers={"Idempotency-Key": f"k{number}"},
            json={"name": "x"},
        )
        assert answer.status_code == 201
    assert len(free.executed) == 4
    assert full.executed == {}


async def test_reset_write_is_unknown(relay: CallRelay) -> None:
    async def reset(exchange: Exchange, _: bytes) -> None:
        agent.journal[exchange.request.call_id] = Entry(head=None)  # runs on
        exchange.reset(ResetCode.INTERNAL)

    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: reset}))
    answer = await relay.api.post(
        f"{base}/records/rfis",
        headers={**KEY, "Cloud-Connect-Deadline-Ms": "900"},
        json={"name": "x"},
    )
    assert answer.json()["outcome"] == "unknown"
    call_id = answer.json()["call_id"]
    agent.journal[call_id] = Entry(head=DONE, body=b'{"id":7}')
    assert (await settled(relay, f"/api/calls/{call_id}"))["outcome"] == "completed"


async def test_deadline_of_a_write_leaves_it_running_and_its_outcome_is_looked_up(
    relay: CallRelay,
) -> None:
    release = asyncio.Event()

    async def slowly(exchange: Exchange, _: bytes) -> None:
        await release.wait()
        await agent.write(exchange, b'{"id":7}', head=DONE)

    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: slowly}))
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await relay.api.post(
        f"{base}/records/rfis",
        headers={**KEY, "Cloud-Connect-Deadline-Ms": "300"},
        json={"name": "x"},
    )
    assert 0.3 <= loop.time() - began < 0.8
    assert answer.status_code == 504
    told = answer.json()
    assert (told["code"], told["outcome"]) == ("deadline_exceeded", "unknown")
    assert told["retry_safe"] is False
    running = (await relay.api.get(told["lookup"])).json()
    assert (running["state"], running["outcome"]) == ("dispatched", None)
    conflict = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
    assert conflict.status_code == 409
    release.set()
    assert (await settled(relay, told["lookup"]))["outcome"] == "completed"
    assert agent.cancelled == []
    again = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
    assert (again.status_code, again.json()) == (201, {"id": 7})
    assert again.headers["idempotency-replayed"] == "true"


async def test_caller_who_hangs_up_does_not_end_a_started_write(relay: CallRelay) -> None:
    release = asyncio.Event()

    async def slowly(exchange: Exchange, _: bytes) -> None:
        await release.wait()
        await agent.write(exchange, b'{"id":7}', head=DONE)

    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: slowly}))
    with pytest.raises(httpx.ReadTimeout):
        await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"}, timeout=0.2)
    assert agent.cancelled == []
    release.set()
    await relay.quiet()
    found = (await relay.api.get("/api/calls", params={"idempotency_key": "key-1"})).json()
    assert (found["outcome"], found["status"]) == ("completed", 201)


async def test_caller_who_hangs_up_ends_a_write_that_waits_for_its_connector(
    relay: CallRelay,
) -> None:
    connector = await relay.enrol(last_seen_at=relay.clock())
    base = await relay.datasource(connector)
    with pytest.raises(httpx.ReadTimeout):
        await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"}, timeout=0.2)
    await relay.quiet()
    found = (await relay.api.get("/api/calls", params={"idempotency_key": "key-1"})).json()
    assert (found["outcome"], found["final"]) == ("not_executed", True)
    agent = ScriptedAgent()
    await relay.connect(agent, connector)
    assert agent.calls == []


async def test_waiting_write_is_on_disk_as_accepted(relay: CallRelay) -> None:
    connector = await relay.enrol(last_seen_at=relay.clock())
    base = await relay.datasource(connector)
    agent = ScriptedAgent()
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(
            relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
        )
        calls = relay.store.storage.of(relay.store.subscription_id).calls
        async with asyncio.timeout(5):
            while (waiting := await calls.latest("key-1", since=0)) is None:
                await asyncio.sleep(0.01)
        assert waiting.state is CallState.ACCEPTED
        await relay.connect(agent, connector)
    assert asked.result().status_code == 201


async def test_answer_that_is_lost_after_its_head_comes_from_the_journal(
    relay: CallRelay,
) -> None:
    async def half(exchange: Exchange, _: bytes) -> None:
        await agent.write(exchange, b'{"id":7}', head=DONE, answer=False)
        await exchange.send_head(DONE)
        await exchange.send(b'{"i')
        exchange.reset(ResetCode.INTERNAL)

    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: half}))
    answer = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
    assert (answer.status_code, answer.json()) == (201, {"id": 7})


async def test_write_whose_answer_is_lost_for_good_was_executed_all_the_same(
    relay: CallRelay,
) -> None:
    async def half(exchange: Exchange, _: bytes) -> None:
        agent.journal[exchange.request.call_id] = Entry(head=None)
        await exchange.send_head(DONE)
        await exchange.send(b'{"i')
        exchange.reset(ResetCode.INTERNAL)

    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: half}))
    answer = await relay.api.post(
        f"{base}/records/rfis",
        headers={**KEY, "Cloud-Connect-Deadline-Ms": "900"},
        json={"name": "x"},
    )
    assert answer.json()["outcome"] == "completed"
    assert answer.json()["retry_safe"] is False


async def test_trailers_may_take_an_outcome_back(relay: CallRelay) -> None:
    async def doubt(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200))
        failure = problem("outcome_unknown", "Two of three.", outcome=Outcome.UNKNOWN).problem
        agent.journal[exchange.request.call_id] = Entry(
            head=ResponseHead(status=502, outcome=Outcome.UNKNOWN, problem=failure)
        )
        await exchange.send_trailers(Trailers(outcome=Outcome.UNKNOWN, problem=failure))

    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: doubt}))
    answer = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
    assert (answer.status_code, answer.json()["code"]) == (502, "outcome_unknown")


async def test_answer_over_the_limit_is_told_as_executed(relay: CallRelay) -> None:
    async def flood(exchange: Exchange, _: bytes) -> None:
        agent.execute(exchange.request.call_id)
        await exchange.send_head(DONE)
        for _turn in range(20):
            await exchange.send(b" " * 1024 * 1024)
        await exchange.end()

    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: flood}))
    answer = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
    assert answer.status_code == 413
    assert answer.json()["outcome"] == "completed"
