import io
import os
import socket
import sqlite3
import subprocess
import sys
import time
from datetime import datetime

import pytest

from cloud_connect.join_token import JoinToken
from doubles.relay_commands import Commands


def test_everything_before_init_names_the_command(relay: Commands) -> None:
    for words in (
        ("serve",),
        ("subscription", "list"),
        ("user", "list"),
        ("key", "create", "--scope", "all"),
        ("token", "create"),
    ):
        told = relay(*words)
        assert told.status == 78, words
        assert f"cloud-connect-relay init --data-dir {relay.data_dir}" in told.err
        assert told.out == ""


def test_data_folder_may_be_named_after_the_command_or_in_the_environment(
    initialised: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Commands(data_dir=initialised.data_dir / "unused", capsys=initialised.capsys)
    at = str(initialised.data_dir)
    assert other("key", "list", "--data-dir", at).status == 0
    assert other("key", "--data-dir", at, "list").status == 0
    monkeypatch.setenv("CLOUD_CONNECT_RELAY_DATA_DIR", at)
    from cloud_connect_relay.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["key", "list"])
    assert not ended.value.code


def test_subscription_comes_with_its_first_key(initialised: Commands) -> None:
    made = initialised.json("subscription", "create", "Acme")
    assert set(made) == {"id", "name", "api_key", "quota", "keyless_writes"}
    keys = initialised.json("key", "list", "--subscription", "Acme")["items"]
    assert [key["scopes"] for key in keys] == [["all"]]
    told = initialised("subscription", "create", "Acme")
    assert told.status == 1
    assert "already" in told.err


def test_quota_of_a_subscription_is_set_changed_and_lifted(initialised: Commands) -> None:
    made = initialised.json(
        "subscription", "create", "Acme", "--quota-per-second", "50", "--quota-running", "200"
    )
    assert made["quota"] == {"per_second": 50, "running": 200}
    changed = initialised.json(
        "subscription", "update", "Acme", "--quota-per-second", "none", "--quota-bytes-per-day",
        "10GiB",
    )  # fmt: skip
    assert changed["quota"] == {"running": 200, "bytes_per_day": 10 * 2**30}
    listed = {one["name"]: one for one in initialised.json("subscription", "list")["items"]}
    assert listed["Acme"]["quota"] == changed["quota"]
    assert listed["Default"]["quota"] == {}
    assert "running 200, bytes per day 10737418240" in initialised("subscription", "list").out
    assert "running 7" in initialised("subscription", "update", "Acme", "--quota-running", "7").out


def test_subscription_may_let_writes_do_without_a_key(initialised: Commands) -> None:
    def listed() -> dict[str, bool]:
        items = initialised.json("subscription", "list")["items"]
        return {one["name"]: one["keyless_writes"] for one in items}

    made = initialised.json("subscription", "create", "Acme", "--keyless-writes")
    assert made["keyless_writes"] is True
    assert listed() == {"Acme": True, "Default": False}
    changed = initialised.json("subscription", "update", "Acme", "--no-keyless-writes")
    assert (changed["keyless_writes"], changed["quota"]) == (False, {})
    told = initialised("subscription", "update", "Default", "--keyless-writes").out
    assert "allowed" in told
    assert listed() == {"Acme": False, "Default": True}


def test_quota_of_a_key_is_set_changed_and_lifted(initialised: Commands) -> None:
    made = initialised.json("key", "create", "--scope", "all", "--quota-running", "5")
    assert made["quota"] == {"running": 5}
    changed = initialised.json("key", "update", made["id"], "--quota-bytes-per-minute", "1MiB")
    assert changed["quota"] == {"running": 5, "bytes_per_minute": 2**20}
    assert initialised("key", "update", made["id"], "--quota-running", "none").status == 0
    quotas = {one["id"]: one["quota"] for one in initialised.json("key", "list")["items"]}
    assert quotas[made["id"]] == {"bytes_per_minute": 2**20}


def test_burst_without_a_rate_is_refused_as_it_would_bound_nothing(initialised: Commands) -> None:
    alone = initialised("key", "create", "--scope", "all", "--quota-burst", "5")
    assert alone.status != 0
    assert "--quota-per-second" in alone.err
    both = ("--quota-per-second", "2", "--quota-burst", "5")
    assert initialised("subscription", "update", "Default", *both).status == 0
    left = initialised("subscription", "update", "Default", "--quota-per-second", "none")
    assert left.status != 0
    assert "--quota-burst none" in left.err
    (kept,) = initialised.json("subscription", "list")["items"]
    assert kept["quota"] == {"per_second": 2, "burst": 5}


def test_wrong_quota_is_a_usage_error(initialised: Commands) -> None:
    assert initialised("subscription", "update", "Default").status == 2
    assert initialised("key", "update", "key_1").status == 2
    for wrong in ("0", "-1", "many", "1.5", "10MB"):
        told = initialised("key", "create", "--scope", "all", "--quota-running", wrong)
        assert told.status == 2
        assert "10MiB" in told.err
    assert initialised("key", "update", "key_none", "--quota-running", "1").status == 1


