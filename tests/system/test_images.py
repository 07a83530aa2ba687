"""The images of the Dockerfile: built, and run as they say, as an account without any right."""

import json
from pathlib import Path

import pytest

from doubles.canaries import remember_document
from doubles.image_builder import Container, build_images
from doubles.waiting import until_seen

ACCOUNT = "10001:10001"


def connected(agent: Container) -> bool:
    # 4 is "not connected", which is no failure of the command.
    check = agent.config["Healthcheck"]["Test"][1:]
    return bool(json.loads(agent.command("sh", "-c", '"$@" || true', "sh", *check))["connected"])


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_images_are_built_and_meet(tmp_path: Path) -> None:
    with (
        build_images(tmp_path) as images,
        images.container("relay") as relay,
        images.container("agent") as agent,
    ):
        for container in (relay, agent):
            assert container.config["User"] == ACCOUNT
            assert container.config["StopSignal"] == "SIGTERM"
            assert container.config["Volumes"] == {"/data": {}}
            assert container.command("id", "-u").strip() == ACCOUNT.split(":", maxsplit=1)[0]
            container.command("touch", "/opt/cloud-connect/x", status=1)
        agent.run("status", status=3)

        made = json.loads(relay.run("init", "--json"))
        remember_document("relay", made)
        with relay.started("serve", "--json", "--port", "0", "--tunnel-port", "0") as serving:
            url = serving.line()["api_url"]
            told = relay.run("token", "create", "--subscription", "Default", "--json")
            token = json.loads(told)
            remember_document("join token", token)
            agent.run("enrol", "--relay", url, "--policy", "read-only", stdin=token["token"])
            with agent.started("run") as running:
                until_seen(lambda: connected(agent), within=120)
                assert running.stop() == 0
            assert serving.stop() == 0
