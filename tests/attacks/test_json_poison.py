"""JSON that is meant to hurt whoever reads it: refused in no time, while everybody else goes on."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from cloud_connect.calls import Operation
from cloud_connect.closing import CloseCode
from cloud_connect.errors import CloudConnectError
from cloud_connect.signing import SigningKey
from cloud_connect.tunnel import Frame, FrameType, RequestHead
from cloud_connect_agent.procore.client import ApiRequest, ProcoreClient
from doubles.fake_procore import SANDBOX, SOURCE, FakeProcore, MemoryVault, Reply
from doubles.fleet import Fleet, fleet
from doubles.hammer import hammer
from doubles.link_bench import run_agent, serve_relay
from doubles.program import cpu_seconds
from doubles.raw_agent import INTRODUCTION, agent_side, closed_with, greet, session_at, socket_to
from doubles.scripted_agent import ScriptedAgent

MEBIBYTE: Final = 1024 * 1024
MOST_SECONDS: Final = 0.2  # that an answer may take
MOST_BLOCKED: Final = 0.1  # for which nobody else is answered
TRIES: Final = 8  # the best one counts: what other programs take of the machine is not its fault

# What no reader of ours takes, large or small; each is the value of a member.
SMALL: Final = {
    "deep": b"[" * 1000 + b"]" * 1000,
    "65 deep": b"[" * 65 + b"]" * 65,
    "a member twice": b'{"a":1,"a":2}',
    "a member twice, once escaped": b'{"a":1,"\\u0061":2}',
    "NaN": b"NaN",
    "Infinity": b"-Infinity",
    "out of range": b"1e999",
    "65 digits": b"1" * 65,
    "half a character": b'"\\ud83d"',
    "the other half": b'"\\ude00"',
    "half a character as a name": b'{"\\ud83d":1}',
    "no UTF-8": b'"\xff"',
    "a surrogate in UTF-8": b'"\xed\xa0\xbd"',
}
LARGE: Final = {
    "100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "100,000 deep, without an end": b'{"a":' * 100_000,
    "a number of 10 MB": b"1" * 10_000_000,
    "a number of 1 MB": b"1" * (MEBIBYTE - 100),
    "1,000,000 members": b"{" + b",".join(b'"%d":0' % n for n in range(1_000_000)) + b"}",
    "100,000 members": b"{" + b",".join(b'"%d":0' % n for n in range(100_000)) + b"}",
    "500,000 values": b"[" + b"0," * 500_000 + b"0]",
    "300,000 objects": b"[" + b"{}," * 300_000 + b"{}]",
    "nested by 64": b"[" + b",".join([b"[" * 63 + b"]" * 63] * 8000) + b"]",
    "nested by 60": b"[" + b",".join([b"[" * 60 + b"]" * 60] * 8000) + b"]",
    "empty strings": b'["' + b'","' * 340_000 + b'"]',
    "quotes": b'"' + b'\\"' * 500_000,
    "escapes": b'"' + b"\\u0041" * 150_000 + b'\\ud800"',
}


def member(value: bytes) -> bytes:
    return b'{"title":' + value + b"}"


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet(tmp_path) as made:
        yield made


class Bystander:
    """Somebody who asks for his health all the time, and how long he waited at most."""

    def __init__(self, origin: str) -> None:
        self._origin: Final = origin
        self.longest = 0.0

    async def go_on(self) -> None:
        async with hammer(self._origin, {}) as asking:
            while True:
                hit = await asking.get("/healthz")
                self.longest = max(self.longest, hit.seconds)


@pytest.mark.catalogue("T96")
@pytest.mark.timeout(120)
@pytest.mark.usefixtures("untraced")
async def test_poisoned_bodies_are_refused_in_no_time_and_hold_nobody_up(relay: Fleet) -> None:
    [agent] = await relay.enlist(1, handler=ScriptedAgent())
    await relay.until_online(within=20)
    source = await relay.datasource(agent)
    places = ("/api/datasources", f"{source}/query", f"{source}/records/rfis", "/api/enrol")
    bodies = {name: member(value) for name, value in {**SMALL, **LARGE}.items()}
    bodies["a byte order mark"] = b'\xef\xbb\xbf{"title":"x"}'
    bodies["__proto__"] = b'{"__proto__":{"admin":true},"constructor":{"prototype":{}}}'
    bystander = Bystander(relay.relay.ready["api_url"])
    key = iter(range(1_000_000))
    wrong: dict[str, object] = {}

    async def once(place: str, body: bytes) -> tuple[int, float, float]:
        bystander.longest = 0.0
        used, began = cpu_seconds(relay.relay.pid), time.monotonic()
        status = 413
        with contextlib.suppress(httpx.WriteError, httpx.ReadError):  # closed amid the body
            answer = await relay.api.post(
                place,
                content=body,
                headers={"Content-Type": "application/json", "Idempotency-Key": f"k{next(key)}"},
            )
            status = answer.status_code
        took = time.monotonic() - began
        assert cpu_seconds(relay.relay.pid) - used < 2
        return status, took, bystander.longest

    async with asyncio.TaskGroup() as tasks:
        going = tasks.create_task(bystander.go_on())
        for name, body in bodies.items():
            for place in places:
                if name == "__proto__" and place.startswith(source):
                    continue  # a field's name like another: its agent says that there is none
                least = blocked = 99.0
                for _ in range(TRIES):
                    status, took, waited = await once(place, body)
                    least, blocked = min(least, took), min(blocked, waited)
                    if least <= MOST_SECONDS and blocked <= MOST_BLOCKED:
                        break
                if not 400 <= status < 500 or least > MOST_SECONDS or blocked > MOST_BLOCKED:
                    wrong[f"{name} at {place}"] = (status, round(least, 3), round(blocked, 3))
        going.cancel()
    assert wrong == {}, json.dumps(wrong, indent=1)
    assert agent.connects == 1


@pytest.mark.catalogue("T96")
async def test_poisoned_messages_of_a_handshake_end_it(tmp_path: Path) -> None:
    async with serve_relay(
        tmp_path, tunnel={"max_pending_per_source": 100, "handshakes_per_second": 1000}
    ) as relay:
        key = SigningKey.generate()
        connector = await relay.enrol(key)
        for name, value in SMALL.items():
            async with socket_to(relay) as socket:
                agent = agent_side(relay, connector.id, key)
                hello = agent.receive_challenge(await socket.recv())
                poisoned = hello[:-1].encode() + b',"more":' + value + b"}"
                await socket.send(poisoned, text=True)
                code = await closed_with(socket)
            expected = 1007 if "UTF-8" in name else CloseCode.PROTOCOL_ERROR
            assert code == expected, name
        assert await _greets(relay, connector.id, key)


async def _greets(relay: Any, connector_id: str, key: SigningKey) -> int:
    async with socket_to(relay) as socket:
        return await greet(socket, agent_side(relay, connector_id, key))


@pytest.mark.catalogue("T96")
async def test_poisoned_heads_end_the_session_and_poisoned_reports_are_refused(
    tmp_path: Path,
) -> None:
    async with serve_relay(tmp_path) as relay, run_agent(relay, tmp_path / "good") as good:
        live = await relay.session_of(good.connector_id)
        for name, value in SMALL.items():
            async with session_at(relay) as socket:
                head = b'{"operation":"report","call_id":"c","deadline_ms":1,"params":{"a":'
                payload = head + value + b"}}"
                await socket.send(
                    INTRODUCTION
                    + Frame(kind=FrameType.HEADERS, stream_id=2, payload=payload).encode()
                )
                assert await closed_with(socket) == CloseCode.PROTOCOL_ERROR, name
        assert good.health.session is not None
        for name, value in {**SMALL, "deeper": LARGE["100,000 deep"][:60_000]}.items():
            for operation in (Operation.REPORT, Operation.RESULTS):
                head_ = RequestHead(operation=operation, call_id="", deadline_ms=5000)
                exchange = await good.health.session.open(head_)
                await exchange.send(b'{"results":[],"more":' + value + b"}", end_stream=True)
                assert (await exchange.receive_head()).status == 400, name
        assert relay.registry.get(good.connector_id) is live


@pytest.mark.catalogue("T96")
async def test_poisoned_answers_of_procore_end_their_call_and_nothing_else() -> None:
    vault = MemoryVault()
    vault.store_app()
    async with (
        FakeProcore().serve() as procore,
        ProcoreClient.open(procore.settings, vault, spread=lambda: 0.0) as client,
    ):
        await client.authenticator.sign_in(SANDBOX)
        taken = []
        for name, value in {**SMALL, "100,000 deep": LARGE["100,000 deep"]}.items():
            procore.api.default = lambda _, body=value: Reply(body=body)  # type: ignore[misc]
            with contextlib.suppress(CloudConnectError):
                answer = await client.request(
                    ApiRequest(method="GET", path="/rest/v1.0/me"),
                    source=SOURCE,
                    deadline=time.monotonic() + 5,
                )
                taken.append(name)
                json.dumps(answer.json, allow_nan=False).encode("utf-8")
        # What Procore's own clients take, too: a source that repeats itself means the last one.
        assert set(taken) == {"a member twice", "a member twice, once escaped", "65 digits"}
        procore.api.default = lambda _: Reply(body=[{"id": 1}])
        answered = await client.request(
            ApiRequest(method="GET", path="/rest/v1.0/me"),
            source=SOURCE,
            deadline=time.monotonic() + 5,
        )
        assert answered.json == [{"id": 1}]
