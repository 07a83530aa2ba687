import json
import sqlite3
from pathlib import Path

import pytest

from cloud_connect_relay.paths import RelayPaths
from cloud_connect_relay.upkeep.saving import save
from doubles.relay_commands import Commands, Told, served
from doubles.small_disk import fill, small_disk

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def secret(tmp_path: Path) -> str:
    file = tmp_path / "passphrase"
    file.write_text(PASSPHRASE + "\n")
    return str(file)


def elsewhere(relay: Commands, name: str = "elsewhere") -> Commands:
    return Commands(data_dir=relay.data_dir.with_name(name), capsys=relay.capsys)


def back_up(relay: Commands, file: Path, secret: str) -> Told:
    return relay("backup", "-o", str(file), "--passphrase-file", secret)


@pytest.mark.timeout(90)
def test_relay_that_serves_is_saved_and_is_the_same_elsewhere(
    initialised: Commands, secret: str, tmp_path: Path
) -> None:
    file = tmp_path / "relay.backup"
    with served(initialised.data_dir, "--port", "0", "--tunnel-port", "0"):
        initialised.json("key", "create", "--scope", "audit:read")
        made = initialised.json("backup", "-o", str(file), "--passphrase-file", secret)
        assert (made["store"], made["bytes"]) == (True, file.stat().st_size)
        later = initialised.json("key", "create", "--scope", "audit:read")
    assert PASSPHRASE.encode() not in file.read_bytes()
    assert (initialised.data_dir / "relay.key").read_bytes() not in file.read_bytes()
    new = elsewhere(initialised)
    told = new("restore", str(file), "--passphrase-file", secret)
    assert told.status == 0, told.err
    assert "recover --all" in told.err
    assert "valid again" not in told.out
    listed = [one["id"] for one in new.json("key", "list")["items"]]
    assert len(listed) == 2
    assert later["id"] not in listed, "it was made after the backup"
    assert new.json("audit", "verify")["ok"] is True
    for name in ("relay.key", "relay.pepper", "relay.sqlite3"):
        assert (new.data_dir / name).stat().st_mode & 0o077 == 0, name
    with served(new.data_dir, "--port", "0", "--tunnel-port", "0") as (_, ready):
        assert ready.startswith("ready ")


@pytest.mark.timeout(90)
def test_restore_refuses_a_running_relay_a_used_folder_and_a_wrong_passphrase(
    initialised: Commands, secret: str, tmp_path: Path
) -> None:
    file = tmp_path / "relay.backup"
    assert back_up(initialised, file, secret).status == 0
    wrong = tmp_path / "wrong"
    wrong.write_text("another horse battery staple")
    key = (initialised.data_dir / "relay.key").read_bytes()
    told = initialised("restore", str(file), "--passphrase-file", secret)
    assert (told.status, "--force" in told.err) == (1, True)
    told = initialised("restore", str(file), "--passphrase-file", str(wrong), "--force")
    assert (told.status, "passphrase is not the one" in told.err) == (1, True)
    with served(initialised.data_dir, "--port", "0", "--tunnel-port", "0"):
        told = initialised("restore", str(file), "--passphrase-file", secret, "--force")
        assert (told.status, "stop it first" in told.err) == (1, True)
    assert (initialised.data_dir / "relay.key").read_bytes() == key
    initialised.json("key", "create", "--scope", "audit:read")
    told = initialised("restore", str(file), "--passphrase-file", secret, "--force")
    assert told.status == 0, told.err
    assert len(initialised.json("key", "list")["items"]) == 1


def test_backup_is_whole_before_anything_is_replaced(
    initialised: Commands, secret: str, tmp_path: Path
) -> None:
    file = tmp_path / "relay.backup"
    assert back_up(initialised, file, secret).status == 0
    told = back_up(initialised, file, secret)
    assert (told.status, "is there already" in told.err) == (1, True)
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    initialised.json("key", "create", "--scope", "audit:read")
    told = initialised("restore", str(file), "--passphrase-file", secret, "--force")
    assert (told.status, "damaged or not whole" in told.err) == (1, True)
    assert len(initialised.json("key", "list")["items"]) == 2
    assert [one for one in initialised.data_dir.iterdir() if one.name.startswith(".")] == []


def test_backup_that_finds_no_room_costs_the_relay_that_is_there_nothing(
    initialised: Commands, secret: str, tmp_path: Path
) -> None:
    file = tmp_path / "relay.backup"
    assert back_up(initialised, file, secret).status == 0
    with small_disk(initialised.data_dir, size=4 * 1024 * 1024):
        fill(initialised.data_dir)
        key = (initialised.data_dir / "relay.key").read_bytes()
        told = initialised("restore", str(file), "--passphrase-file", secret, "--force")
        assert (told.status, "nothing has changed" in told.err) == (1, True), told.err
        assert (initialised.data_dir / "relay.key").read_bytes() == key
        assert (initialised.data_dir / "relay.sqlite3").exists()


def test_store_of_a_server_stays_out_and_is_named(
    relay: Commands, secret: str, tmp_path: Path
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'elsewhere.sqlite3'}"
    relay.json("init", "--database-url", url)
    (relay.data_dir / "relay.toml").write_text(f'database_url = "{url}"\n')
    (relay.data_dir / "relay.toml").chmod(0o600)
    file = tmp_path / "relay.backup"
    told = back_up(relay, file, secret)
    assert (told.status, "pg_dump" in told.err) == (0, True), told.err
    new = elsewhere(relay, "new")
    told = new("restore", str(file), "--passphrase-file", secret)
    assert (told.status, "pg_restore" in told.err) == (0, True), told.err
    assert not (new.data_dir / "relay.sqlite3").exists()
    assert new.json("audit", "verify")["ok"] is True


def test_backup_of_a_newer_schema_is_refused(initialised: Commands, tmp_path: Path) -> None:
    paths = RelayPaths(data_dir=initialised.data_dir)
    with sqlite3.connect(paths.database) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    file = tmp_path / "newer.backup"
    save(paths, relay_id="rel_x", database=paths.database, file=file, passphrase=PASSPHRASE)
    new = elsewhere(initialised)
    RelayPaths(data_dir=new.data_dir).prepare()
    secret = tmp_path / "passphrase"
    secret.write_text(PASSPHRASE)
    told = new("restore", str(file), "--passphrase-file", str(secret))
    assert (told.status, "newer version of the relay" in told.err) == (1, True)
    assert not (new.data_dir / "relay.key").exists()


def test_all_connectors_are_recovered_by_one_word_only(initialised: Commands) -> None:
    told = initialised("recover")
    assert (told.status, "--all" in told.err) == (2, True)
    assert "0 connectors may connect once" in initialised("recover", "--all").out
    assert initialised.json("recover", "--all") == {"connectors": 0}


def test_nothing_is_accepted_where_all_fits(initialised: Commands) -> None:
    told = initialised("audit", "accept", "--reason", "just in case")
    assert (told.status, "nothing to accept" in told.out) == (0, True)
    assert initialised("audit", "accept", "--reason", " ").status == 2
    assert json.loads(initialised("audit", "verify", "--json").out)["items"][0]["accepted"] == []
