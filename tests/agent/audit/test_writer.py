import os
from pathlib import Path

import pytest

from cloud_connect.audit import Checkpoint
from cloud_connect.file_lock import FileInUseError
from cloud_connect.signing import SigningKey
from cloud_connect_agent.audit import AuditFolder, AuditWriter
from cloud_connect_agent.audit.reading import hash_at, newest_records, records, verify

KEY = SigningKey.generate()


@pytest.fixture
def folder(tmp_path: Path) -> AuditFolder:
    return AuditFolder(tmp_path / "audit")


def fill(folder: AuditFolder, count: int, *, segment_bytes: int = 10**6) -> None:
    with AuditWriter.open(folder, segment_bytes=segment_bytes) as writer:
        for number in range(count):
            writer.append({"action": "test.done", "number": number})
            sign(folder, writer)
            if writer.is_full:
                writer.close()


def sign(folder: AuditFolder, writer: AuditWriter) -> None:
    head = writer.head
    folder.add_checkpoint(
        Checkpoint.sign(KEY, log=writer.log, seq=head.seq, digest=head.hash, at=0)
    )


def test_log_goes_on_where_it_ended(folder: AuditFolder) -> None:
    fill(folder, 3)
    with AuditWriter.open(folder) as writer:
        assert writer.append({"action": "test.done"}) == 4
        assert writer.recovered is None
    assert verify(folder).records == 4
    assert [one.seq for one in records(folder)] == [1, 2, 3, 4]


def test_files_are_private(folder: AuditFolder) -> None:
    fill(folder, 1)
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert {one.stat().st_mode & 0o077 for one in folder.path.iterdir()} == {0}


def test_segments_follow_each_other_at_checkpoints(folder: AuditFolder) -> None:
    fill(folder, 5, segment_bytes=1)
    assert [one.first for one in folder.segments()] == [1, 2, 3, 4, 5]
    assert verify(folder).fault is None
    third = list(records(folder))[2]
    assert hash_at(folder, 3) == third.hash
    assert hash_at(folder, 6) is None
    assert list(newest_records(folder)) == list(records(folder))[::-1]


def test_only_one_process_appends(folder: AuditFolder) -> None:
    with AuditWriter.open(folder), pytest.raises(FileInUseError), AuditWriter.open(folder):
        pass


def test_half_a_record_is_kept_aside_and_the_log_goes_on(folder: AuditFolder) -> None:
    fill(folder, 3)
    file = folder.segments()[0].path
    with file.open("ab") as torn:
        torn.write(b'{"action":"half')
    with AuditWriter.open(folder) as writer:
        assert writer.recovered is not None
        assert writer.append({"action": "test.done"}) == 4
    assert verify(folder).fault is None
    assert (folder.path / f"torn-{file.name}").read_bytes() == b'{"action":"half'


def test_cut_log_goes_on_behind_what_was_signed_so_that_the_gap_shows(folder: AuditFolder) -> None:
    fill(folder, 5)
    file = folder.segments()[0].path
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:3]))
    with AuditWriter.open(folder) as writer:
        assert writer.recovered is not None
        assert writer.append({"action": "test.done"}) == 6
    fault = verify(folder).fault
    assert fault is not None
    assert fault.seq == 4


def test_changed_last_record_keeps_its_number(folder: AuditFolder) -> None:
    fill(folder, 3)
    file = folder.segments()[0].path
    data = bytearray(file.read_bytes())
    data[-20] ^= 1
    file.write_bytes(data)
    folder.keep_checkpoints([])
    with AuditWriter.open(folder) as writer:
        assert writer.append({"action": "test.done"}) == 4
    fault = verify(folder).fault
    assert fault is not None
    assert fault.seq == 3


def test_rubbish_instead_of_records_is_found(folder: AuditFolder) -> None:
    fill(folder, 3)
    folder.segments()[0].path.write_bytes(b"a\nb\n")
    folder.keep_checkpoints([])
    with AuditWriter.open(folder) as writer:
        assert writer.append({"action": "test.done"}) == 3
    fault = verify(folder).fault
    assert fault is not None
    assert fault.seq == 1


def test_record_that_is_being_written_is_none_yet(folder: AuditFolder) -> None:
    fill(folder, 3)
    with folder.segments()[0].path.open("ab") as file:
        file.write(b'{"action":"half')
    assert (verify(folder).fault, verify(folder).records) == (None, 3)


def test_empty_file_is_none(folder: AuditFolder) -> None:
    fill(folder, 2)
    folder.segment(3).path.touch()
    with AuditWriter.open(folder) as writer:
        assert writer.append({"action": "test.done"}) == 3
    assert verify(folder).fault is None


def test_file_that_was_removed_meanwhile_is_noticed(folder: AuditFolder) -> None:
    with AuditWriter.open(folder) as writer:
        writer.append({"action": "test.done"})
        folder.segments()[0].path.unlink()
        with pytest.raises(FileNotFoundError):
            writer.sync()


def test_what_is_no_log_or_checkpoint_is_overlooked(folder: AuditFolder) -> None:
    fill(folder, 1)
    with folder.checkpoint_file.open("ab") as file:
        file.write(b"rubbish\n")
    (folder.path / "relay").write_bytes(b"rubbish")
    assert len(folder.checkpoints()) == 1
    assert folder.relay().own is None
    (folder.path / "log").write_bytes(b"\xff")
    assert folder.log_id() is None
    assert AuditFolder(folder.path / "none").segments() == []


def test_half_a_checkpoint_spoils_no_other_one(folder: AuditFolder) -> None:
    fill(folder, 1)
    with folder.checkpoint_file.open("ab") as torn:
        torn.write(b'{"log":"half')
    fill(folder, 2)
    assert [one.seq for one in folder.checkpoints()] == [1, 2, 3]


def test_newest_checkpoint_is_found_behind_any_rubbish(folder: AuditFolder) -> None:
    assert folder.newest_checkpoint() is None
    fill(folder, 2)
    assert folder.newest_checkpoint() == folder.checkpoints()[-1]
    with folder.checkpoint_file.open("ab") as file:
        file.write(b"rubbish\n" * 10_000)
    assert folder.newest_checkpoint() == folder.checkpoints()[-1]


def test_disk_that_takes_no_more_leaves_no_half_record(folder: AuditFolder) -> None:
    with AuditWriter.open(folder) as writer:
        writer.append({"action": "test.done"})
        writing, writer._file = writer._file, os.open("/dev/full", os.O_WRONLY)
        with pytest.raises(OSError, match="space"):
            writer.append({"action": "test.done"})
        os.close(writer._file)
        writer._file = writing
        assert writer.append({"action": "test.done"}) == 2
    assert verify(folder).fault is None
