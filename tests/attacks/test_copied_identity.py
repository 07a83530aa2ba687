"""A copied disk is found out; a crash, whenever it comes, is no copy."""

import asyncio
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.closing import CloseCode
from cloud_connect.signing import SigningKey
from cloud_connect_agent.identity import Generation
from cloud_connect_relay.storage.connectors import ConnectorFlag
from doubles.link_bench import Relay, run_agent, serve_relay
from doubles.program import Program, running
from doubles.raw_agent import agent_side, closed_with, greet, refused_with, socket_to
from doubles.seeds import chosen_seed
from doubles.world import Agent, World, open_world

CRASHES = 100


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.catalogue("T70")
async def test_copied_state_is_quarantined_and_gets_no_call(tmp_path: Path) -> None:
    async with open_world(tmp_path, agents=("hot", "cold"), tunnel_proxies=False, seed=70) as world:
        hot, cold = world.agents["hot"], world.agents["cold"]
        # One disk is copied while its agent runs, the other one while it does not.
        copies = {"hot": await copied(world, hot)}
        await cold.program.stop()
        copies["cold"] = await copied(world, cold)
        await cold.program.start()
        await world.until_status("online", cold, within=30)
        callers = {agent.name: await world.caller(agent.name) for agent in (hot, cold)}
        async with running(copies["hot"]), running(copies["cold"]):
            await world.until_status("clone_suspected", hot, cold, within=60)
            before = {agent.name: len(agent.journal()) for agent in (hot, cold)}
            executed = len(await world.ledger())
            async with asyncio.TaskGroup() as calls:
                refused = [
                    calls.create_task(caller.create(f"{name} {number}", deadline=2))
                    for name, caller in callers.items()
                    for number in range(5)
                ]
            assert {one.result().status for one in refused} == {503}
            assert len(await world.ledger()) == executed
            for agent in (hot, cold):
                copy_home = tmp_path / f"copy-{agent.name}"
                journals = [agent, _at(agent, copy_home)]
                assert [len(one.journal()) for one in journals] == [before[agent.name]] * 2
                shown = await world.connector(agent)
                assert shown["status"] == "clone_suspected"
                assert "reset --new-identity" in shown["problems"][0]
        entries = (await world.api.get("/api/audit", params={"limit": 50})).json()["items"]
        suspected = {
            entry["target"] for entry in entries if entry["action"] == "connector.clone_suspected"
        }
        assert suspected == {hot.connector_id, cold.connector_id}


def _at(agent: Agent, home: Path) -> Agent:
    return Agent(name=agent.name, home=home, connector_id=agent.connector_id, program=agent.program)


async def copied(world: World, agent: Agent) -> Program:
    """Copy an agent's disk; return the program that runs on the copy."""
    home = world.folder / f"copy-{agent.name}"
    ignored = shutil.ignore_patterns("control.sock", "run.lock")
    await asyncio.to_thread(shutil.copytree, agent.home, home, ignore=ignored)
    return Program(
        "cloud_connect_agent",
        *("run", "--home", str(home)),
        log=world.folder / f"copy-{agent.name}.log",
        says_ready=False,
        environment=agent.program.environment,
    )


