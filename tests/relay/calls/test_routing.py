import asyncio
import time
from typing import Any

import pytest

from cloud_connect.calls import Operation, Report
from cloud_connect.session import SessionSettings
from cloud_connect.tunnel import Limits
from doubles.call_relay import CallRelay
from doubles.scripted_agent import ScriptedAgent, hang

KEY = {"Idempotency-Key": "key-1"}


async def ask(relay: CallRelay, base: str) -> tuple[int, dict[str, Any] | list[Any]]:
    answer = await relay.api.get(f"{base}/records/rfis")
    return answer.status_code, answer.json()


async def test_least_loaded_connector_of_a_group_takes_the_call(relay: CallRelay) -> None:
    busy = ScriptedAgent(script={Operation.GET: hang})
    loaded = await relay.connect(busy, group="site")
    base = await relay.datasource(connectorGroup="site")
    async with asyncio.TaskGroup() as tasks:
        held = tasks.create_task(relay.api.get(f"{base}/records/rfis/1"))
        await busy.arrived.wait()
        idle = ScriptedAgent()
        await relay.connect(idle, group="site")
        for _ in range(3):
            assert (await ask(relay, base))[0] == 200
        assert len(idle.calls) == 3
        assert loaded.live.in_flight == 1
        held.cancel()


async def test_call_goes_to_the_chosen_connectors_only(relay: CallRelay) -> None:
    chosen, other = ScriptedAgent(), ScriptedAgent()
    first = await relay.connect(chosen)
    second = await relay.connect(chosen)
    await relay.connect(other, group="site")
    ids = [first.live.connector_id, second.live.connector_id]
    base = await relay.datasource(connectorId=ids)
    for _ in range(4):
        assert (await ask(relay, base))[0] == 200
    assert len(chosen.calls) == 4
    assert other.calls == []


async def test_connector_of_another_subscription_is_never_used(relay: CallRelay) -> None:
    other = await relay.store.subscription("Other")
    agent = ScriptedAgent()
    await relay.connect(agent, subscription_id=other, group="site", hosted=True)
    for members in ({"connectorGroup": "site"}, {"useConnector": False}):
        base = await relay.datasource(**members)
        assert (await ask(relay, base))[0] == 503
    assert agent.calls == []


async def test_hosted_connector_serves_what_does_not_use_cloud_connect(relay: CallRelay) -> None:
    own, hosted = ScriptedAgent(), ScriptedAgent()
    connected = await relay.connect(own)
    base = await relay.datasource(connected.live.connector_id, useConnector=False)
    status, told = await ask(relay, base)
    assert status == 503
    assert isinstance(told, dict)
    assert told["detail"] == (
        "This data source does not use Cloud Connect and the subscription has no hosted"
        " connector. Switch on 'Use Kianda Cloud Connect' and choose a connector."
    )
    await relay.connect(hosted, hosted=True)
    assert (await ask(relay, base))[0] == 200
    assert (len(own.calls), len(hosted.calls)) == (0, 1)


@pytest.mark.parametrize(
    ("columns", "code", "said"),
    [
        ({"status_flag": "revoked"}, "connector_offline", "revoked"),
        ({"status_flag": "clone_suspected"}, "connector_offline", "copied"),
        ({"status_flag": "draining"}, "connector_draining", "finishing"),
        ({"report": {"paused": True}}, "connector_paused", "paused on its PC; 'cloud-connect res"),
        (
            {"report": {"paused": True}, "paused_until": time.time() + 1e6},
            "connector_paused",
            "is paused on its PC and by an administrator; 'cloud-connect resume' there and Resume",
        ),
        (
            {"paused_until": time.time() + 1e6},
            "connector_paused",
            "is paused by an administrator for another 166",
        ),
        (
            {"report": {"paused": True, "paused_until": "2100-01-01T00:00:00+00:00"}},
            "connector_paused",
            "paused on its PC for another",
        ),
        (  # the pause ended while it was off
            {
                "report": {"paused": True, "paused_until": "2026-01-01T00:00:00+00:00"},
                "last_seen_at": 1.0,
            },
            "connector_offline",
            "start Cloud Connect",
        ),
        ({"status_flag": "pending"}, "connector_offline", "has to approve it"),
        ({"last_seen_at": None}, "connector_offline", "start Cloud Connect"),
        ({"last_seen_at": 1.0}, "connector_offline", "start Cloud Connect"),
    ],
)
async def test_connector_that_will_not_come_is_told_at_once(
    relay: CallRelay, columns: dict[str, Any], code: str, said: str
) -> None:
    connector = await relay.store.connector(**{"last_seen_at": relay.clock(), **columns})
    # A connector that was revoked since cannot be chosen any more, so it is written as chosen.
    base = await relay.datasource()
    from sqlalchemy import update

    from cloud_connect_relay.storage.tables import datasources

    async with relay.store.storage.write() as connection:
        await connection.execute(update(datasources).values(connector_id=connector))
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await relay.api.get(f"{base}/records/rfis")
    assert loop.time() - began < 5
    assert (answer.status_code, answer.json()["code"]) == (503, code)
    assert said in answer.json()["detail"]
    assert answer.json()["outcome"] == "not_executed"


