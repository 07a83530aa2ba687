"""The world of real processes: it works, and its parties agree on a quiet run."""

from pathlib import Path

import pytest

from doubles.checker import check
from doubles.world import open_world

pytestmark = pytest.mark.timeout(120)


async def test_quiet_world_breaks_no_promise(tmp_path: Path) -> None:
    async with open_world(tmp_path, agents=("a", "b"), procore_proxies=True, seed=11) as world:
        caller = await world.caller("b")
        made = await caller.create("first")
        assert (made.status, made.outcome) == (201, "completed")
        again = await caller.create("first")
        assert again.replayed
        record = (await world.ledger(marker="first"))[0]["record_id"]
        assert (await caller.update(record, "renamed")).outcome == "completed"
        assert (await caller.delete(record)).status in {200, 204}
        assert (await caller.read()).status == 200
        agent = world.agents["b"]
        assert agent.tunnel is not None
        assert agent.procore is not None
        assert agent.procore.accepted
        assert (await agent.status())["connected"]
        history = await world.history()
        assert len(history.executions) == 3
        assert len(history.journal) == 3
        assert not check(history)

        await agent.program.crash()
        await world.until_status("offline", agent, within=10)
        await world.relay.crash()
        await world.relay.start()
        await agent.program.start()
        await world.until_status("online", agent, within=30)
        assert (await caller.create("second")).outcome == "completed"
        assert not check(await world.history())
