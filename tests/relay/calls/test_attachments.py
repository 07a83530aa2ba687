"""Files that hang on records, at the relay's API: attached once, by whom they came."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import Problem, ResetCode, ResponseHead, Trailers
from doubles.call_relay import CallRelay
from doubles.scripted_agent import ScriptedAgent, problem
from doubles.uploading_agent import FILE, NAMED, take_in, uploading_agent

ATTACHMENTS = "records/punch_items/7/attachments"
KEY = {"Idempotency-Key": "k-1"}


@pytest.fixture
async def agent() -> ScriptedAgent:
    return uploading_agent()


@pytest.fixture
async def base(relay: CallRelay, agent: ScriptedAgent) -> str:
    return (await relay.ready(agent))[1]


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 50_000):
        yield body[start : start + 50_000]


async def test_a_file_is_attached_in_one_request(
    relay: CallRelay, agent: ScriptedAgent, base: str
) -> None:
    answer = await relay.api.post(
        f"{base}/{ATTACHMENTS}",
        params={**NAMED, "project_id": "5001"},
        content=pieces(FILE),
        headers=KEY,
    )
    assert (answer.status_code, answer.json()) == (201, {"id": 7})
    uploaded, attached = agent.calls
    assert uploaded.params["resource"] == "punch_items"
    assert uploaded.params["project_id"] == 5001
    assert uploaded.body == FILE
    assert attached.params["upload"] == "01UUID"
    assert attached.params["scope"] == {"project_id": "5001"}
    assert agent.executed == {attached.head.call_id: 1}
    record = await relay.record(answer.headers["cloud-connect-call-id"])
    assert (record.operation, record.idempotency_key) == ("records.attach", "k-1")


async def test_a_repeat_attaches_nothing_twice(
    relay: CallRelay, agent: ScriptedAgent, base: str
) -> None:
    async def post(body: bytes) -> Any:
        return await relay.api.post(
            f"{base}/{ATTACHMENTS}", params=NAMED, content=body, headers=KEY
        )

    assert (await post(FILE)).status_code == 201
    again = await post(FILE)
    assert (again.status_code, again.json()) == (201, {"id": 7})
    assert again.headers["idempotency-replayed"] == "true"
    assert len(agent.executed) == 1
    other = await post(FILE[1:])
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert len(agent.executed) == 1


@pytest.mark.parametrize("name", ["upload", "uuid", "upload_id"])
async def test_a_file_that_was_uploaded_before_is_attached_by_reference(
    relay: CallRelay, agent: ScriptedAgent, base: str, name: str
) -> None:
    answer = await relay.api.post(f"{base}/{ATTACHMENTS}", json={name: "01X"}, headers=KEY)
    assert (answer.status_code, answer.json()) == (201, {"id": 7})
    (call,) = agent.calls
    assert call.params["upload"] == "01X"


async def test_attaching_needs_a_key_and_something_to_attach(
    relay: CallRelay, agent: ScriptedAgent, base: str
) -> None:
    answer = await relay.api.post(f"{base}/{ATTACHMENTS}", params=NAMED, content=FILE)
    assert answer.json()["code"] == "idempotency_key_required"
    answer = await relay.api.post(f"{base}/{ATTACHMENTS}", json={"id": 1}, headers=KEY)
    assert answer.json()["code"] == "invalid_request"
    assert agent.calls == []


async def test_nothing_is_attached_when_the_upload_fails(
    relay: CallRelay, agent: ScriptedAgent, base: str
) -> None:
    async def refuse(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(problem("policy_denied", status=403), end_stream=True)

    agent.script[Operation.UPLOAD] = refuse
    answer = await relay.api.post(f"{base}/{ATTACHMENTS}", params=NAMED, content=FILE, headers=KEY)
    assert (answer.status_code, answer.json()["outcome"]) == (403, "not_executed")
    assert agent.executed == {}
    agent.script[Operation.UPLOAD] = take_in
    answer = await relay.api.post(f"{base}/{ATTACHMENTS}", params=NAMED, content=FILE, headers=KEY)
    assert answer.status_code == 201  # the key was not used up


async def test_upload_and_attaching_share_the_deadline_of_their_request(
    relay: CallRelay, agent: ScriptedAgent, base: str
) -> None:
    async def take_long(exchange: Exchange, body: bytes) -> None:
        await asyncio.sleep(1)
        await take_in(exchange, body)

    agent.script[Operation.UPLOAD] = take_long
    bodies: list[bytes | AsyncIterator[bytes]] = [FILE[:1000], pieces(FILE)]
    for number, content in enumerate(bodies):
        answer = await relay.api.post(
            f"{base}/{ATTACHMENTS}",
            params=NAMED,
            content=content,
            headers={"Idempotency-Key": f"k-{number}", "Cloud-Connect-Deadline-Ms": "5000"},
        )
        assert answer.status_code == 201
    short, long = (call.head for call in agent.calls if call.head.operation == Operation.ATTACH)
    assert 3000 < short.deadline_ms <= 4000
    assert 3000 < long.deadline_ms <= 4000


async def test_an_upload_is_attached_by_the_connector_that_made_it(relay: CallRelay) -> None:
    agents = []
    for number in range(2):
        one = uploading_agent()
        await relay.connect(one, name=f"pc-{number}", group="site")
        agents.append(one)
    base = await relay.datasource(connectorId="", connectorGroup="site")
    for number in range(8):
        answer = await relay.api.post(
            f"{base}/{ATTACHMENTS}",
            params=NAMED,
            content=FILE,
            headers={"Idempotency-Key": f"k-{number}"},
        )
        assert answer.status_code == 201
    for one in agents:
        operations = [call.head.operation for call in one.calls]
        assert operations.count(Operation.UPLOAD) == operations.count(Operation.ATTACH)


async def test_an_attachment_whose_fate_is_lost_is_told_to_be_unknown(
    relay: CallRelay, agent: ScriptedAgent, base: str
) -> None:
    async def lose(exchange: Exchange, _: bytes) -> None:
        agent.execute(exchange.request.call_id)
        exchange.reset(ResetCode.INTERNAL)

    agent.script[Operation.ATTACH] = lose
    answer = await relay.api.post(
        f"{base}/{ATTACHMENTS}",
        params=NAMED,
        content=FILE,
        headers={**KEY, "Cloud-Connect-Deadline-Ms": "1500"},
    )
    assert answer.status_code in {502, 504}
    assert answer.json()["outcome"] == "unknown"


@pytest.mark.parametrize("refused", [False, True])
async def test_a_form_that_takes_long_is_waited_for_as_long_as_its_connector_shows_life(
    relay: CallRelay, agent: ScriptedAgent, base: str, *, refused: bool
) -> None:
    async def slowly(exchange: Exchange, _: bytes) -> None:
        headers = (("content-type", "application/json"),)
        await exchange.send_head(ResponseHead(status=200, headers=headers))
        for _turn in range(6):
            await exchange.send(b" ")
            await asyncio.sleep(0.1)  # the time that the form's bytes take
        if refused:
            said = Problem(code="source_rejected", detail="No.", status=422, outcome="completed")
            await exchange.send_trailers(Trailers(outcome=Outcome.COMPLETED, problem=said))
        else:
            await exchange.send(b'{"id":7}')
            await exchange.send_trailers(Trailers(outcome=Outcome.COMPLETED))

    agent.script[Operation.ATTACH] = slowly
    answer = await relay.api.post(
        f"{base}/{ATTACHMENTS}",
        params=NAMED,
        content=FILE,
        headers={**KEY, "Cloud-Connect-Deadline-Ms": "300"},
    )
    if refused:
        assert (answer.status_code, answer.json()["code"]) == (422, "source_rejected")
    else:
        assert (answer.status_code, answer.json()) == (201, {"id": 7})
    record = await relay.record(answer.headers["cloud-connect-call-id"])
    assert record.outcome is Outcome.COMPLETED