async def test_live_connector_that_takes_no_calls_is_told_at_once(relay: CallRelay) -> None:
    paused = await relay.connect(ScriptedAgent(), report=Report(paused=True))
    base = await relay.datasource(paused.live.connector_id)
    assert (await relay.api.get(f"{base}/records/rfis")).json()["code"] == "connector_paused"
    draining = await relay.connect(ScriptedAgent())
    draining.live.flagged_draining = True
    base = await relay.datasource(draining.live.connector_id)
    assert (await relay.api.get(f"{base}/records/rfis")).json()["code"] == "connector_draining"


async def test_calls_of_a_group_pass_by_a_connector_that_an_administrator_paused(
    relay: CallRelay,
) -> None:
    agents = [ScriptedAgent(), ScriptedAgent()]
    paused = await relay.connect(agents[0], group="site")
    base = await relay.datasource(connectorGroup="site")
    path = f"/api/connectors/{paused.live.connector_id}"
    assert (await relay.api.patch(path, json={"paused_for": 60})).json()["status"] == "paused"
    refused = await relay.api.get(f"{base}/records/rfis")
    assert refused.json()["code"] == "connector_paused"
    assert "is paused by an administrator for another 60 s" in refused.json()["detail"]
    assert int(refused.headers["retry-after"]) <= 30
    await relay.connect(agents[1], group="site")
    for _ in range(3):
        assert (await relay.api.get(f"{base}/records/rfis")).status_code == 200
    assert (len(agents[0].calls), len(agents[1].calls)) == (0, 3)
    assert (await relay.api.patch(path, json={"paused_for": 0})).json()["status"] == "online"


async def test_draining_agent_takes_no_new_calls_but_its_group_does(relay: CallRelay) -> None:
    leaving, staying = ScriptedAgent(), ScriptedAgent()
    first = await relay.connect(leaving, group="site")
    await relay.connect(staying, group="site")
    base = await relay.datasource(connectorGroup="site")
    first.live.session.drain()
    for _ in range(3):
        assert (await ask(relay, base))[0] == 200
    assert leaving.calls == []
    assert len(staying.calls) == 3


async def test_empty_group_is_named(relay: CallRelay) -> None:
    base = await relay.datasource(connectorGroup="nowhere")
    answer = await relay.api.get(f"{base}/records/rfis")
    assert (answer.status_code, answer.json()["code"]) == (503, "connector_offline")
    assert "'nowhere'" in answer.json()["detail"]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_call_waits_for_a_connector_that_was_seen_a_moment_ago(
    relay: CallRelay, method: str
) -> None:
    connector = await relay.enrol(last_seen_at=relay.clock() - 10)
    base = await relay.datasource(connector)
    agent = ScriptedAgent()
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(
            relay.api.request(method, f"{base}/records/rfis", headers=KEY, json={"a": 1})
        )
        async with asyncio.timeout(5):
            while not relay.calls.running:
                await asyncio.sleep(0.01)
        await relay.connect(ScriptedAgent())  # another one is not worth ending the wait
        await relay.connect(agent, connector)
    assert asked.result().status_code in {200, 201}
    assert len(agent.calls) == 1


async def test_wait_ends_with_the_setting_or_a_second_before_the_deadline(
    relay: CallRelay,
) -> None:
    connector = await relay.enrol(last_seen_at=relay.clock())
    base = await relay.datasource(connector)
    loop = asyncio.get_running_loop()
    for deadline, least, most in (("60000", 1.9, 3.5), ("1500", 0.4, 1.4), ("500", 0.0, 0.5)):
        began = loop.time()
        answer = await relay.api.get(
            f"{base}/records/rfis", headers={"Cloud-Connect-Deadline-Ms": deadline}
        )
        assert least <= loop.time() - began < most, deadline
        assert (answer.status_code, answer.json()["code"]) == (503, "connector_offline")
        assert "did not come back" in answer.json()["detail"]


async def test_full_session_is_too_much_at_once(relay: CallRelay) -> None:
    settings = SessionSettings(limits=Limits(max_streams=2))
    agent = ScriptedAgent(script={Operation.GET: hang})
    connected = await relay.connect(agent, settings=settings)
    base = await relay.datasource(connected.live.connector_id)
    async with asyncio.TaskGroup() as tasks:
        held = [tasks.create_task(relay.api.get(f"{base}/records/rfis/{n}")) for n in (1, 2)]
        async with asyncio.timeout(5):
            while len(agent.calls) < 2:
                await asyncio.sleep(0.01)
        answer = await relay.api.get(f"{base}/records/rfis")
        assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
        for task in held:
            task.cancel()


async def test_full_session_leaves_the_call_to_another(relay: CallRelay) -> None:
    settings = SessionSettings(limits=Limits(max_streams=1))
    full = ScriptedAgent(script={Operation.GET: hang})
    await relay.connect(full, settings=settings, group="site")
    base = await relay.datasource(connectorGroup="site")
    async with asyncio.TaskGroup() as tasks:
        held = tasks.create_task(relay.api.get(f"{base}/records/rfis/1"))
        await full.arrived.wait()
        spare = ScriptedAgent(script={Operation.GET: hang})
        await relay.connect(spare, group="site")
        more = tasks.create_task(relay.api.get(f"{base}/records/rfis/2"))
        await spare.arrived.wait()
        await relay.connect(ScriptedAgent(), settings=settings, group="site")
        assert (await ask(relay, base))[0] == 200
        held.cancel()
        more.cancel()
