"""Tests of ``cloud_connect.audit_commands``."""

import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cloud_connect.audit import Checkpoint, canonical, chained, genesis
from cloud_connect.audit_commands import export_to, read_checkpoints, time_range
from cloud_connect.errors import CloudConnectError
from cloud_connect.signing import SigningKey


@click.command()
@time_range
def show(*, since: float | None, until: float | None) -> None:
    click.echo(f"{since} {until}")


def test_range_is_given_in_words_or_as_numbers() -> None:
    told = CliRunner().invoke(show, ["--since", "1970-01-02"], default_map={"until": 5.0})
    assert told.output == "86400.0 5.0\n"
    ago = float(CliRunner().invoke(show, ["--since", "2h"]).output.split()[0])
    assert ago == pytest.approx(time.time() - 7200, abs=60)


def test_what_is_no_time_is_named() -> None:
    told = CliRunner().invoke(show, ["--since", "soon"])
    assert (told.exit_code, "'soon'" in told.output) == (2, True)


def test_checkpoints_come_from_a_file_with_nothing_else_in_it(tmp_path: Path) -> None:
    made = Checkpoint.sign(SigningKey.generate(), log="sub_1", seq=5, digest=b"h" * 32, at=0)
    file = tmp_path / "checkpoints.ndjson"
    file.write_text(f"{made.model_dump_json()}\n\n{made.model_dump_json()}\n")
    assert read_checkpoints(file) == [made, made]
    file.write_text("rubbish\n")
    with pytest.raises(CloudConnectError, match="holds something that is no checkpoint"):
        read_checkpoints(file)
    file.write_text("\n")
    with pytest.raises(CloudConnectError, match=r"is empty, so nothing can be compared.*a minute"):
        read_checkpoints(file)
    with pytest.raises(CloudConnectError, match="nowhere cannot be read: No such file"):
        read_checkpoints(tmp_path / "nowhere")


def test_records_are_exported_as_they_are_chained(tmp_path: Path) -> None:
    record = chained(1, canonical({"seq": 1}), genesis("sub_1"))
    file = tmp_path / "export.ndjson"
    with export_to(str(file)) as write:
        write(record)
    assert file.read_bytes() == record.line() + b"\n"


def test_file_that_cannot_be_written_is_named_and_a_reader_that_left_is_not(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "export.ndjson"
    with (
        pytest.raises(CloudConnectError, match=r"export.ndjson cannot be written: No such file"),
        export_to(str(missing)),
    ):
        pass
    with (
        pytest.raises(CloudConnectError, match=r"The output cannot be written: full"),
        export_to("-"),
    ):
        raise OSError("full")
    with pytest.raises(BrokenPipeError), export_to("-"):
        raise BrokenPipeError
