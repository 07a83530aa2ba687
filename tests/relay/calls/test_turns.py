import asyncio
import statistics
from pathlib import Path

import httpx
import pytest

from cloud_connect.calls import Operation, Report
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResponseHead
from doubles.call_relay import CallRelay, call_relay
from doubles.scripted_agent import Act, ScriptedAgent, row_lines


class Gate:
    """A script that answers when it is told to."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.open = asyncio.Event()

    async def __call__(self, exchange: Exchange, _: bytes) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.open.wait()
        finally:
            self.running -= 1
        await exchange.send_head(ResponseHead(status=200))
        await exchange.send(b"{}", end_stream=True)


async def waiting(relay: CallRelay, count: int) -> None:
    async with asyncio.timeout(10):
        while relay.calls._desk.waiting != count:
            await asyncio.sleep(0.005)


async def gauges(relay: CallRelay) -> dict[str, float]:
    text = (await relay.api.get("/metrics")).text
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines if "{" not in name}


async def test_connector_works_on_so_many_calls_and_the_others_wait_at_the_relay(
    tmp_path: Path,
) -> None:
    gate = Gate()
    async with call_relay(tmp_path, max_dispatched=2) as relay:
        agent, base = await relay.ready(ScriptedAgent(script={Operation.GET: gate}))
        async with asyncio.TaskGroup() as tasks:
            asked = [
                tasks.create_task(relay.api.get(f"{base}/records/rfis/{n}")) for n in range(12)
            ]
            await waiting(relay, 9)
            assert gate.running == len(agent.calls) == 3
            assert (await gauges(relay))["cloud_connect_calls_queued"] == 9
            gate.open.set()
        assert {task.result().status_code for task in asked} == {200}
        assert gate.most == 3
        assert (await gauges(relay))["cloud_connect_calls_queued"] == 0


@pytest.mark.catalogue("T57")
async def test_full_queue_refuses_in_50_ms_and_holds_no_more_bytes_than_its_limit(
    tmp_path: Path,
) -> None:
    gate, size, limit = Gate(), 64 * 1024, 1024 * 1024
    async with call_relay(
        tmp_path, max_dispatched=1, max_queued=256, max_queued_bytes=limit
    ) as relay:
        agent, base = await relay.ready(
            ScriptedAgent(script={Operation.CREATE: gate, Operation.GET: gate})
        )
        loop = asyncio.get_running_loop()
        took: list[float] = []

        async def create(number: int) -> httpx.Response:
            return await relay.api.post(
                f"{base}/records/rfis",
                content=b'{"subject":"' + b"x" * size + b'"}',
                headers={"Idempotency-Key": f"key-{number}"},
            )

        async with asyncio.TaskGroup() as tasks:
            held = [tasks.create_task(create(number)) for number in range(1)]
            async with asyncio.timeout(10):
                while gate.running < 1:
                    await asyncio.sleep(0.005)
            held += [tasks.create_task(create(number)) for number in range(1, 16)]
            await waiting(relay, 15)
            for number in range(20):  # by bytes
                began = loop.time()
                refused = await create(100 + number)
                took.append(loop.time() - began)
                assert refused.status_code == 429, refused.text
                assert refused.json()["outcome"] == "not_executed"
                assert refused.json()["code"] == "quota_exceeded"
                assert "15 waiting" in refused.json()["detail"]
                assert refused.headers["retry-after"] == "1"
            seen = await gauges(relay)
            assert seen["cloud_connect_queued_bytes"] <= limit + size
            reads = [
                tasks.create_task(relay.api.get(f"{base}/records/rfis/{n}")) for n in range(225)
            ]
            await waiting(relay, 240)  # the last places are for connection tests
            for _ in range(20):  # by number
                began = loop.time()
                refused = await relay.api.get(f"{base}/records/rfis/1")
                took.append(loop.time() - began)
                assert refused.json()["outcome"] == "not_executed"
                assert refused.status_code == 429
            assert statistics.median(took) < 0.05  # single ones may meet a busy machine
            assert len(agent.calls) == 1
            gate.open.set()
        assert {task.result().status_code for task in held} == {201}
        assert {task.result().status_code for task in reads} == {200}
        assert len(agent.calls) == 16 + 225
        seen = await gauges(relay)
        assert (seen["cloud_connect_calls_queued"], seen["cloud_connect_queued_bytes"]) == (0, 0)


async def test_call_whose_turn_does_not_come_in_time_was_never_sent(tmp_path: Path) -> None:
    gate = Gate()
    async with call_relay(tmp_path, max_dispatched=1) as relay:
        agent, base = await relay.ready(
            ScriptedAgent(script={Operation.GET: gate, Operation.CREATE: gate})
        )
        async with asyncio.TaskGroup() as tasks:
            held = tasks.create_task(relay.api.get(f"{base}/records/rfis/1"))
            async with asyncio.timeout(5):
                await agent.arrived.wait()
            deadline = {"Cloud-Connect-Deadline-Ms": "600", "Idempotency-Key": "late"}
            read = await relay.api.get(f"{base}/records/rfis/2", headers=deadline)
            write = await relay.api.post(f"{base}/records/rfis", headers=deadline, json={"a": 1})
            for answer in (read, write):
                assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
                assert answer.json()["outcome"] == "not_executed"
                assert "could wait" in answer.json()["detail"]
            record = await relay.record(write.json()["call_id"])
            assert (record.outcome, record.final) == ("not_executed", True)
            gate.open.set()
            await held
        assert len(agent.calls) == 1


async def test_caller_who_hangs_up_leaves_the_queue(tmp_path: Path) -> None:
    gate = Gate()
    async with call_relay(tmp_path, max_dispatched=1) as relay:
        agent, base = await relay.ready(ScriptedAgent(script={Operation.GET: gate}))
        async with asyncio.TaskGroup() as tasks:
            held = tasks.create_task(relay.api.get(f"{base}/records/rfis/1"))
            async with asyncio.timeout(5):
                await agent.arrived.wait()
            asked = [tasks.create_task(relay.api.get(f"{base}/records/rfis/2")) for _ in range(9)]
            await waiting(relay, 9)
            for task in asked[:8]:
                task.cancel()
            await waiting(relay, 1)
            gate.open.set()
            assert (await asked[8]).status_code == 200
            assert (await held).status_code == 200
        await relay.quiet()
        assert len(agent.calls) == 2


async def test_key_that_sends_alone_gets_more_places_until_another_one_comes(
    tmp_path: Path,
) -> None:
    gate = Gate()
    async with call_relay(tmp_path, max_dispatched=10) as relay:
        _, base = await relay.ready(ScriptedAgent(script={Operation.GET: gate}))
        other = {"Authorization": f"Bearer {await relay.store.key('all')}"}
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(relay.api.get(f"{base}/records/rfis/1")) for _ in range(25)]
            await waiting(relay, 7)
            assert gate.running == 18
            url = f"{base}/records/rfis/2"
            asked.append(tasks.create_task(relay.api.get(url, headers=other)))
            await waiting(relay, 8)
            gate.open.set()
            for task in asked:
                assert (await task).status_code == 200
            gate.open.clear()
            asked = [tasks.create_task(relay.api.get(f"{base}/records/rfis/1")) for _ in range(25)]
            await waiting(relay, 15)
            gate.open.set()


async def test_quiet_key_is_next_while_a_noisy_one_waits_a_hundred_times(tmp_path: Path) -> None:
    order: list[str] = []
    step = asyncio.Semaphore(0)

    async def answer(exchange: Exchange, _: bytes) -> None:
        order.append(exchange.request.params["record_id"])
        await step.acquire()
        await exchange.send_head(ResponseHead(status=200))
        await exchange.send(b"{}", end_stream=True)

    async with call_relay(tmp_path, max_dispatched=1) as relay:
        _, base = await relay.ready(ScriptedAgent(script={Operation.GET: answer}))
        quiet = {"Authorization": f"Bearer {await relay.store.key('all')}"}
        async with asyncio.TaskGroup() as tasks:
            for _ in range(100):
                tasks.create_task(relay.api.get(f"{base}/records/rfis/1"))
            await waiting(relay, 99)
            for _ in range(5):
                tasks.create_task(relay.api.get(f"{base}/records/rfis/2", headers=quiet))
            await waiting(relay, 104)
            for _ in range(105):
                step.release()
        assert len(order) == 105
        places = [place for place, record in enumerate(order) if str(record) == "2"]
        assert places[0] <= 2
        assert places[-1] <= 2 + 2 * 5


async def test_waiting_calls_go_to_another_connector_when_theirs_is_lost_or_paused(
    tmp_path: Path,
) -> None:
    async with call_relay(tmp_path, max_dispatched=1, connector_wait=1) as relay:
        gates = [Gate(), Gate()]
        both = [
            await relay.connect(ScriptedAgent(script={Operation.GET: gate}), group="g")
            for gate in gates
        ]
        base = await relay.datasource(connectorGroup="g")
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(relay.api.get(f"{base}/records/rfis/1")) for _ in range(8)]
            await waiting(relay, 6)
            assert {connected.live.waiting for connected in both} == {3}
            relay.registry.reported(both[0].live, Report(paused=True))
            async with asyncio.timeout(5):
                while both[1].live.waiting != 6:
                    await asyncio.sleep(0.005)
            for gate in gates:
                gate.open.set()
        assert {task.result().status_code for task in asked} == {200}
        assert len(both[0].agent.calls) == 1
        assert len(both[1].agent.calls) == 7


async def test_answer_that_its_caller_reads_slowly_takes_no_turn_for_long(tmp_path: Path) -> None:
    async def endless(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200))
        while True:
            await exchange.send(row_lines(1000))

    async with call_relay(tmp_path, max_dispatched=1) as relay:
        _, base = await relay.ready(ScriptedAgent(script={Operation.LIST: endless}))
        loop = asyncio.get_running_loop()
        async with relay.api.stream("GET", f"{base}/records/rfis") as stalled:
            assert stalled.status_code == 200
            began = loop.time()
            assert (await relay.api.get(f"{base}/records/rfis/7")).status_code == 200
            assert loop.time() - began < 2
        await relay.quiet()


async def test_node_takes_so_many_calls_of_all_subscriptions_in_turn(tmp_path: Path) -> None:
    gate = Gate()
    async with call_relay(tmp_path, max_dispatched_per_node=1) as relay:
        agent, base = await relay.ready(ScriptedAgent(script={Operation.GET: gate}))
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(relay.api.get(f"{base}/records/rfis/1")) for _ in range(6)]
            await waiting(relay, 5)
            assert len(agent.calls) == 1
            gate.open.set()
        assert {task.result().status_code for task in asked} == {200}
        assert gate.most == 1


@pytest.mark.parametrize("action", ["select", "insert"])
async def test_call_that_waits_for_its_lost_connector_takes_no_place_of_others(
    tmp_path: Path, action: str
) -> None:
    gate = Gate()
    async with call_relay(tmp_path, max_dispatched_per_node=1, connector_wait=15) as relay:
        lost = ScriptedAgent(script={Operation.QUERY: gate})
        first = await relay.connect(lost, last_seen_at=relay.clock())
        base = await relay.datasource(first.live.connector_id)
        _, other = await relay.ready()
        async with asyncio.TaskGroup() as tasks:
            query = {"action": action, "info": {"name": "rfis"}}
            held = tasks.create_task(relay.api.post(f"{base}/query", json=query))
            async with asyncio.timeout(10):
                await lost.arrived.wait()
            await first.lose()
            answer = await relay.api.get(
                f"{other}/records/rfis", headers={"Cloud-Connect-Deadline-Ms": "4000"}
            )
            assert answer.status_code == 200, answer.text
            assert not held.done()
            held.cancel()


async def test_places_kept_for_people_and_tests_are_theirs_though_others_wait(
    tmp_path: Path,
) -> None:
    gate = Gate()
    async with call_relay(tmp_path, max_dispatched=32) as relay:
        script: dict[Operation, Act] = {Operation.GET: gate, Operation.TEST: gate}
        _, base = await relay.ready(ScriptedAgent(script=script))
        place, later = f"{base}/records/rfis", {"Priority": "u=7"}
        async with asyncio.TaskGroup() as tasks:
            for number in range(60):
                tasks.create_task(relay.api.get(f"{place}/{number}", headers=later))
            await waiting(relay, 6)
            tasks.create_task(relay.api.get(f"{place}/100"))
            tasks.create_task(relay.api.post(f"{base}/test"))
            async with asyncio.timeout(10):
                while gate.running != 56:
                    await asyncio.sleep(0.005)
            assert relay.calls._desk.waiting == 6
            gate.open.set()