def test_subscription_is_chosen_by_id_or_name_and_must_be_when_there_are_several(
    initialised: Commands,
) -> None:
    acme = initialised.json("subscription", "create", "Acme")
    for words in (("key", "create", "--scope", "all"), ("token", "create")):
        told = initialised(*words)
        assert told.status == 1
        assert "Acme, Default" in told.err
    by_id = initialised.json("token", "create", "-s", acme["id"])
    by_name = initialised.json("token", "create", "-s", "Acme")
    listed = initialised.json("token", "list", "-s", acme["id"])["items"]
    assert {item["id"] for item in listed} == {by_id["id"], by_name["id"]}
    unknown = initialised("token", "list", "-s", "Nobody")
    assert unknown.status == 1
    assert "'Nobody'" in unknown.err


def test_revoked_subscription_is_listed_and_chosen_no_more(initialised: Commands) -> None:
    acme = initialised.json("subscription", "create", "Acme")
    assert initialised.json("subscription", "revoke", "Acme") == {
        "id": acme["id"],
        "revoked": True,
    }
    states = {
        item["name"]: item["status"] for item in initialised.json("subscription", "list")["items"]
    }
    assert states == {"Default": "live", "Acme": "revoked"}
    assert initialised("subscription", "revoke", "Acme").status == 1
    initialised.json("key", "create", "--scope", "all")


def test_key_has_the_scopes_and_the_end_it_was_given(initialised: Commands) -> None:
    made = initialised.json(
        *("key", "create", "--scope", "calls:read", "--scope", "calls:test"),
        *("--expires-in", "2h", "--name", "reader"),
    )
    assert made["key"] == made["api_key"]
    assert made["scopes"] == ["calls:read", "calls:test"]
    ends = datetime.fromisoformat(made["expires_at"]).timestamp()
    assert ends - time.time() == pytest.approx(7200, abs=20)
    listed = {item["id"]: item for item in initialised.json("key", "list")["items"]}
    assert listed[made["id"]]["name"] == "reader"
    assert listed[made["id"]]["status"] == "live"


def test_revoked_and_ended_keys_are_listed_as_such(initialised: Commands) -> None:
    revoked = initialised.json("key", "create", "--scope", "all")["id"]
    ended = initialised.json("key", "create", "--scope", "all", "--expires-in", "1s")["id"]
    assert initialised.json("key", "revoke", revoked) == {"id": revoked, "revoked": True}
    with sqlite3.connect(initialised.data_dir / "relay.sqlite3") as database:
        database.execute("UPDATE api_keys SET expires_at = 1 WHERE id = ?", (ended,))
    database.close()
    states = {item["id"]: item["status"] for item in initialised.json("key", "list")["items"]}
    assert (states[revoked], states[ended]) == ("revoked", "expired")
    again = initialised("key", "revoke", revoked)
    assert again.status == 1
    assert "key list" in again.err


@pytest.mark.parametrize(
    "words",
    [
        ("key", "create"),
        ("key", "create", "--scope", "everything"),
        ("key", "create", "--scope", "all", "--expires-in", "soon"),
        ("token", "create", "--expires-in", "2d"),
        ("token", "create", "--policy", "anything"),
        ("user", "create"),
        ("nonsense",),
        ("key", "nonsense"),
        ("serve", "--port", "70000"),
    ],
)
def test_wrong_usage_exits_2_with_a_reason(initialised: Commands, words: tuple[str, ...]) -> None:
    told = initialised(*words)
    assert told.status == 2
    assert told.out == ""
    assert "Error: " in told.err


def test_join_token_enrols_at_this_relay(initialised: Commands) -> None:
    made = initialised.json(
        *("token", "create", "--group", "site", "--expires-in", "15m"),
        *("--policy", "read-only", "--hosted"),
    )
    token = JoinToken.parse(made["token"])
    assert token.token_id == made["id"]
    assert (made["group"], made["policy_class"], made["hosted"]) == ("site", "read-only", True)
    (item,) = initialised.json("token", "list")["items"]
    assert (item["id"], item["status"], item["subscription"]) == (made["id"], "open", "Default")
    assert initialised.json("token", "revoke", made["id"])["revoked"]
    assert initialised.json("token", "list")["items"][0]["status"] == "revoked"
    assert initialised("token", "revoke", "jt_nobody").status == 1


