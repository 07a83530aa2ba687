import json
import sqlite3

from doubles.relay_commands import Commands


def test_records_of_commands_are_listed_exported_and_verified(initialised: Commands) -> None:
    initialised.json("key", "create", "--scope", "audit:read")
    listed = initialised.json("audit", "list", "--action", "key")["items"]
    assert [one["action"] for one in listed][:1] == ["key.create"]
    assert listed[0]["actor"] == "command-line"
    assert "key.create" in initialised("audit", "list", "--since", "1h").out
    assert "no such record" in initialised("audit", "list", "--until", "1h").out
    file = initialised.data_dir / "export.ndjson"
    assert initialised("audit", "export", "-o", str(file)).status == 0
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert [one["seq"] for one in lines] == list(range(1, len(lines) + 1))
    told = initialised("audit", "export", "-o", str(file / "below"))
    assert (told.status, "cannot be written: Not a directory" in told.err) == (1, True)
    told = initialised("audit", "verify")
    assert (told.status, "whole" in told.out) == (0, True)
    assert initialised.json("audit", "verify")["ok"] is True
    assert initialised("audit", "checkpoints").out == ""


def test_bad_log_and_bad_file_are_told(initialised: Commands) -> None:
    file = initialised.data_dir / "held.ndjson"
    file.write_text("rubbish\n")
    told = initialised("audit", "verify", "--against", str(file))
    assert (told.status, "no checkpoint" in told.err) == (1, True)
    with sqlite3.connect(initialised.data_dir / "relay.sqlite3") as database:
        database.execute("UPDATE audit SET actor = 'nobody' WHERE seq = 2")
    database.close()
    told = initialised("audit", "verify")
    assert told.status == 1
    assert "record 2 is the first bad one" in told.out
