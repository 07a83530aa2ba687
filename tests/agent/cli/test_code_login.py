"""Signing in as a person, with a browser that follows Procore's pages."""

import json
import re
import socket
from collections import Counter
from pathlib import Path

import pytest

from agent.cli.conftest import Cli, Relay
from cloud_connect_agent.config_file import change_settings
from cloud_connect_agent.paths import AgentPaths
from doubles.browser_login import CALLBACK, ENVIRONMENT, PORT, Logins, approve
from doubles.simulator_process import COMPANY, HIDDEN, Simulator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

HERE = ("--environment", ENVIRONMENT)
CODE = ("procore", "login", *HERE, "--grant", "authorization-code")


def test_the_browser_comes_back_to_this_pc(
    login_on: Logins, cli: Cli, person: str, procore: Simulator
) -> None:
    login = login_on("--json")
    page = approve(login.url())
    ended = login.end()
    assert page.status_code == 200
    assert person in page.text
    assert "You can close this window" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert ended.status == 0, ended.errors
    report = json.loads(ended.output)
    assert (report["grant"], report["login"]) == ("authorization-code", person)
    assert person in cli("procore", "list").output
    tested = cli("test", "--company", str(COMPANY), *HERE)
    assert tested.status == 0, tested.output
    assert f"sign-in of {person} (account default)" in tested.output
    before = Counter(procore.counters())["tokens_revoked"]
    assert cli("procore", "logout", *HERE).status == 0
    assert Counter(procore.counters())["tokens_revoked"] > before
    (grant,) = cli("procore", "list", "--json").document["items"]
    assert grant["state"] == "no_grant"


def test_a_rolled_secret_does_not_lead_to_the_end_of_a_persons_grant(
    login_on: Logins, cli: Cli, app: dict[str, str], person: str
) -> None:
    assert person
    rolled = ("procore", "app", *HERE, "--client-id", app["client_id"], "--secret-stdin")
    assert "--grant client-credentials" in cli(*rolled, stdin=app["client_secret"]).errors
    login = login_on()
    approve(login.url())
    assert login.end().status == 0
    assert "--grant authorization-code" in cli(*rolled, stdin=app["client_secret"]).errors


def test_a_browser_is_opened_where_there_is_a_screen(
    login_on: Logins, tmp_path: Path, person: str
) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.part && mv {opened}.part {opened}\n')
    browser.chmod(0o700)
    login = login_on("--json", browser=browser)
    url = login.url()
    approve(url)
    ended = login.end()
    assert ended.document["login"] == person
    assert opened.read_text() == url


def test_a_person_who_denies_is_told_on_both_sides(login_on: Logins, person: str) -> None:
    assert person
    login = login_on()
    page = approve(login.url(), button="deny")
    ended = login.end()
    assert "Not signed in" in page.text
    assert ended.status == 5
    assert "Deny" in ended.errors


def test_a_code_is_pasted_where_no_browser_can_come_back(
    login_on: Logins, cli: Cli, person: str
) -> None:
    login = login_on("--oob", "--json")
    page = approve(login.url())
    found = re.search(r"<code id='authorization_code'>(\w+)<", page.text)
    assert found
    ended = login.end(found[1] + "\n")
    assert ended.status == 0, ended.errors
    assert json.loads(ended.output)["login"] == person
    assert found[1] not in ended.errors
    again = login_on("--oob")
    again.url()
    ended = again.end(found[1] + "\n")  # a code works once
    assert ended.status == 5
    assert "did not accept the code" in ended.errors
    (grant,) = cli("procore", "list", "--json").document["items"]
    assert grant["state"] == "ready"  # what was there is as it was


def test_somebody_else_than_the_expected_user_is_refused(
    login_on: Logins, cli: Cli, home: Path, person: str, procore: Simulator
) -> None:
    settings = (home / "agent.toml").read_text()
    login = login_on("--user", "boss@example.com")
    before = Counter(procore.counters())["tokens_revoked"]
    page = approve(login.url())
    ended = login.end()
    assert ended.status == 5
    assert f"{person} signed in" in ended.errors
    assert len(ended.errors.splitlines()) == 1
    assert "is for boss@example.com" in page.text
    assert Counter(procore.counters())["tokens_revoked"] > before
    (grant,) = cli("procore", "list", "--json").document["items"]
    assert grant["state"] == "no_grant"
    login = login_on("--user", "", "--company", str(HIDDEN))
    page = approve(login.url())
    assert login.end().status == 5
    assert f"does not see company {HIDDEN}" in page.text
    assert (home / "agent.toml").read_text() == settings