def test_person_gets_a_password_made_or_brought(
    initialised: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = initialised.json("user", "create", "--username", "bo", "--role", "viewer")
    assert made["role"] == "viewer"
    assert len(made["password"]) == 24
    monkeypatch.setattr("sys.stdin", io.StringIO("a password of mine\n"))
    brought = initialised.json("user", "create", "--username", "cy", "--password-stdin")
    assert brought["password"] is None
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    assert initialised("user", "create", "--username", "di", "--password-stdin").status == 2
    taken = initialised("user", "create", "--username", "BO")
    assert taken.status == 1
    assert "taken" in taken.err


def test_person_is_revoked_by_name_or_id(initialised: Commands) -> None:
    made = initialised.json("user", "create", "--username", "bo")
    assert initialised.json("user", "revoke", "bo") == {"id": made["id"], "revoked": True}
    states = {
        item["username"]: item["status"] for item in initialised.json("user", "list")["items"]
    }
    assert states == {"admin": "live", "bo": "revoked"}
    assert initialised("user", "revoke", made["id"]).status == 1


def test_answers_for_people_are_short_and_aligned(initialised: Commands) -> None:
    told = [
        initialised("subscription", "create", "Acme"),
        initialised("user", "create", "--username", "bo", "-s", "Acme"),
        initialised("key", "create", "--scope", "all", "-s", "Acme"),
        initialised("token", "create", "--group", "g", "-s", "Acme"),
        initialised("token", "list"),
        initialised("token", "list", "-s", "Default"),
        initialised("key", "list"),
        initialised("user", "list"),
        initialised("subscription", "list"),
    ]
    assert {one.status for one in told} == {0}
    assert {one.err for one in told} == {""}
    assert told[5].out == "There is no join token.\n"
    head, *rows = told[6].out.splitlines()
    at = head.index("NAME")
    assert {row[at - 2 : at] for row in rows} == {"  "}
    for kind in ("key", "token", "user"):
        items = initialised.json(kind, "list", "-s", "Acme")["items"]
        assert "revoked" in initialised(kind, "revoke", items[-1]["id"]).out or kind == "user"
    assert "revoked" in initialised("subscription", "revoke", "Acme").out


def test_database_that_is_none_is_a_sentence(initialised: Commands) -> None:
    path = initialised.data_dir / "relay.sqlite3"
    for name in ("relay.sqlite3-wal", "relay.sqlite3-shm"):
        (initialised.data_dir / name).unlink(missing_ok=True)
    path.write_bytes(b"this is no database" * 1000)
    told = initialised("key", "list")
    assert told.status == 78
    assert "relay.sqlite3 cannot be used (file is not a database)" in told.err
    assert told.err.count("\n") == 1


def test_unreachable_database_is_a_sentence(initialised: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as left:
        port = left.getsockname()[1]
    url = f"postgresql+asyncpg://nobody@127.0.0.1:{port}/x"
    (initialised.data_dir / "relay.toml").write_text(f'database_url = "{url}"\n')
    told = initialised("key", "list")
    assert told.status == 1
    assert "cannot be reached" in told.err
    assert "database_url" in told.err


def test_database_of_another_relay_is_refused(initialised: Commands) -> None:
    (initialised.data_dir / "relay.key").chmod(0o600)
    (initialised.data_dir / "relay.key").write_bytes(bytes(range(32)))
    told = initialised("key", "list")
    assert told.status == 78
    assert "another key" in told.err


def test_store_without_a_relay_is_not_initialised(initialised: Commands) -> None:
    with sqlite3.connect(initialised.data_dir / "relay.sqlite3") as database:
        database.execute("DELETE FROM relay")
    database.close()
    told = initialised("key", "list")
    assert told.status == 78
    assert "init" in told.err


def test_fault_is_one_sentence_and_a_traceback_only_when_asked_for(
    initialised: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        raise ExceptionGroup("both", [ZeroDivisionError()])

    monkeypatch.setattr("cloud_connect_relay.cli.store.upgrade", fail)
    told = initialised("key", "list")
    assert told.status == 1
    assert "ZeroDivisionError" in told.err
    assert "--debug" in told.err
    assert "Traceback" not in told.err
    detailed = initialised("key", "list", "--debug")
    assert detailed.status == 1
    assert "Traceback" in detailed.err


def test_error_inside_a_group_is_shown_as_itself(
    initialised: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cloud_connect.errors import ConfigurationError

    async def fail(_: object) -> None:
        raise ExceptionGroup("both", [ConfigurationError("Do this.")])

    monkeypatch.setattr("cloud_connect_relay.cli.store.upgrade", fail)
    told = initialised("key", "list")
    assert (told.status, told.err) == (78, "Error: Do this.\n")


def test_interruption_is_no_fault(initialised: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cloud_connect_relay.cli.store.upgrade", interrupt)
    told = initialised("key", "list")
    assert (told.status, told.err.strip()) == (1, "Stopped.")


def test_reader_who_goes_away_is_no_fault(initialised: Commands) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    told = subprocess.run(
        [sys.executable, "-m", "cloud_connect_relay", "key", "list", "--json"],
        env={**os.environ, "CLOUD_CONNECT_RELAY_DATA_DIR": str(initialised.data_dir)},
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert told.returncode == 1
    assert told.stderr == b""
