"""Snapshots on disk: what was written comes back, what is broken is passed over."""

import os
from pathlib import Path

import pytest

from cloud_connect_agent.procore.metadata.snapshot import Field, Origin, evolved
from cloud_connect_agent.procore.metadata.store import SnapshotStore, Stored
from cloud_connect_agent.procore.metadata.usage import Usage, Use
from cloud_connect_agent.procore.values import FieldType
from doubles.scripted_procore import source

A = Field(type=FieldType.STRING, origin=Origin.DEFINED, label="Ä")
B = Field(type=FieldType.NUMBER, origin=Origin.CATALOG)


def stored() -> Stored:
    first = evolved(None, {"rfis": {"a": A, "b": B, "c": B}}, at=1)
    changed = Field(type=FieldType.TEXT, origin=Origin.SHOWN)
    second = evolved(first, {"rfis": {"a": A, "b": changed}}, at=2)
    return Stored(snapshot=second, usage=Usage({("rfis", "a"): Use(3, 4.5)}))


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    store, kept = SnapshotStore(tmp_path / "metadata"), stored()
    assert store.load(source()) is None
    store.save(source(), kept)
    back = store.load(source())
    assert back is not None
    assert back.snapshot == kept.snapshot
    assert list(back.usage.items()) == list(kept.usage.items())
    assert store.load(source().model_copy(update={"company_id": 7})) is None
    assert [file.name for file in (tmp_path / "metadata").iterdir()] == ["live-4242.json"]


def test_use_is_kept_before_there_is_a_snapshot(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    store.save(source(), Stored(snapshot=None, usage=Usage({("rfis", "a"): Use(1, 2)})))
    back = store.load(source())
    assert back is not None
    assert back.snapshot is None
    assert dict(back.usage.items()) == {("rfis", "a"): Use(1, 2)}


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")
def test_files_are_private(tmp_path: Path) -> None:
    SnapshotStore(tmp_path / "metadata").save(source(), stored())
    assert (tmp_path / "metadata").stat().st_mode & 0o077 == 0
    assert (tmp_path / "metadata" / "live-4242.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"version":1}', b"\xff"])
def test_broken_file_is_passed_over(tmp_path: Path, text: bytes) -> None:
    store = SnapshotStore(tmp_path)
    store.save(source(), stored())
    (tmp_path / "live-4242.json").write_bytes(text)
    assert store.load(source()) is None
    store.save(source(), stored())
    assert store.load(source()) is not None


def test_folder_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "metadata").write_text("a file stands in the way")
    store = SnapshotStore(tmp_path / "metadata")
    store.save(source(), stored())
    assert store.load(source()) is None


def test_number_of_files_is_bounded(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    for number in range(201):
        file = tmp_path / f"live-{number + 1}.json"
        file.write_text("{}")
        os.utime(file, (number, number))
    store.save(source(), stored())
    names = {file.name for file in tmp_path.iterdir()}
    assert len(names) == 200
    assert "live-1.json" not in names
    assert "live-4242.json" in names