def test_accounts_live_side_by_side(login_on: Logins, cli: Cli, person: str) -> None:
    assert cli("procore", "login", *HERE).status == 0
    login = login_on("--account", "site", "--company", str(COMPANY))
    approve(login.url())
    assert login.end().status == 0
    items = {one["account"]: one for one in cli("procore", "list", "--json").document["items"]}
    assert items["default"]["grant"] == "client-credentials"
    assert items["site"]["login"] == person
    tested = cli("test", "--company", str(COMPANY))
    assert "(account site)" in tested.output
    assert "account site" in cli("procore", "list").output
    assert cli("procore", "logout", *HERE, "--account", "site").status == 0
    tested = cli("test", "--company", str(COMPANY))
    assert tested.status == 5
    assert "--account site" in tested.output
    taken = cli("procore", "login", *HERE, "--company", str(COMPANY))
    assert taken.status == 78
    assert f"company {COMPANY} is bound to" in taken.errors


def test_a_damaged_grant_is_replaced_by_the_next_sign_in(cli: Cli, home: Path, person: str) -> None:
    assert person
    assert cli("procore", "login", *HERE).status == 0
    (token,) = (home / "state" / "vault").glob("procore-token@*.sealed")
    token.write_bytes(b"damaged")
    ended = cli("procore", "login", *HERE)
    assert ended.status == 0, ended.errors
    assert "damaged_grant_replaced" in ended.errors
    assert cli("procore", "list", "--json").document["items"][0]["state"] == "ready"


def test_a_taken_port_is_told_before_anybody_signs_in(login_on: Logins, person: str) -> None:
    assert person
    with socket.socket(socket.AF_INET6) as squatter:
        squatter.bind(("::1", PORT))
        squatter.listen()
        ended = login_on().end()
    assert ended.status == 78
    assert "is taken" in ended.errors
    assert "http" not in ended.errors.replace("redirect_uri", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("procore", "login", *HERE, "--oob"),
        ("procore", "login", *HERE, "--no-browser"),
        (*CODE, "--oob", "--redirect-uri", CALLBACK),
        (*CODE, "--redirect-uri", "https://example.com/"),
        (*CODE, "--account", "No Name"),
    ],
)
def test_what_does_not_go_together_is_refused(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert cli(*arguments).status == 2


def test_a_procore_that_is_not_told_keeps_no_grant_here(
    login_on: Logins, cli: Cli, home: Path, person: str
) -> None:
    assert person
    login = login_on()
    approve(login.url())
    assert login.end().status == 0
    change_settings(
        AgentPaths.of(home),
        {("procore", "environments", ENVIRONMENT, "login_url"): "http://127.0.0.1:9"},
    )
    ended = cli("procore", "logout", *HERE)
    assert ended.status == 1
    assert "forgotten here" in ended.errors
    assert "refused the connection" in ended.errors
    (grant,) = cli("procore", "list", "--json").document["items"]
    assert grant["state"] == "no_grant"


@pytest.mark.catalogue("T131")
@pytest.mark.usefixtures("person")
def test_leaving_revokes_the_tokens_of_every_account_and_leaves_no_file(
    login_on: Logins,
    cli: Cli,
    relay: Relay,
    connector_id: str,
    *,
    procore: Simulator,
    home: Path,
) -> None:
    for account in ("default", "site"):
        login = login_on("--account", account)
        approve(login.url())
        assert login.end().status == 0
    before = Counter(procore.counters())
    ended = cli("unenrol", "--yes")
    assert ended.status == 0, ended.errors
    assert not ended.errors
    assert Counter(procore.counters())["tokens_revoked"] - before["tokens_revoked"] == 2
    assert relay.status_of(connector_id) == "revoked"
    assert not home.exists()
