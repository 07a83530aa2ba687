"""Tests of ``cloud-connect procore`` and ``test`` against the simulator."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.cli.conftest import Cli
from doubles.browser_login import ENVIRONMENT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

HERE = ("--environment", ENVIRONMENT)
LOGIN = ("procore", "login", *HERE, "--grant", "client-credentials")


@pytest.fixture
def signed_in(cli: Cli, app: dict[str, str]) -> dict[str, str]:
    ended = cli(*LOGIN)
    assert ended.status == 0, ended.errors
    return app


def company(simulator: dict[str, Any], *, connected: bool) -> str:
    return next(
        str(item["id"]) for item in simulator["companies"] if item["connected"] is connected
    )


def test_an_app_is_stored_and_its_addresses_are_written(
    cli: Cli, app: dict[str, str], home: Path
) -> None:
    text = (home / "agent.toml").read_text()
    assert f"[procore.environments.{ENVIRONMENT}]" in text
    assert f'api_url = "{app["api_url"]}"' in text
    secret = app["client_secret"].encode()
    for path in home.rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes()
    (grant,) = cli("procore", "list", "--json").document["items"]
    assert grant["client_id"] == app["client_id"]
    assert grant["state"] == "no_grant"
    assert "not signed in" in cli("procore", "list").output


def test_addresses_can_be_taken_back(cli: Cli, app: dict[str, str], home: Path) -> None:
    ended = cli(
        *("procore", "app", *HERE, "--client-id", app["client_id"], "--secret-stdin", "--json"),
        *("--api-url", "", "--login-url", ""),
        stdin=app["client_secret"],
    )
    assert ended.document == {
        "environment": "developer_sandbox",
        "account": "default",
        "client_id": app["client_id"],
    }
    assert "api_url" not in (home / "agent.toml").read_text()


@pytest.mark.parametrize(
    ("arguments", "stdin", "status"),
    [
        (("--client-id", "x"), "secret", 2),
        (("--client-id", "x", "--secret-stdin"), "", 2),
        (("--client-id", " ", "--secret-stdin"), "secret", 2),
        (("--client-id", "x", "--secret-stdin"), "s" * 3000, 2),
        (("--client-id", "x", "--secret-stdin", "--api-url", "http://10.0.0.1"), "s", 78),
        (("--client-id", "x", "--secret-stdin", "--login-url", "nonsense"), "s", 78),
    ],
)
def test_what_cannot_be_stored_is_refused(
    cli: Cli, arguments: tuple[str, ...], stdin: str, status: int
) -> None:
    ended = cli("procore", "app", *HERE, *arguments, stdin=stdin)
    assert ended.status == status
    assert "secret" not in ended.errors.replace("--secret-stdin", "").replace("client secret", "")


def test_signing_in_and_out(cli: Cli, app: dict[str, str]) -> None:
    ended = cli(*LOGIN, "--json")
    assert datetime.fromisoformat(ended.document["expires_at"]) > datetime.now(UTC)
    assert ended.status == 0, ended.errors
    assert ended.document["state"] == "ready"
    assert "signed in" in cli("procore", "list").output
    assert cli("procore", "logout", *HERE, "--json").document["state"] == "no_grant"
    assert "Signed out" in cli("procore", "logout", *HERE).output
    assert app["client_id"] in cli("procore", "list").output


def test_a_wrong_secret_needs_a_person(cli: Cli, app: dict[str, str]) -> None:
    stored = cli(
        *("procore", "app", *HERE, "--client-id", app["client_id"], "--secret-stdin"),
        stdin="wrong-secret-canary",
    )
    assert stored.status == 0
    ended = cli(*LOGIN)
    assert ended.status == 5
    assert len(ended.errors.splitlines()) == 1
    assert "canary" not in ended.errors


def test_signing_in_without_an_app_says_what_to_do(cli: Cli) -> None:
    ended = cli(*LOGIN)
    assert ended.status == 5
    assert "procore app" in ended.errors


def test_a_login_host_that_is_gone_is_a_failure(cli: Cli, app: dict[str, str]) -> None:
    stored = cli(
        *("procore", "app", *HERE, "--client-id", app["client_id"], "--secret-stdin"),
        *("--login-url", "http://127.0.0.1:9"),
        stdin="x",
    )
    assert stored.status == 0
    ended = cli(*LOGIN)
    assert ended.status == 1
    assert len(ended.errors.splitlines()) == 1


def test_without_an_app_there_is_nothing_to_list(cli: Cli) -> None:
    ended = cli("procore", "list")
    assert ended.status == 0
    assert "procore app" in ended.errors
    assert cli("procore", "list", "--json").document == {"items": [], "vault": None}


def test_the_connection_test_shows_every_step(
    cli: Cli, signed_in: dict[str, str], simulator: dict[str, Any]
) -> None:
    assert signed_in
    ended = cli("test", "--company", company(simulator, connected=True))
    assert ended.status == 0, ended.output
    assert ended.output.count("✓") >= 5
    assert "Connection test succeeded" in ended.output


def test_the_connection_test_as_json(
    cli: Cli, signed_in: dict[str, str], simulator: dict[str, Any]
) -> None:
    assert signed_in
    ended = cli("test", "--company", company(simulator, connected=True), "--json")
    assert json.loads(ended.output)["success"] is True


def test_an_app_that_is_not_connected_fails_with_procores_words(
    cli: Cli, signed_in: dict[str, str], simulator: dict[str, Any]
) -> None:
    assert signed_in
    ended = cli("test", *HERE, "--company", company(simulator, connected=False))
    assert ended.status == 1
    assert "✗" in ended.output
    assert "App is not connected" in ended.output


def test_a_test_before_signing_in_needs_a_person(cli: Cli, app: dict[str, str]) -> None:
    assert app
    ended = cli("test", "--company", "1")
    assert ended.status == 5
    assert "procore login" in ended.output


def test_a_test_needs_a_company_that_somebody_names(cli: Cli, home: Path) -> None:
    ended = cli("test")
    assert ended.status == 2
    assert "--company" in ended.errors
    home.mkdir(mode=0o700)
    policy = home / "policy.toml"
    policy.write_text(
        '[[rules]]\nid = "one"\neffect = "deny"\ncompanies = [7]\n'
        '[[rules]]\nid = "two"\neffect = "allow"\ncompanies = [8]\nverbs = ["read"]\n'
    )
    policy.chmod(0o600)
    ended = cli("test", "--json")
    assert ended.status == 6  # company 8 is known from the policy, which does not allow the test
    assert "company 8" in ended.errors


def test_a_test_asks_which_environment_where_there_are_several(
    cli: Cli, app: dict[str, str]
) -> None:
    assert app
    stored = cli(
        *("procore", "app", "--environment", "live", "--client-id", "x", "--secret-stdin"),
        stdin="x",
    )
    assert stored.status == 0
    ended = cli("test", "--company", "1")
    assert ended.status == 2
    assert "--environment" in ended.errors


def test_a_damaged_vault_is_a_sentence(cli: Cli, app: dict[str, str], home: Path) -> None:
    assert app
    for path in (home / "state" / "vault").glob("*.sealed"):
        path.write_bytes(b"damaged")
    ended = cli("procore", "list")
    assert ended.status == 1
    assert "damaged" in ended.errors
    status = cli("status", "--json")
    assert "damaged" in status.document["problems"][0]
