"""An agent that speaks of what is not its own: it is cut off, and nobody is misled."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from cloud_connect.calls import Operation, ReportedResult, ReportedResults
from cloud_connect.closing import CloseCode
from cloud_connect.errors import Outcome, TunnelError
from cloud_connect.exchange import Exchange
from cloud_connect.session import Role, Session
from cloud_connect.signing import SigningKey
from cloud_connect.tunnel import RequestHead, ResponseHead
from doubles.fleet import Fleet, Member, fleet
from doubles.link_bench import answer_at_once
from doubles.observing import until
from doubles.raw_agent import INTRODUCTION, closed_with, connected
from doubles.scripted_agent import ScriptedAgent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


@dataclass(kw_only=True)
class Scene:
    """A victim with a write under way, and a stranger with a key of his own."""

    fleet: Fleet
    victim: Member
    base: str
    proceed: asyncio.Event

    async def write(self, key: str) -> Any:
        return await self.fleet.api.post(
            f"{self.base}/records/rfis", headers={"Idempotency-Key": key}, json={"name": "x"}
        )

    async def enrolled(self, key: SigningKey, *, subscription_id: str | None = None) -> str:
        return await self.fleet.store.connector(
            subscription_id=subscription_id,
            public_key=key.public_key,
            key_id=key.key_id,
            generation=0,
        )

    def socket(
        self, connector_id: str, key: SigningKey
    ) -> contextlib.AbstractAsyncContextManager[ClientConnection]:
        relay = self.fleet.relay
        return connected(relay.ready["tunnel_url"], self.fleet.store.identity, connector_id, key)

    async def until_audited(
        self, connector_id: str, action: str, subscription_id: str | None = None
    ) -> None:
        tenant = self.fleet.store.storage.of(subscription_id or self.fleet.store.subscription_id)

        async def audited() -> bool:
            entries = await tenant.audit.newest(limit=20)
            return [one.action for one in entries if one.target == connector_id] == [action]

        await until(audited, what=f"{action} in the audit log")


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    proceed = asyncio.Event()
    agent = ScriptedAgent()

    async def wait_and_write(exchange: Exchange, body: bytes) -> None:
        del body
        await proceed.wait()
        head = ResponseHead(status=201, outcome=Outcome.COMPLETED)
        await agent.write(exchange, b'{"id":7,"name":"of the victim"}', head=head)

    agent.script[Operation.CREATE] = wait_and_write
    async with fleet(tmp_path) as made:
        (victim,) = await made.enlist(1, handler=agent)
        await made.until_online(within=20)
        base = await made.datasource(victim)
        yield Scene(fleet=made, victim=victim, base=base, proceed=proceed)


async def claim(session: Session, call_id: str) -> None:
    """Tell the relay that this agent carried the call out."""
    result = ReportedResult(call_id=call_id, outcome=Outcome.COMPLETED, status=200)
    body = ReportedResults(results=(result,)).model_dump_json().encode()
    head = RequestHead(operation=Operation.RESULTS, call_id="results", deadline_ms=5000)
    with contextlib.suppress(TunnelError):
        exchange = await session.open(head)
        await exchange.send(body, end_stream=True)
        await exchange.receive_head()


@pytest.mark.catalogue("T74")
@pytest.mark.parametrize("when", ["while it runs", "when it has ended"])
async def test_result_of_another_connectors_call_ends_the_session_and_counts_for_nothing(
    scene: Scene, when: str
) -> None:
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(scene.write("one"))
        await scene.victim.handler.arrived.wait()
        call_id = scene.victim.handler.calls[0].head.call_id
        if when == "when it has ended":
            scene.proceed.set()
            await writing
        for subscription_id in (None, await scene.fleet.store.subscription("other")):
            key = SigningKey.generate()
            hostile = await scene.enrolled(key, subscription_id=subscription_id)
            async with scene.socket(hostile, key) as socket:
                session = Session(socket, role=Role.AGENT, handler=answer_at_once)
                running = tasks.create_task(survive(session))
                await claim(session, call_id)
                assert await closed_with(socket) == CloseCode.PROTOCOL_ERROR
                await running
            await scene.until_audited(hostile, "connector.forged_result", subscription_id)
        assert scene.victim.session is not None, "the victim is not disturbed"
        scene.proceed.set()
        answer = await writing
    assert (answer.status_code, answer.json()["name"]) == (201, "of the victim")
    shown = (await scene.fleet.api.get(f"/api/calls/{call_id}")).json()
    assert shown["connector_id"] == scene.victim.connector_id
    assert shown["status"] == 201


async def survive(session: Session) -> None:
    with contextlib.suppress(TunnelError):
        await session.run()


@pytest.mark.catalogue("T74")
async def test_answer_on_a_stream_that_is_not_its_own_ends_the_session(scene: Scene) -> None:
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(scene.write("two"))
        await scene.victim.handler.arrived.wait()  # its stream is number 1 of the victim's session
        for stream_id in (1, 2):
            key = SigningKey.generate()
            hostile = await scene.enrolled(key)
            async with scene.socket(hostile, key) as socket:
                head = json.dumps({"status": 200, "outcome": "completed"}).encode()
                await socket.send(INTRODUCTION + frame(1, 1, stream_id, head))
                assert await closed_with(socket) == CloseCode.PROTOCOL_ERROR
            await scene.until_audited(hostile, "connector.protocol_broken")
        scene.proceed.set()
        answer = await writing
    assert (answer.status_code, answer.json()["name"]) == (201, "of the victim")


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream_id.to_bytes(4) + payload
