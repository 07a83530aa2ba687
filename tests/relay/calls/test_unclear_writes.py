import asyncio
from typing import Any

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResetCode, ResponseHead, Trailers
from doubles.call_relay import CallRelay
from doubles.scripted_agent import Entry, ScriptedAgent, hang, holding, problem

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
    assert (
        told["detail"] == "It stopped. Look in Procore for the record before you repeat the write."
    )


async def test_dispatched_write_never_moves_to_another_connector(relay: CallRelay) -> None:
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
    agent, release = holding(Operation.CREATE, DONE)
    _, base = await relay.ready(agent)
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await relay.api.post(
        f"{base}/records/rfis",
        headers={**KEY, "Cloud-Connect-Deadline-Ms": "300"},
        json={"name": "x"},
    )
    assert 0.3 <= loop.time() - began < 5
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


async def test_question_that_is_refused_tells_nothing_of_the_call(relay: CallRelay) -> None:
    """An agent that has too much to do must not make an executed call undone."""

    async def lose(exchange: Exchange, _: bytes) -> None:
        head = problem("outcome_unknown", "No answer came.", outcome=Outcome.UNKNOWN)
        await exchange.send_head(head, end_stream=True)

    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: lose}))
    told = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
    call_id = told.json()["call_id"]
    agent.keeps_answers = False  # the mark of what a journal has
    agent.journal[call_id] = Entry(head=problem("quota_exceeded", "Too many.", status=429))
    found = (await relay.api.get(f"/api/calls/{call_id}")).json()
    assert (found["outcome"], found["final"]) == ("unknown", False)
    agent.keeps_answers = True
    found = (await relay.api.get(f"/api/calls/{call_id}")).json()
    assert (found["outcome"], found["final"]) == ("not_executed", True)
