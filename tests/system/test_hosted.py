"""Data sources that do not use Cloud Connect: they run on the agent beside the relay."""

from pathlib import Path

import pytest

from doubles.program import Program, running, told
from doubles.world import ENVIRONMENT, Agent, open_world

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(180)]

NONE = (
    "This data source does not use Cloud Connect and the subscription has no hosted connector."
    " Switch on 'Use Kianda Cloud Connect' and choose a connector."
)


async def test_hosted_connector_runs_what_does_not_use_cloud_connect(tmp_path: Path) -> None:
    async with open_world(tmp_path, tunnel_proxies=False, seed=13) as world:
        pc = world.agent
        caller = await world.caller("a", useConnector=False, connectorId=pc.connector_id)
        told_none = (await world.api.post(f"{caller.base}/test")).json()
        assert (told_none["success"], told_none["message"]) == (False, NONE)
        assert told_none["steps"] == [
            {"step": 0, "name": "Connector", "status": "FAIL", "message": NONE}
        ]
        assert (await world.api.get(caller.base)).json()["status"] == "test failed"
        query = {"action": "select", "info": {"name": "projects"}}
        refused = (await world.api.post(f"{caller.base}/query", json=query)).json()
        assert (refused["success"], refused["message"]) == (False, NONE)
        assert (await caller.read()).code == "connector_offline"

        # What docs/relay.md has the operator do: the very same program, enrolled as hosted.
        home = tmp_path / "hosted"
        token = await told(
            "cloud_connect_relay", "token", "create", "--data-dir", str(world.data_dir), "--hosted"
        )
        assert token["hosted"] is True
        at_home = ("--home", str(home))
        enrolled = await told(
            "cloud_connect_agent",
            *("enrol", *at_home, "--relay", world.relay.ready["api_url"], "--name", "hosted"),
            *("--policy", "read-write"),
            stdin=token["token"],
        )
        app = world.simulator["environments"][ENVIRONMENT]
        named = ("--environment", ENVIRONMENT.replace("_", "-"))
        await told(
            "cloud_connect_agent",
            *("procore", "app", *at_home, *named, "--api-url", world.simulator["api_url"]),
            *("--login-url", world.simulator["login_url"]),
            *("--client-id", app["client_id"], "--secret-stdin"),
            stdin=app["client_secret"],
        )
        await told(
            "cloud_connect_agent",
            *("procore", "login", *at_home, *named, "--grant", "client-credentials"),
        )
        hosted = Agent(
            name="hosted",
            home=home,
            connector_id=enrolled["connector_id"],
            program=Program(
                "cloud_connect_agent",
                *("run", *at_home),
                log=tmp_path / "hosted.log",
                says_ready=False,
            ),
        )
        async with running(hosted.program):
            await world.until_status("online", hosted, within=60)
            assert (await world.connector(hosted))["hosted"] is True
            assert (await world.connector(pc))["hosted"] is False
            passed = (await world.api.post(f"{caller.base}/test")).json()
            assert (passed["success"], passed["message"]) == (True, "Connection test succeeded")
            rows = (await world.api.post(f"{caller.base}/query", json=query)).json()
            assert rows["success"]
            assert rows["items"]
            assert (await caller.create("on-hosted")).status == 201
            assert [len(agent.journal()) for agent in (hosted, pc)] == [1, 0]
            switched = await world.api.put(caller.base, json={"useConnector": True})
            assert switched.json()["connectorId"] == pc.connector_id
            assert (await caller.create("on-the-pc")).status == 201
            assert [len(agent.journal()) for agent in (hosted, pc)] == [1, 1]
        await world.until_status("offline", hosted, within=20)
        await world.api.put(caller.base, json={"useConnector": False})
        gone = await caller.send("GET", "/records/projects", effect="read", deadline=1.2)
        assert gone.code == "connector_offline"