class CrashingDisk(Generation):
    """The counter of a PC that dies at a chosen step of storing it."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.crash_at = ""

    async def store(self, generation: int) -> None:
        if self.crash_at == "received":
            raise OSError(5, "the power failed")
        await super().store(generation)
        if self.crash_at == "persisted":
            raise OSError(5, "the power failed")


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.catalogue("T71")
async def test_a_hundred_crashes_around_a_new_generation_are_no_alarm(tmp_path: Path) -> None:
    dice = random.Random(chosen_seed())
    disk = CrashingDisk(tmp_path / "generation")
    key = SigningKey.generate()
    async with serve_relay(tmp_path) as relay:
        connector = await relay.enrol(key)
        more: dict[str, Any] = {"key": key, "connector_id": connector.id, "generation": disk}
        crashes = {"received": 0, "persisted": 0, "confirmed": 0}
        await disk.store(0)
        for _ in range(CRASHES):
            disk.crash_at = dice.choice(list(crashes))
            crashes[disk.crash_at] += 1
            if disk.crash_at == "confirmed":
                await crash_behind_the_confirmation(relay, connector.id, key, disk)
                continue
            async with run_agent(relay, tmp_path, **more) as agent:
                await agent.health.until("offline")
        disk.crash_at = ""
        async with run_agent(relay, tmp_path, **more) as agent:
            await agent.health.until("connected")
        stored = await relay.connector(connector.id)
        actions = [entry.action for entry in await relay.tenant.audit.newest(limit=200)]
    assert stored.flag is ConnectorFlag.ACTIVE
    assert "connector.clone_suspected" not in actions
    assert min(crashes.values()) > 10, crashes


async def crash_behind_the_confirmation(
    relay: Relay, connector_id: str, key: SigningKey, disk: Generation
) -> None:
    """The confirmation is on its way when the PC dies: it may arrive or not."""
    async with socket_to(relay) as socket:
        agent = agent_side(relay, connector_id, key, generation=await disk.read())
        await disk.store(await greet(socket, agent))
        await socket.send(agent.confirm())
        socket.transport.abort()


async def connect_once(relay: Relay, connector_id: str, key: SigningKey, disk: Generation) -> None:
    async with socket_to(relay) as socket:
        agent = agent_side(relay, connector_id, key, generation=await disk.read())
        await disk.store(await greet(socket, agent))
        await socket.send(agent.confirm())
        await relay.session_of(connector_id)
    await relay.gone(connector_id)


@pytest.mark.catalogue("T72")
async def test_restored_snapshot_is_refused_and_recovers_once(tmp_path: Path) -> None:
    key = SigningKey.generate()
    disk = Generation(tmp_path / "generation")
    await disk.store(0)
    async with serve_relay(tmp_path) as relay:
        connector = await relay.enrol(key)
        connectors = relay.tenant.connectors
        assert not await connectors.recover(connector.id, actor="test", at=1.0), (
            "nothing to recover"
        )
        await connect_once(relay, connector.id, key, disk)
        snapshot = await disk.read()
        for _ in range(3):
            await connect_once(relay, connector.id, key, disk)
        assert await disk.read() == snapshot + 3

        await disk.store(snapshot)
        code = await refused_with(relay, connector.id, key, generation=snapshot)
        assert code == CloseCode.CLONE_SUSPECTED
        assert await connectors.recover(connector.id, actor="test", at=1.0)
        await connect_once(relay, connector.id, key, disk)
        assert await disk.read() > snapshot + 4, "beyond what any copy was handed out"
        await connect_once(relay, connector.id, key, disk)

        code = await refused_with(relay, connector.id, key, generation=snapshot)
        assert code == CloseCode.CLONE_SUSPECTED, "the recovery is used up"
        code = await refused_with(relay, connector.id, key, generation=await disk.read())
        assert code == CloseCode.CLONE_SUSPECTED, "both are refused"
        actions = [entry.action for entry in await relay.tenant.audit.newest(limit=20)]
        assert actions.count("connector.clone_suspected") == 2
        assert actions.count("connector.recover") == 1
        assert actions.count("connector.recovered") == 1


async def test_of_two_copies_one_takes_the_recovery(tmp_path: Path) -> None:
    key = SigningKey.generate()
    async with serve_relay(tmp_path) as relay:
        connector = await relay.enrol(key)
        assert await refused_with(relay, connector.id, key, generation=7)
        assert await relay.tenant.connectors.recover(connector.id, actor="test", at=1.0)
        async with socket_to(relay) as first, socket_to(relay) as second:
            sides = [agent_side(relay, connector.id, key, instance=name) for name in ("a", "b")]
            for socket, side in zip((first, second), sides, strict=True):
                await greet(socket, side)
            await first.send(sides[0].confirm())
            await relay.session_of(connector.id)
            await second.send(sides[1].confirm())
            assert await closed_with(second) == CloseCode.SUPERSEDED
            assert relay.registry.get(connector.id) is not None
        stored = await relay.connector(connector.id)
        assert (stored.flag, stored.recovery) == (ConnectorFlag.ACTIVE, False)


async def test_recovery_that_broke_off_can_be_tried_again(tmp_path: Path) -> None:
    key = SigningKey.generate()
    async with serve_relay(tmp_path) as relay:
        connector = await relay.enrol(key)
        assert await refused_with(relay, connector.id, key, generation=7)
        await relay.tenant.connectors.recover(connector.id, actor="test", at=1.0)
        async with socket_to(relay) as socket:  # stored there, its confirmation is lost
            generation = await greet(socket, agent_side(relay, connector.id, key))
        async with socket_to(relay) as socket:
            side = agent_side(relay, connector.id, key, generation=generation)
            assert await greet(socket, side) > generation
            await socket.send(side.confirm())
            await relay.session_of(connector.id)
