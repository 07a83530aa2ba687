"""Tests of ``cloud-connect enrol`` and ``unenrol`` against a real relay."""

import asyncio
import stat
from functools import partial
from pathlib import Path

import pytest

from agent.cli.conftest import Cli, Relay, run
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.run_lock import run_lock
from doubles.company_proxies import CompanyProxy, tinyproxy
from doubles.ended import Ended

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


def assert_sentence(ended: Ended) -> None:
    assert len(ended.errors.strip().splitlines()) == 1, ended.errors
    assert not ended.output


def test_enrolling_tells_who_the_pc_is_and_what_comes_next(
    cli: Cli, relay: Relay, home: Path
) -> None:
    token = relay.join_token()
    ended = cli("enrol", "--relay", relay.url + "/", "--name", "site-office", stdin=token + "\n")
    assert ended.status == 0, ended.errors
    for said in ("site-office", "con_", relay.url, "read-only"):
        assert said in ended.output
    assert "procore login" in ended.errors
    assert token not in ended.output + ended.errors
    assert all(token.encode() not in path.read_bytes() for path in home.rglob("*.toml"))
    for name in ("agent.toml", "policy.toml"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    status = cli("status", "--json")
    assert status.status == 4
    assert status.document["name"] == "site-office"
    assert status.document["state"] == "stopped"


def test_name_and_group_are_the_relays_to_list(cli: Cli, relay: Relay) -> None:
    ended = cli(
        *("enrol", "--relay", relay.url, "--group", "north", "--policy", "read-write", "--json"),
        stdin=relay.join_token(),
    )
    document = ended.document
    assert document["policy"]["class"] == "read-write"
    listed = relay.api.get(f"/api/connectors/{document['connector_id']}").json()
    assert listed["group"] == "north"
    assert listed["name"] == document["name"] != ""


def test_a_token_file_works_too(cli: Cli, relay: Relay, tmp_path: Path) -> None:
    file = tmp_path / "token.txt"
    file.write_text(relay.join_token() + "\n")
    ended = cli("enroll", "--relay", relay.url, "--token-file", str(file), "--json")
    assert ended.status == 0, ended.errors


def test_proxy_that_no_service_would_see_is_told_with_what_to_write(
    cli: Cli, relay: Relay, home: Path
) -> None:
    async def through_proxy() -> tuple[CompanyProxy, Ended]:
        async with tinyproxy() as proxy:
            named = proxy.url.replace("//", "//pc:canary-word@")
            enrol = partial(cli, "enrol", "--relay", relay.url, stdin=relay.join_token())
            variables = {"HTTP_PROXY": named, "CLOUD_CONNECT_PROXY__LOOPBACK": "true"}
            return proxy, await asyncio.to_thread(enrol, **variables)

    proxy, ended = asyncio.run(through_proxy())
    assert ended.status == 0, ended.errors
    assert f"{proxy.url} (HTTP_PROXY)" in ended.output
    told = next(line for line in ended.errors.splitlines() if "A service does not see" in line)
    assert f'url = "{proxy.url}" (with username and password_file) under [proxy]' in told
    assert str(home / "agent.toml") in told
    assert "canary-word" not in ended.output + ended.errors


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_token_file_of_windows_works_too(
    cli: Cli, relay: Relay, tmp_path: Path, encoding: str
) -> None:
    file = tmp_path / "token.txt"
    file.write_text(relay.join_token() + "\r\n", encoding=encoding)
    ended = cli("enrol", "--relay", relay.url, "--token-file", str(file), "--json")
    assert ended.status == 0, ended.errors


def test_a_token_file_that_is_no_text_is_wrong_usage(
    cli: Cli, relay: Relay, tmp_path: Path
) -> None:
    file = tmp_path / "token.txt"
    file.write_bytes(b"\xff\xfe")
    ended = cli("enrol", "--relay", relay.url, "--token-file", str(file))
    assert ended.status == 2


def test_an_administrators_password_stands_in_for_a_token(
    cli: Cli, relay: Relay, home: Path
) -> None:
    ended = cli(
        *("enrol", "--relay", relay.url, "--username", relay.username, "--json"),
        stdin=relay.password + "\n",
    )
    assert ended.status == 0, ended.errors
    for path in home.rglob("*"):
        assert not path.is_file() or relay.password.encode() not in path.read_bytes()


def test_a_wrong_password_is_refused(cli: Cli, relay: Relay) -> None:
    ended = cli("enrol", "--relay", relay.url, "--username", relay.username, stdin="wrong")
    assert ended.status == 1
    assert_sentence(ended)


def test_a_user_who_may_not_enrol_is_told_so(cli: Cli, relay: Relay, home: Path) -> None:
    body = {"username": "viewer", "role": "viewer", "password": "only-for-looking"}
    assert relay.api.post("/api/users", json=body).status_code == 201
    ended = cli("enrol", "--relay", relay.url, "--username", "viewer", stdin="only-for-looking")
    assert ended.status == 1
    assert_sentence(ended)
    assert "viewer may not enrol connectors" in ended.errors
    assert "only-for-looking" not in ended.errors
    assert not (home / "policy.toml").exists()


def test_user_and_token_together_are_wrong_usage(cli: Cli, relay: Relay, tmp_path: Path) -> None:
    (tmp_path / "t").write_text("x")
    more = ("--username", "a", "--token-file", str(tmp_path / "t"))
    assert cli("enrol", "--relay", relay.url, *more).status == 2


@pytest.mark.parametrize("token", ["", "   \n"])
def test_an_empty_token_is_wrong_usage(cli: Cli, relay: Relay, token: str) -> None:
    assert cli("enrol", "--relay", relay.url, stdin=token).status == 2


@pytest.mark.parametrize("token", ["nonsense", "ccj1.a.b.c.d", "x" * 5000])
def test_what_is_no_token_is_refused(cli: Cli, relay: Relay, token: str, home: Path) -> None:
    ended = cli("enrol", "--relay", relay.url, stdin=token)
    assert ended.status in {1, 2}
    assert not (home / "policy.toml").exists()


@pytest.mark.parametrize(
    ("url", "status"), [("http://127.0.0.1:9", 4), ("http://relay.example.com", 78), ("x", 78)]
)
def test_a_relay_that_is_not_there_is_named(cli: Cli, relay: Relay, url: str, status: int) -> None:
    ended = cli("enrol", "--relay", url, stdin=relay.join_token())
    assert ended.status == status
    assert_sentence(ended)


def test_enrolling_twice_needs_force(cli: Cli, relay: Relay, connector_id: str) -> None:
    again = cli("enrol", "--relay", relay.url, stdin=relay.join_token())
    assert again.status == 1
    assert connector_id in again.errors
    assert "--force" in again.errors
    forced = cli("enrol", "--relay", relay.url, "--force", "--json", stdin=relay.join_token())
    assert forced.status == 0, forced.errors
    assert forced.document["connector_id"] != connector_id


def test_a_policy_that_is_there_stays(cli: Cli, relay: Relay, home: Path) -> None:
    home.mkdir(mode=0o700)
    policy = home / "policy.toml"
    policy.write_text("# mine\n")
    policy.chmod(0o600)
    ended = cli(
        *("enrol", "--relay", relay.url, "--policy", "read-write", "--json"),
        stdin=relay.join_token(),
    )
    assert ended.document["policy_written"] is False
    assert "stays as it is" in ended.errors
    assert policy.read_text() == "# mine\n"
    forced = cli(
        *("enrol", "--relay", relay.url, "--policy", "read-write", "--force", "--json"),
        stdin=relay.join_token(),
    )
    assert forced.document["policy"]["class"] == "read-write"


def test_a_running_agent_is_not_enrolled_anew(
    cli: Cli, relay: Relay, connector_id: str, home: Path
) -> None:
    assert connector_id
    with run_lock(AgentPaths.of(home)):
        ended = cli("enrol", "--relay", relay.url, "--force", stdin=relay.join_token())
        assert ended.status == 1
        assert "already running" in ended.errors
        assert cli("unenrol", "--yes").status == 1


def test_a_lost_vault_key_is_overcome_by_force(
    cli: Cli, relay: Relay, connector_id: str, home: Path
) -> None:
    assert connector_id
    (home / "state" / "vault.key").unlink()
    listed = cli("procore", "list")
    assert listed.status == 0  # no app is stored, so nothing needs the key
    run_without = cli("run")
    assert run_without.status == 1
    assert "vault.key is missing" in run_without.errors
    forced = cli("enrol", "--relay", relay.url, "--force", "--json", stdin=relay.join_token())
    assert forced.status == 0, forced.errors


def test_an_authority_that_is_none_is_named(cli: Cli, relay: Relay, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    ended = cli(
        *("enrol", "--relay", relay.url, "--ca", str(tmp_path / "ca.pem")),
        stdin=relay.join_token(),
    )
    assert ended.status == 78
    assert_sentence(ended)


def test_leaving_removes_everything(
    cli: Cli, relay: Relay, connector_id: str, home: Path, app: dict[str, str]
) -> None:
    assert app
    assert cli("unenrol").status == 2  # nobody is there to say yes
    ended = cli("unenrol", "--yes")
    assert ended.status == 0, ended.errors
    assert f"{connector_id} is gone from this PC and revoked." in ended.output
    assert not ended.errors
    assert relay.status_of(connector_id) == "revoked"
    assert not home.exists()
    assert cli("unenrol", "--yes").status == 3


def test_leaving_keeps_what_is_not_ours(cli: Cli, connector_id: str, home: Path) -> None:
    assert connector_id
    (home / "notes.txt").write_text("mine")
    assert cli("unenrol", "--yes", "--json").document["removed"] is True
    assert [path.name for path in home.iterdir()] == ["notes.txt"]


def test_leaving_says_to_programs_what_was_done(cli: Cli, relay: Relay, connector_id: str) -> None:
    assert relay.api.delete(f"/api/connectors/{connector_id}").status_code == 204
    ended = cli("unenrol", "--yes", "--json")
    assert ended.status == 0, ended.errors
    assert ended.document == {"connector_id": connector_id, "revoked": True, "removed": True}


@pytest.mark.parametrize(
    "over",
    [
        {"CLOUD_CONNECT_RELAY__URL": "http://127.0.0.1:9"},
        {"CLOUD_CONNECT_RELAY__CONNECTOR_ID": "con_0000000000000000"},
        {"CLOUD_CONNECT_RELAY__RELAY_PUBLIC_KEY": "A" * 43},
    ],
)
def test_a_relay_that_cannot_be_told_does_not_keep_a_pc_from_leaving(
    cli: Cli, relay: Relay, connector_id: str, home: Path, over: dict[str, str]
) -> None:
    ended = cli("unenrol", "--yes", "--json", **over)
    assert ended.status == 0, ended.errors
    assert (ended.document["revoked"], ended.document["removed"]) == (False, True)
    assert len(ended.errors.strip().splitlines()) == 1, ended.errors
    assert "still lists con_" in ended.errors
    assert "revoke it there" in ended.errors
    assert relay.status_of(connector_id) == "offline"
    assert not home.exists()


def test_a_damaged_vault_does_not_keep_a_pc_from_leaving(
    cli: Cli, connector_id: str, app: dict[str, str], home: Path
) -> None:
    assert connector_id
    assert app
    for path in (home / "state" / "vault").glob("procore*"):
        path.write_bytes(b"damaged")
    ended = cli("unenrol", "--yes")
    assert ended.status == 0, ended.errors
    assert not home.exists()


@pytest.mark.parametrize("command", ["run", "pause", "resume", "unenrol"])
def test_commands_of_an_enrolled_pc_say_how_to_enrol(tmp_path: Path, command: str) -> None:
    ended = run(None, command, "--home", str(tmp_path / "new home"))
    assert ended.status == 3
    assert "enrol --relay" in ended.errors
