"""Events over real sockets, from what really happens."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from cloud_connect.calls import Operation, Report
from cloud_connect_relay.events.hub import About
from cloud_connect_relay.storage.calls import CallState
from doubles.call_relay import CallRelay, call_relay
from doubles.event_reader import EventReader, events_of
from doubles.relay_node import NOW, Node, running_node
from doubles.scripted_agent import ScriptedAgent, hang
from doubles.waiting import until

CONNECTORS = About.CONNECTORS


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[CallRelay]:
    async with call_relay(tmp_path) as running:
        yield running


async def ready(reader: EventReader) -> str:
    heard = await reader.next()
    assert heard is not None
    assert heard.name == "ready"
    return heard.id


@pytest.mark.slow
async def test_what_becomes_of_a_connector_is_told(tmp_path: Path) -> None:
    async with call_relay(tmp_path) as relay, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(relay.services.connector_watch.run())
        async with events_of(relay.api) as reader:
            await ready(reader)
            assert reader.answer.headers["content-type"].startswith("text/event-stream")
            assert reader.answer.headers["cache-control"] == "no-store"
            connected = await relay.connect(ScriptedAgent(), name="site office")
            connector_id = connected.live.connector_id
            joined = await reader.until("connector", change="joined")
            assert joined.data["connector"]["id"] == connector_id
            online = await reader.until("connector", change="online")
            told = online.data["connector"]
            assert (told["name"], told["status"]) == ("site office", "online")
            assert told["connected_since"].endswith("Z")
            path = f"/api/connectors/{connector_id}"
            await relay.api.patch(path, json={"name": "north"})
            renamed = await reader.until("connector", change="renamed")
            assert renamed.data["connector"]["name"] == "north"
            await relay.api.patch(path, json={"draining": True})
            await reader.until("connector", change="draining")
            await relay.api.patch(path, json={"draining": False})
            await reader.until("connector", change="online")
            relay.registry.reported(connected.live, Report(paused=True, version="2"))
            await reader.until("connector", change="paused")
            relay.registry.reported(connected.live, Report(policy={"class": "test-only"}))
            await reader.until("connector", change="online")
            relay.registry.reported(connected.live, Report(policy={"class": "read-only"}))
            changed = await reader.until("connector", change="changed")
            assert changed.data["connector"]["policy"] == "read-only"
            await connected.lose()
            offline = await reader.until("connector", change="offline")
            assert offline.data["connector"]["connected_since"] is None
            await relay.api.delete(path)
            await reader.until("connector", change="revoked")
        watching.cancel()


async def test_what_another_process_changes_is_told_too(tmp_path: Path) -> None:
    async with call_relay(tmp_path) as relay, asyncio.TaskGroup() as tasks:
        connector_id = await relay.enrol(name="pc")
        relay.services.connector_watch._interval = 0.01  # type: ignore[misc]  # a calm look is slow
        watching = tasks.create_task(relay.services.connector_watch.run())
        async with events_of(relay.api) as reader:
            await ready(reader)
            repository = relay.store.storage.of(relay.store.subscription_id).connectors
            await repository.revoke(connector_id, actor="cli", at=NOW)
            heard = await reader.until("connector")
            assert (heard.data["change"], heard.data["connector"]["id"]) == (
                "revoked",
                connector_id,
            )
        watching.cancel()


@pytest.mark.slow
async def test_measures_are_told_calmly_and_together(tmp_path: Path) -> None:
    async with call_relay(tmp_path) as relay, asyncio.TaskGroup() as tasks:
        _, base = await relay.ready()
        watching = tasks.create_task(relay.services.connector_watch.run())
        async with events_of(relay.api, "/api/events?about=connectors") as reader:
            await ready(reader)
            await relay.api.get(f"{base}/records/rfis")
            relay.registry.reported(relay.connected[0].live, Report())  # a look is due
            heard = await reader.until("measures")
            (measured,) = heard.data["connectors"]
            assert (measured["calls"], measured["error_rate"]) == (1, 0.0)
            assert measured["id"] == relay.connected[0].live.connector_id
        watching.cancel()


async def test_calls_are_told_as_they_begin_and_end(relay: CallRelay) -> None:
    agent, base = await relay.ready(ScriptedAgent(script={Operation.GET: hang}))
    async with events_of(relay.api) as reader:
        await ready(reader)
        answer = await relay.api.get(f"{base}/procore/rest/v1.0/me")
        call_id = answer.headers["cloud-connect-call-id"]
        began = await reader.until("call", change="began")
        assert began.data["call"]["call_id"] == call_id
        assert began.data["call"]["outcome"] is None
        ended = await reader.until("call", change="ended")
        assert ended.data["call"] == (await relay.api.get(f"/api/calls/{call_id}")).json()
        assert ended.data["call"]["outcome"] == "completed"
        async with asyncio.TaskGroup() as tasks:
            held = tasks.create_task(relay.api.get(f"{base}/records/rfis/7"))
            await agent.arrived.wait()
            began = await reader.until("call", change="began")
            assert began.data["call"]["operation"] == "records.get"
            held.cancel()
        ended = await reader.until("call", change="ended")
        assert ended.data["call"]["outcome"] == "not_executed"


async def test_repeat_of_a_write_is_no_second_call(relay: CallRelay) -> None:
    _, base = await relay.ready()
    async with events_of(relay.api) as reader:
        await ready(reader)
        for key in ("k1", "k1", "k2"):
            answer = await relay.api.post(
                f"{base}/records/rfis", json={"subject": "x"}, headers={"Idempotency-Key": key}
            )
            assert answer.status_code == 201, answer.text
        changes = [(await reader.until("call")).data for _ in range(4)]
        assert [one["change"] for one in changes] == ["began", "ended"] * 2
        assert [one["call"]["idempotency_key"] for one in changes] == ["k1", "k1", "k2", "k2"]


async def test_call_whose_fate_is_found_out_later_is_told(relay: CallRelay) -> None:
    _, base = await relay.ready()
    answer = await relay.api.get(f"{base}/records/rfis/7")
    record = await relay.record(answer.headers["cloud-connect-call-id"])
    async with events_of(relay.api) as reader:
        await ready(reader)
        relay.calls._resolution._events.settled(
            dataclasses.replace(record, state=CallState.COMPLETED)
        )
        settled = await reader.until("call", change="settled")
        assert settled.data["call"]["call_id"] == record.id


async def test_each_hears_what_its_scopes_and_subscription_show(relay: CallRelay) -> None:
    _, base = await relay.ready()
    elsewhere = await relay.store.subscription("Other")
    keys = {
        "connectors": await relay.store.key("connectors:read"),
        "calls": await relay.store.key("calls:read"),
        "foreign": await relay.store.key("all", subscription_id=elsewhere),
    }
    readers = {}
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(10):
        for name, key in keys.items():
            readers[name] = tasks.create_task(
                heard_until_end(relay, {"Authorization": f"Bearer {key}"})
            )
        await until(lambda: len(relay.services.requests) == len(keys))
        await relay.api.get(f"{base}/records/rfis")
        await relay.quiet()
        relay.services.events.publish(
            relay.store.subscription_id, "connector", {"change": "x"}, about=CONNECTORS
        )
        relay.services.events.close()
    assert readers["connectors"].result() == ["ready", "connector"]
    assert readers["calls"].result() == ["ready", "call", "call"]
    assert readers["foreign"].result() == ["ready"]


async def heard_until_end(relay: CallRelay, headers: dict[str, str]) -> list[str]:
    names = []
    async with events_of(relay.api, **headers) as reader:
        while (heard := await reader.next()) is not None:
            names.append(heard.name)
    return names


async def test_credential_that_may_hear_nothing_is_refused(relay: CallRelay) -> None:
    for scopes, path in (
        (("audit:read",), "/api/events"),
        (("connectors:read",), "/api/events?about=calls"),
        (("calls:read",), "/api/events?about=connectors"),
    ):
        key = await relay.store.key(*scopes)
        async with events_of(relay.api, path, Authorization=f"Bearer {key}") as reader:
            assert reader.answer.status_code == 403
            assert reader.answer.json()["code"] == "insufficient_scope"
    wrong = await relay.api.get("/api/events", params={"about": "people"})
    assert wrong.status_code == 400


async def test_reader_that_comes_back_goes_on_where_it_was(relay: CallRelay) -> None:
    _, base = await relay.ready()
    async with events_of(relay.api) as reader:
        last = await ready(reader)
    await relay.api.get(f"{base}/records/rfis")
    await relay.quiet()
    async with events_of(relay.api, Last_Event_ID=last) as reader:
        heard = await reader.next()
        assert heard is not None
        assert heard.data == {"resumed": True}
        assert (await reader.until("call")).data["change"] == "began"
    async with events_of(relay.api, Last_Event_ID="gone-1") as reader:
        assert (await reader.until("resync")).data == {}


async def test_silence_is_broken_by_signs_of_life(tmp_path: Path) -> None:
    async with (
        running_node(tmp_path, api={"event_heartbeat": 0.01}) as node,
        events_of(node.api) as reader,
    ):
        await ready(reader)
        heard = await reader.next()
        assert heard is not None
        assert heard.name == ""


async def test_reader_that_stalls_costs_a_bounded_queue_and_is_told(relay: CallRelay) -> None:
    hub, mine = relay.services.events, relay.store.subscription_id
    async with events_of(relay.api) as reader:
        await ready(reader)
        filler = {"change": "x", "filler": "x" * 20_000}
        for _ in range(40):  # 20 MB: more than the sockets' buffers and the queue hold
            for _ in range(25):
                hub.publish(mine, "connector", filler, about=CONNECTORS)
            await asyncio.sleep(0)
        for _ in range(1100):
            hub.publish(mine, "connector", {"change": "y"}, about=CONNECTORS)
        await reader.until("resync")
        hub.publish(mine, "connector", {"change": "z"}, about=CONNECTORS)
        await reader.until("connector", change="z")


async def test_events_end_with_the_relay(node: Node) -> None:
    async with events_of(node.api) as reader:
        await ready(reader)
        node.stop.set()
        while (heard := await reader.next()) is not None:
            assert heard.name != "resync"


@pytest.mark.slow
async def test_revoked_credential_hears_nothing_more(node: Node) -> None:
    key = await node.store.key("connectors:read")
    async with events_of(node.api, Authorization=f"Bearer {key}") as reader:
        await ready(reader)
        await node.store.storage.of(node.store.subscription_id).keys.revoke(
            f"key_{key.split('_')[2]}", actor="test", at=NOW
        )
        try:
            while await reader.next() is not None:
                pass
        except (httpx.ReadError, httpx.RemoteProtocolError):
            return
    raise AssertionError("a stream that is cut has no regular end")


async def test_too_many_readers_of_a_subscription_are_refused(tmp_path: Path) -> None:
    async with (
        running_node(tmp_path, api={"max_event_streams": 1}) as node,
        events_of(node.api) as reader,
    ):
        await ready(reader)
        refused = await node.api.get("/api/events")
        assert refused.status_code == 429
        assert "1 programs" in refused.json()["detail"]
