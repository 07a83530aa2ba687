"""``cloud-connect audit``, and what commands leave in the log without an agent that runs."""

import json
from pathlib import Path

import pytest

from agent.cli.conftest import Cli
from cloud_connect_agent.audit import AuditFolder, AuditWriter
from cloud_connect_agent.cli.recording import record_event
from cloud_connect_agent.paths import AgentPaths

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


@pytest.fixture
def folder(home: Path) -> AuditFolder:
    paths = AgentPaths.of(home)
    paths.create()
    record_event(paths, "agent.enrolled", relay="https://relay.example.com")
    record_event(paths, "procore.signed_in", account="default", login=None)
    return AuditFolder(paths.audit_dir)


def test_events_without_an_agent_are_listed_exported_and_verified(
    cli: Cli, home: Path, folder: AuditFolder
) -> None:
    listed = cli("audit", "list", "--json").document["items"]
    assert [one["action"] for one in listed] == ["agent.enrolled", "procore.signed_in"]
    assert listed[1]["prev"] == listed[0]["hash"]
    assert listed[1]["detail"] == {"account": "default"}
    last = cli("audit", "list", "--limit", "1", "--json").document["items"]
    assert last == listed[1:]
    only = cli("audit", "list", "--action", "agent.enrolled", "--since", "1h")
    assert "relay=https://relay.example.com" in only.output
    assert "procore" not in only.output
    file = home / "export.ndjson"
    assert cli("audit", "export", "-o", str(file)).errors == "2 records.\n"
    assert file.read_bytes().splitlines() == list(folder.lines())
    assert cli("audit", "export", "--until", "1h").output == ""
    told = cli("audit", "verify")
    assert (told.status, "whole" in told.output) == (0, True)
    whole = cli("audit", "verify", "--json").document
    assert (whole["ok"], whole["records"], whole["relay_asked"]) == (True, 2, False)


def test_bad_log_is_told_with_its_first_bad_record(cli: Cli, folder: AuditFolder) -> None:
    file = folder.segments()[0].path
    file.write_bytes(file.read_bytes().replace(b"enrolled", b"imagined"))
    told = cli("audit", "verify")
    assert told.status == 1
    assert told.output.startswith("Record 1 is the first bad one.\n")
    assert cli("audit", "verify", "--json").document["first_bad_seq"] == 1


def test_relay_that_knows_another_log_shows(cli: Cli, home: Path, folder: AuditFolder) -> None:
    from cloud_connect.audit import AuditExchange, Checkpoint
    from cloud_connect.signing import SigningKey

    stranger = Checkpoint.sign(
        SigningKey.generate(), log="aud_other", seq=5, digest=b"h" * 32, at=0
    )
    folder.keep_relay(AuditExchange(held=stranger, own=stranger))
    found = cli("audit", "verify", "--json")
    assert (found.status, found.document["first_bad_seq"]) == (1, 1)
    assert "begun anew" in found.document["reason"]
    held = home / "held.ndjson"
    held.write_text(cli("audit", "checkpoints").output)
    assert json.loads(held.read_text())["log"] == "aud_other"
    held.write_text("{}\n")
    assert "no checkpoint" in cli("audit", "verify", "--against", str(held)).errors
    held.write_text("\n")
    told = cli("audit", "verify", "--against", str(held))
    assert (told.status, "nothing can be compared" in told.errors) == (1, True)


def test_file_of_all_checkpoints_of_a_relay_is_compared_as_to_this_pc(
    cli: Cli, home: Path, folder: AuditFolder
) -> None:
    from cloud_connect.audit import ChainedRecord, Checkpoint
    from cloud_connect.signing import SigningKey

    def signed(log: str, line: bytes) -> str:
        record = ChainedRecord.of_line(line)
        signer = SigningKey.generate()
        one = Checkpoint.sign(signer, log=log, seq=record.seq, digest=record.hash, at=0)
        return one.model_dump_json() + "\n"

    newest = list(folder.lines())[-1]
    own, neighbours = signed(str(folder.log_id()), newest), signed("aud_neighbour", newest)
    held = home / "held.ndjson"
    held.write_text(neighbours + own)
    found = cli("audit", "verify", "--against", str(held), "--json")
    assert (found.status, found.document["reason"]) == (0, None)
    assert found.document["compared_with"] == [held.name]
    held.write_text(neighbours)
    found = cli("audit", "verify", "--against", str(held), "--json")
    assert (found.status, found.document["first_bad_seq"]) == (1, 1)
    assert "no checkpoint of this PC" in found.document["reason"]


def test_log_that_is_not_there_and_times_that_are_none_are_told(cli: Cli, home: Path) -> None:
    told = cli("audit", "verify")
    assert (told.status, "There is no audit log" in told.errors) == (1, True)
    assert cli("audit", "list", "--since", "yesterday").status == 2
    AgentPaths.of(home).create()
    with AuditWriter.open(AuditFolder(AgentPaths.of(home).audit_dir)):
        pass
    assert "no such record" in cli("audit", "list").errors
    assert "holds no checkpoint" in cli("audit", "checkpoints").errors


def test_log_that_cannot_be_written_stops_no_command(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = AgentPaths.of(home)
    paths.create()
    paths.audit_dir.write_bytes(b"no folder")
    record_event(paths, "procore.signed_in")
    assert "could not be written" in capsys.readouterr().err
