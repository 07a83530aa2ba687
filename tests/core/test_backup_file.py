import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from cloud_connect import backup_file
from cloud_connect.backup_file import BackupError, read_backup, seal_backup

PASSPHRASE = "correct horse battery staple"
LARGE = os.urandom(2 * 1024 * 1024 + 17)  # three pieces


@pytest.fixture(autouse=True)
def _quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spend no half second on each key; one test makes a real one."""
    monkeypatch.setattr(backup_file, "_COST", 2**10)


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    file = tmp_path / "a.backup"
    make(file)
    return file


def make(file: Path, **more: Any) -> None:
    with seal_backup(
        file, PASSPHRASE, **{"kind": "agent", "program": "1.2.3", "made_at": 86_400.0, **more}
    ) as writer:
        writer.add("small", b"secret words")
        writer.copy("large", io.BytesIO(LARGE + b"what came later"), len(LARGE))


def members(file: Path, passphrase: str = PASSPHRASE) -> dict[str, bytes]:
    with read_backup(file, passphrase, kind="agent") as reader:
        return {name: content.read() for name, content in reader.members()}


def test_what_goes_in_comes_out(backup: Path) -> None:
    assert members(backup) == {"small": b"secret words", "large": LARGE}


def test_it_says_whose_it_is_and_nothing_else_without_the_passphrase(backup: Path) -> None:
    data = backup.read_bytes()
    assert b"secret words" not in data
    assert b"small" not in data
    with read_backup(backup, PASSPHRASE, kind="agent") as reader:
        assert reader.head.made == "1970-01-02 00:00:00 UTC"
        assert reader.head.program == "1.2.3"
    assert backup.stat().st_mode & 0o077 == 0


def test_the_key_is_expensive_to_guess() -> None:
    assert backup_file._keys.__globals__["_COST"] == 2**10, "only here"
    source = Path(backup_file.__file__).read_text()
    assert "_COST: Final = 2**17" in source


def test_another_passphrase_is_told_from_damage(backup: Path) -> None:
    with pytest.raises(BackupError, match="passphrase is not the one"):
        members(backup, "another horse battery staple")


def test_passphrase_typed_elsewhere_is_the_same(tmp_path: Path) -> None:
    file = tmp_path / "umlaut.backup"
    with seal_backup(file, "Schlu\u0308ssel zum Tor", kind="relay", program="1", made_at=0):
        pass
    with read_backup(file, "Schl\u00fcssel zum Tor", kind="relay") as reader:
        assert list(reader.members()) == []


def damaged(backup: Path) -> Iterator[tuple[str, bytes]]:
    data = backup.read_bytes()
    head = data.index(b"\n") + 1
    piece = 1024 * 1024 + 16
    yield "a byte is changed", data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]
    yield "the end is missing", data[:-100]
    yield "the last piece is missing", data[: head + 2 * piece]
    yield "nothing is left", data[:head]
    yield "a piece is missing", data[:head] + data[head + piece :]
    swapped = data[head + piece : head + 2 * piece] + data[head : head + piece]
    yield "pieces are swapped", data[:head] + swapped + data[head + 2 * piece :]
    yield "something was added", data + b"x" * 40
    yield "the head is changed", data.replace(b'"1.2.3"', b'"1.2.4"', 1)


def test_each_kind_of_damage_is_found(backup: Path) -> None:
    found: list[str] = []
    for what, data in damaged(backup):
        file = backup.with_name("damaged")
        file.write_bytes(data)
        with pytest.raises(BackupError, match="damaged or not whole"):
            members(file)
        found.append(what)
    assert len(found) == 8


def test_what_was_not_read_is_checked_all_the_same(backup: Path) -> None:
    data = backup.read_bytes()
    backup.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with (
        pytest.raises(BackupError, match="damaged"),
        read_backup(backup, PASSPHRASE, kind="agent") as reader,
    ):
        assert next(reader.members())[0] == "small"


def test_archive_that_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "odd.backup"
    with monkeypatch.context() as patched:
        patched.setattr(tarfile, "open", lambda fileobj, **_: Odd(fileobj))
        make(file)
    with pytest.raises(BackupError, match="damaged"):
        members(file)


class Odd:
    """Writes what is no archive."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __enter__(self) -> Self:
        self.file.write(b"no archive" * 100)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def addfile(self, *_: object) -> None:
        pass


def test_member_that_is_no_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "link.backup"
    with seal_backup(file, PASSPHRASE, kind="agent", program="1", made_at=0) as writer:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        writer._tar.addfile(link)
    with pytest.raises(BackupError, match="no file"):
        members(file)


def test_other_kinds_formats_and_files_are_named(backup: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(BackupError, match=r"backup of an agent: .*`cloud-connect restore`"),
        read_backup(backup, PASSPHRASE, kind="relay"),
    ):
        pass
    relay = tmp_path / "relay.backup"
    make(relay, kind="relay")
    with pytest.raises(BackupError, match=r"backup of a relay: .*`cloud-connect-relay restore`"):
        members(relay)
    newer = tmp_path / "newer.backup"
    newer.write_bytes(
        backup.read_bytes().replace(b'"cloud_connect_backup":1', b'"cloud_connect_backup":2', 1)
    )
    with pytest.raises(BackupError, match=r"format 2, made by version 1\.2\.3"):
        members(newer)
    stranger = tmp_path / "stranger"
    stranger.write_bytes(b"PK\x03\x04")
    with pytest.raises(BackupError, match="no backup of Cloud Connect"):
        members(stranger)
    with pytest.raises(BackupError, match="cannot be read: No such file"):
        members(tmp_path / "missing")


def test_what_this_account_may_not_reach_is_told_with_a_way_out(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "exists", refuse)
        with (
            pytest.raises(BackupError, match=r"may not write .*such as /var/tmp/a.backup"),
            seal_backup(tmp_path / "a.backup", PASSPHRASE, kind="agent", program="1", made_at=0.0),
        ):
            pass
    monkeypatch.setattr(Path, "open", refuse)
    with (
        pytest.raises(BackupError, match=r"may not read .*copy it to where it may"),
        read_backup(backup, PASSPHRASE, kind="agent"),
    ):
        pass


def test_no_file_is_replaced_and_none_is_left_half_made(backup: Path) -> None:
    before = backup.read_bytes()
    with pytest.raises(BackupError, match="is there already"):
        make(backup)
    assert backup.read_bytes() == before
    with pytest.raises(BackupError, match="cannot be written: No such file"):
        make(backup.parent / "no folder" / "x")
    with (
        pytest.raises(ZeroDivisionError),
        seal_backup(backup.with_name("b"), PASSPHRASE, kind="agent", program="1", made_at=0),
    ):
        raise ZeroDivisionError
    assert [one.name for one in backup.parent.iterdir()] == [backup.name]


@pytest.mark.parametrize("source", [None, "elsewhere"])
def test_full_disk_is_told_and_another_files_trouble_is_not_taken_for_it(
    tmp_path: Path, source: str | None
) -> None:
    error = OSError(28, "No space left on device", source)
    expected = BackupError if source is None else OSError
    with (
        pytest.raises(expected, match="No space left"),
        seal_backup(tmp_path / "full", PASSPHRASE, kind="agent", program="1", made_at=0),
    ):
        raise error
    assert list(tmp_path.iterdir()) == []
