import shlex
import stat
from pathlib import Path

import pytest

from cloud_connect_relay.credentials import Credential, CredentialKind
from doubles.relay_commands import Commands


def test_init_prints_what_a_relay_starts_with_once(relay: Commands) -> None:
    made = relay.json("init", "--subscription", "Acme Ltd", "--username", "ann")
    assert made["subscription"] == {"id": made["subscription_id"], "name": "Acme Ltd"}
    assert made["subscription_id"].startswith("sub_")
    assert made["administrator"]["username"] == "ann"
    assert len(made["administrator"]["password"]) == 24
    assert made["relay_id"].startswith("rel_")
    assert made["data_dir"] == str(relay.data_dir)
    key = Credential.parse(made["api_key"])
    assert key is not None
    assert key.kind is CredentialKind.API_KEY


def test_files_are_for_this_account_alone(relay: Commands) -> None:
    relay.json("init")
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (relay.data_dir, *relay.data_dir.iterdir())
    }
    assert modes.pop("data") == 0o700
    assert {"relay.key", "relay.pepper", "relay.sqlite3"} <= modes.keys()
    assert set(modes.values()) == {0o600}


def test_second_init_refuses_and_changes_nothing(relay: Commands) -> None:
    first = relay.json("init")
    told = relay("init")
    assert told.status == 1
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "initialised already" in told.err
    assert [item["id"] for item in relay.json("subscription", "list")["items"]] == [
        first["subscription_id"]
    ]


def test_secrets_stand_alone_on_their_lines_for_people(relay: Commands) -> None:
    lines = relay("init").out.splitlines()
    keys = [line for line in lines if line.startswith("cck_")]
    assert len(keys) == 1
    assert Credential.parse(keys[0]) is not None
    assert lines[lines.index("Password") + 1].count("-") == 4
    assert lines[-1] == f"Next: cloud-connect-relay serve --data-dir {relay.data_dir}"


def test_the_next_command_can_be_pasted_whatever_the_folder_is_called(
    relay: Commands, tmp_path: Path
) -> None:
    folder = tmp_path / "büro 1; rm"
    last = relay("init", "--data-dir", str(folder)).out.splitlines()[-1]
    assert shlex.split(last)[-1] == str(folder)


def test_no_secret_is_stored_as_it_is(relay: Commands) -> None:
    made = relay.json("init")
    secret = made["api_key"].rpartition("_")[2]
    for path in relay.data_dir.iterdir():
        content = path.read_bytes()
        assert secret.encode() not in content, path
        assert made["administrator"]["password"].encode() not in content, path


def test_init_that_broke_off_can_be_repeated(relay: Commands) -> None:
    relay.data_dir.mkdir(mode=0o700)
    assert relay("init", "--database-url", "sqlite+aiosqlite:////nowhere/x.sqlite3").status == 78
    assert (relay.data_dir / "relay.key").exists()
    relay.json("init")


def test_store_can_be_elsewhere(relay: Commands, tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'other.sqlite3'}"
    relay.json("init", "--database-url", url)
    assert (tmp_path / "other.sqlite3").exists()
    assert not (relay.data_dir / "relay.sqlite3").exists()
    assert relay("key", "list").status == 78


def test_data_folder_that_cannot_be_made_is_bad_configuration(
    relay: Commands, tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("a file")
    told = relay("init")
    assert told.status in {2, 78}
    assert "data" in told.err


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101])
def test_names_without_sense_are_a_usage_error(relay: Commands, name: str) -> None:
    told = relay("init", "--subscription", name)
    assert told.status == 2
    assert "1 to 100 characters" in told.err
