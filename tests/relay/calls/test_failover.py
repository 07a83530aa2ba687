"""What a group does for a call whose connector is lost, and what it must not do."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cloud_connect.calls import Operation, Report, ReportedCircuit, ReportedGrant
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.session import SessionSettings
from cloud_connect.tunnel import ResetCode, ResponseHead
from cloud_connect_relay.times import iso_time
from doubles.call_relay import COMPANY, CallRelay, Connected
from doubles.memory_link import MemoryLink
from doubles.scripted_agent import Act, ScriptedAgent, hang, problem, row_lines
from doubles.waiting import until

SELECT = {"action": "select", "info": {"name": "rfis"}}


def stuck_behind(rows: bytes) -> Act:
    """Answer with the beginning of an answer, and never go on."""

    async def act(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200))
        if rows:
            await exchange.send(rows)
        await asyncio.Event().wait()

    return act


@pytest.mark.parametrize(
    ("operation", "path", "begun"),
    [
        (Operation.LIST, "records/rfis", b""),
        (Operation.GET, "records/rfis/7", b'{"id":'),
        (Operation.QUERY, "query", row_lines(2)),
        (Operation.TREE, "tree", b'{"items":'),
    ],
)
async def test_answer_that_nobody_has_seen_yet_comes_whole_from_another_connector(
    relay: CallRelay, operation: Operation, path: str, begun: bytes
) -> None:
    dying = ScriptedAgent(script={operation: stuck_behind(begun)})
    first = await relay.connect(dying, group="site")
    base = await relay.datasource(connectorGroup="site")
    request = (
        relay.api.get(f"{base}/{path}")
        if path.startswith("records")
        else relay.api.post(f"{base}/{path}", json=SELECT)
    )
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(request)
        await dying.arrived.wait()
        other = ScriptedAgent()
        await relay.connect(other, group="site")
        await asyncio.sleep(0)
        await first.lose()
    answer = asked.result()
    assert answer.status_code == 200, answer.text
    told = answer.json()
    rows = told["items"] if isinstance(told, dict) and "items" in told else told
    if operation in {Operation.LIST, Operation.QUERY}:
        assert [row["id"] for row in rows] == [0, 1, 2]  # no row twice
    assert (len(dying.calls), len(other.calls)) == (1, 1)
    record = await relay.record(answer.headers["cloud-connect-call-id"])
    assert record.outcome is Outcome.COMPLETED
    assert record.connector_id != first.live.connector_id


async def test_answer_that_breaks_off_twice_is_not_asked_for_a_third_time(
    relay: CallRelay,
) -> None:
    async def cut(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200))
        await exchange.send(b'{"id":')
        exchange.reset(ResetCode.TRUNCATED)

    agents = [ScriptedAgent(script={Operation.GET: cut}) for _ in range(3)]
    for agent in agents:
        await relay.connect(agent, group="site")
    base = await relay.datasource(connectorGroup="site")
    answer = await relay.api.get(f"{base}/records/rfis/7")
    assert (answer.status_code, answer.json()["code"]) == (502, "source_unavailable")
    assert answer.json()["outcome"] == "not_executed"
    assert sum(len(agent.calls) for agent in agents) == 2


async def test_only_connector_is_asked_again_when_it_broke_a_read_off(relay: CallRelay) -> None:
    async def once(exchange: Exchange, _: bytes) -> None:
        agent.script.clear()
        exchange.reset(ResetCode.INTERNAL)

    agent, base = await relay.ready(ScriptedAgent(script={Operation.LIST: once}))
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert len((await relay.api.get(f"{base}/records/rfis")).json()) == 3
    assert loop.time() - began < 2  # no wait for another one to come
    assert len(agent.calls) == 2


async def test_connector_that_broke_a_call_off_is_not_the_next_ones_first_choice(
    relay: CallRelay,
) -> None:
    async def broken(exchange: Exchange, _: bytes) -> None:
        exchange.reset(ResetCode.INTERNAL)

    bad = ScriptedAgent(script={Operation.LIST: broken})
    good = ScriptedAgent()
    await relay.connect(bad, group="site")
    await relay.connect(good, group="site")
    base = await relay.datasource(connectorGroup="site")
    for _ in range(6):
        assert (await relay.api.get(f"{base}/records/rfis")).status_code == 200
    assert len(bad.calls) <= 1
    assert len(good.calls) == 6


async def test_connector_that_cannot_ask_procore_is_not_the_first_choice(
    relay: CallRelay,
) -> None:
    def grant(state: str, **more: object) -> Report:
        given = ReportedGrant.model_validate(
            {
                "environment": "developer_sandbox",
                "grant": "client-credentials",
                "state": state,
                **more,
            }
        )
        return Report(procore=(given,))

    refused = ReportedCircuit.model_validate(
        {
            "company_id": int(COMPANY),
            "status": 403,
            "reason": "not connected",
            "retry_at": iso_time(relay.clock() + 60),
        }
    )
    useless = [ScriptedAgent() for _ in range(2)]
    await relay.connect(useless[0], group="site", report=grant("sign_in_required"))
    await relay.connect(useless[1], group="site", report=grant("ready", circuits=(refused,)))
    signed_in = ScriptedAgent()
    await relay.connect(signed_in, group="site", report=grant("ready"))
    base = await relay.datasource(connectorGroup="site")
    for _ in range(4):
        assert (await relay.api.get(f"{base}/records/rfis")).status_code == 200
    assert [len(agent.calls) for agent in useless] == [0, 0]
    assert len(signed_in.calls) == 4


async def test_what_one_connectors_policy_denies_is_denied(relay: CallRelay) -> None:
    async def deny(exchange: Exchange, _: bytes) -> None:
        head = problem("policy_denied", "Rule 2 forbids it.", status=403)
        await exchange.send_head(head, end_stream=True)

    strict = ScriptedAgent(script={Operation.LIST: deny})
    await relay.connect(strict, group="site")
    base = await relay.datasource(connectorGroup="site")
    async with asyncio.TaskGroup() as tasks:
        held = tasks.create_task(relay.api.get(f"{base}/records/rfis"))
        await strict.arrived.wait()
        lenient = ScriptedAgent()
        await relay.connect(lenient, group="site")
    assert held.result().json()["code"] == "policy_denied"
    assert lenient.calls == []


@pytest.mark.parametrize("code", ["connector_paused", "journal_unavailable", "quota_exceeded"])
async def test_connector_that_takes_no_calls_for_the_moment_leaves_them_to_another(
    relay: CallRelay, code: str
) -> None:
    async def not_now(exchange: Exchange, _: bytes) -> None:
        head = problem(code, "Not now.", status=503)
        await exchange.send_head(head, end_stream=True)

    script: dict[Operation, Act] = {Operation.CREATE: not_now, Operation.LIST: not_now}
    paused = ScriptedAgent(script=script)
    await relay.connect(paused, group="site")
    base = await relay.datasource(connectorGroup="site")
    alone = await relay.api.get(f"{base}/records/rfis")
    assert (alone.json()["code"], alone.json()["detail"]) == (code, "Not now.")
    taking = ScriptedAgent()
    await relay.connect(taking, group="site")
    for number in range(4):
        assert (await relay.api.get(f"{base}/records/rfis")).status_code == 200
        answer = await relay.api.post(
            f"{base}/records/rfis", headers={"Idempotency-Key": f"k{number}"}, json={"a": 1}
        )
        assert answer.status_code == 201
    assert len(taking.executed) == 4
    assert paused.executed == {}


async def test_read_on_a_half_open_session_moves_when_the_session_is_given_up(
    relay: CallRelay,
) -> None:
    quick = SessionSettings(heartbeat_interval=0.2, silence_timeout=0.8)
    silent = ScriptedAgent(script={Operation.LIST: hang})
    first = await relay.connect(silent, group="site", settings=quick)
    base = await relay.datasource(connectorGroup="site")
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(relay.api.get(f"{base}/records/rfis"))
        await silent.arrived.wait()
        other = ScriptedAgent()
        await relay.connect(other, group="site")
        began = loop.time()
        await blocked(first, at_agent=True)  # neither FIN nor a pong from here on
    assert asked.result().status_code == 200
    assert loop.time() - began < 5  # of the deadline's 60
    assert (len(silent.calls), len(other.calls)) == (1, 1)


async def test_new_calls_avoid_a_session_that_missed_its_heartbeat(relay: CallRelay) -> None:
    silent, heard = ScriptedAgent(), ScriptedAgent()
    first = await relay.connect(silent, group="site")
    await relay.connect(heard, group="site")
    base = await relay.datasource(connectorGroup="site")
    first.live.session._liveness.last_received -= 19
    for _ in range(4):
        assert (await relay.api.get(f"{base}/records/rfis")).status_code == 200
        first.live.session._liveness.last_received -= 19
    assert silent.calls == []


async def test_upload_whose_connector_is_lost_has_to_be_sent_again(relay: CallRelay) -> None:
    first = await relay.connect(ScriptedAgent(script={Operation.UPLOAD: hang}), group="site")
    base = await relay.datasource(connectorGroup="site")
    other = ScriptedAgent()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        await until(lambda: first.live.in_flight == 1)
        await relay.connect(other, group="site")
        await first.lose()
        yield b"x" * 100_000

    answer = await relay.api.post(f"{base}/uploads", params={"filename": "a.pdf"}, content=pieces())
    assert (answer.status_code, answer.json()["code"]) == (503, "connector_offline")
    assert "so send it again" in answer.json()["detail"]
    assert answer.json()["outcome"] == "not_executed"
    assert other.calls == []


async def blocked(connected: Connected, *, at_agent: bool = False) -> None:
    """Stop what the relay sends (or its agent) on its way, as a full socket does."""
    link = connected.live.link
    assert isinstance(link, MemoryLink)
    (link.peer if at_agent else link).blocked = asyncio.Event()


async def test_write_whose_request_never_left_the_relay_moves(relay: CallRelay) -> None:
    first = await relay.connect(ScriptedAgent(), group="site")
    base = await relay.datasource(connectorGroup="site")
    await blocked(first)

    async def create(key: str) -> dict[str, object]:
        answer = await relay.api.post(
            f"{base}/records/rfis",
            headers={"Idempotency-Key": key, "Cloud-Connect-Deadline-Ms": "2500"},
            json={"subject": key},
        )
        return {"status": answer.status_code, **answer.json()}

    async with asyncio.TaskGroup() as tasks:
        sent = tasks.create_task(create("sent"))  # its head is in the message that is stuck
        await until(lambda: first.live.in_flight == 1)
        await asyncio.sleep(0.05)
        unsent = tasks.create_task(create("unsent"))
        await until(lambda: first.live.in_flight == 2)
        other = ScriptedAgent()
        await relay.connect(other, group="site")
        await first.lose()
    assert unsent.result()["status"] == 201
    assert sent.result()["outcome"] == "unknown"
    assert [heard.head.operation for heard in other.calls] == [Operation.CREATE]
    assert list(other.executed.values()) == [1]
    assert first.agent.executed == {}


async def test_write_that_no_agent_has_seen_ends_with_its_caller(relay: CallRelay) -> None:
    first = await relay.connect(ScriptedAgent(), last_seen_at=relay.clock())
    base = await relay.datasource(first.live.connector_id)
    await blocked(first)

    async def create(key: str, *, patience: float) -> int:
        headers = {"Idempotency-Key": key, "Cloud-Connect-Deadline-Ms": "10000"}
        url = f"{base}/records/rfis"
        answer = await relay.api.post(url, headers=headers, json={"subject": key}, timeout=patience)
        return answer.status_code

    async with asyncio.TaskGroup() as tasks:
        stuck = tasks.create_task(create("stuck", patience=15))
        await until(lambda: first.live.in_flight == 1)
        await asyncio.sleep(0.05)
        given_up = tasks.create_task(create("given up", patience=15))
        await until(lambda: first.live.in_flight == 2)
        await first.lose()
        await until(lambda: relay.calls.waiting == 1)
        given_up.cancel()
        await until(lambda: relay.calls.waiting == 0)
        await relay.connect(first.agent, first.live.connector_id)
        assert await stuck == 503  # the agent has not heard of it either
    assert first.agent.executed == {}
    told = (await relay.api.get("/api/calls", params={"idempotency_key": "given up"})).json()
    assert (told["outcome"], told["final"]) == ("not_executed", True)


async def test_refused_write_goes_to_another_connector(relay: CallRelay) -> None:
    async def refuse(exchange: Exchange, _: bytes) -> None:
        exchange.reset(ResetCode.REFUSED)

    refusing = ScriptedAgent(script={Operation.CREATE: refuse})
    taking = ScriptedAgent()
    await relay.connect(refusing, group="site")
    base = await relay.datasource(connectorGroup="site")
    await relay.connect(taking, group="site")
    for number in range(3):
        answer = await relay.api.post(
            f"{base}/records/rfis", headers={"Idempotency-Key": f"k{number}"}, json={"a": 1}
        )
        assert answer.status_code == 201, answer.text
    assert len(taking.executed) == 3
    assert refusing.executed == {}


async def test_connectors_of_a_group_keep_versions_of_their_own_so_drift_stays_with_one(
    relay: CallRelay,
) -> None:
    agents = [ScriptedAgent() for _ in range(3)]
    for agent in agents:
        await relay.connect(agent, group="site")
    base = await relay.datasource(connectorGroup="site")
    for _ in range(5):
        assert (await relay.api.get(f"{base}/drift")).status_code == 200
    assert sorted(len(agent.calls) for agent in agents) == [0, 0, 5]
