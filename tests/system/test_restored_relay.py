"""A relay comes back from its backup: its agents are let in again, and both audit logs go on."""

from pathlib import Path
from typing import Any

import pytest

from doubles.canaries import remember
from doubles.program import said, told
from doubles.world import Agent, World, open_world

PASSPHRASE = "correct horse battery staple"


async def verified(world: World, agent: Agent) -> tuple[bool, bool, dict[str, Any]]:
    """What both ends say of their logs, and the agent's whole verdict."""
    _, at_relay, _ = await said("cloud_connect_relay", "audit", "verify", *world.store)
    _, on_pc, _ = await said("cloud_connect_agent", "audit", "verify", "--home", str(agent.home))
    return at_relay["ok"], on_pc["ok"], on_pc


@pytest.mark.nightly
@pytest.mark.timeout(720)
async def test_restored_relay_gets_its_agents_back_and_both_logs_are_whole_once_accepted(
    tmp_path: Path,
) -> None:
    remember("passphrase", PASSPHRASE)
    passphrase, backup = tmp_path / "passphrase", tmp_path / "relay.backup"
    passphrase.write_text(PASSPHRASE)
    given = ("--passphrase-file", str(passphrase))
    async with open_world(tmp_path, tunnel_proxies=False, seed=66) as world:
        agent = world.agent
        caller = await world.caller()
        await caller.create("before")
        await told("cloud_connect_relay", "backup", "-o", str(backup), *given, *world.store)
        # What follows is in no backup: another generation, and records that the PC has seen signed.
        await agent.program.restart()
        await world.until_status("online", within=30)
        await caller.create("after")
        await world.relay.stop()  # which signs what there is
        await world.relay.start()
        await world.until_status("online", within=30)
        assert (await verified(world, agent))[:2] == (True, True)
        await world.relay.stop()

        await told("cloud_connect_relay", "restore", str(backup), *given, "--force", *world.store)
        recovered = await told("cloud_connect_relay", "recover", "--all", *world.store)
        assert recovered == {"connectors": 1}
        await world.relay.start()
        await world.until_status("online", within=60)
        actions = (await world.api.get("/api/audit")).json()["items"]
        named = {one["action"] for one in actions}
        assert {"connector.recover_all", "connector.recovered"} <= named
        assert "connector.clone_suspected" not in named

        at_relay, on_pc, _ = await verified(world, agent)
        assert not at_relay, "the PC holds a signature that this log does not go on from"
        assert on_pc, "the PC's own log has lost nothing"
        why = ("--reason", "the disk of the relay failed")
        accepted = await told("cloud_connect_agent", "audit", "accept", *why, *_at(agent))
        assert [one["log"][:4] for one in accepted["accepted"]] == ["sub_"]
        await told("cloud_connect_relay", "audit", "accept", *why, *world.store)
        at_relay, on_pc, verdict = await verified(world, agent)
        assert (at_relay, on_pc) == (True, True)
        assert [one["reason"] for one in verdict["accepted"]] == ["the disk of the relay failed"]
        assert not (await agent.status())["problems"]
        # Nothing is accepted in advance: the next loss is one again.
        status, _, errors = await said("cloud_connect_agent", "audit", "accept", *why, *_at(agent))
        assert (status, "nothing to accept" in errors) == (1, True)
        await caller.create("at the end")
        assert (await verified(world, agent))[:2] == (True, True)


def _at(agent: Agent) -> tuple[str, str]:
    return ("--home", str(agent.home))
