"""Live, Monthly Sandbox and Developer Sandbox on one PC, each with its own hosts and grant."""

import pytest

from agent.cli.conftest import Cli
from doubles.simulator_process import COMPANY, Simulator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

FLAGS = {
    "live": "live",
    "monthly_sandbox": "monthly-sandbox",
    "developer_sandbox": "developer-sandbox",
}


@pytest.fixture
def everywhere(cli: Cli, procore: Simulator) -> None:
    for name, flag in FLAGS.items():
        found = procore.ready["environments"][name]
        ended = cli(
            *("procore", "app", "--environment", flag, "--client-id", found["client_id"]),
            *("--secret-stdin", "--api-url", found["api_url"], "--login-url", found["login_url"]),
            stdin=found["client_secret"],
        )
        assert ended.status == 0, ended.errors


@pytest.mark.usefixtures("everywhere")
def test_each_environment_has_a_sign_in_of_its_own(cli: Cli) -> None:
    for flag in FLAGS.values():
        ended = cli("procore", "login", "--environment", flag)
        assert ended.status == 0, ended.errors
        tested = cli("test", "--environment", flag, "--company", str(COMPANY))
        assert tested.status == 0, tested.output
    assert cli("procore", "logout", "--environment", "monthly-sandbox").status == 0
    items = cli("procore", "list", "--json").document["items"]
    assert {one["environment"]: one["state"] for one in items} == {
        "live": "ready",
        "monthly_sandbox": "no_grant",
        "developer_sandbox": "ready",
    }


@pytest.mark.usefixtures("everywhere")
def test_hosts_that_do_not_match_are_told_by_the_test(cli: Cli, procore: Simulator) -> None:
    live = procore.ready["environments"]["live"]
    sandbox = procore.ready["environments"]["developer_sandbox"]
    assert cli("procore", "login", "--environment", "live").status == 0
    mixed = cli(
        *("procore", "app", "--environment", "live", "--client-id", live["client_id"]),
        *("--secret-stdin", "--api-url", sandbox["api_url"]),
        stdin=live["client_secret"],
    )
    assert mixed.status == 0
    tested = cli("test", "--environment", "live", "--company", str(COMPANY))
    assert tested.status == 1
    assert "may belong to another environment" in tested.output
