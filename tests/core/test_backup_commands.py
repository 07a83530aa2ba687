from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

from cloud_connect import backup_commands
from cloud_connect.backup_commands import ask_passphrase, passphrase_option


@click.command()
@passphrase_option
@click.option("--new", is_flag=True)
def ask(passphrase_file: Path | None, *, new: bool) -> None:
    click.echo(ask_passphrase(passphrase_file, new=new))


def test_first_line_of_a_file_or_of_standard_input_is_the_passphrase(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("twelve letters or more\r\na second line\n")
    assert CliRunner().invoke(ask, ["--passphrase-file", str(file)]).stdout == (
        "twelve letters or more\n"
    )
    piped = CliRunner().invoke(ask, ["--passphrase-file", "-"], input="from a pipe\n")
    assert piped.stdout == "from a pipe\n"


def test_it_is_typed_unseen_and_a_new_one_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_commands, "sys", SimpleNamespace(stdin=Terminal()))
    asked = CliRunner().invoke(ask, ["--new"], input="a long passphrase\na long passphrase\n")
    assert asked.stdout == "a long passphrase\n"
    assert "Repeat for confirmation" in asked.stderr


class Terminal:
    def isatty(self) -> bool:
        return True


def test_nobody_to_ask_too_short_and_no_text_are_told(tmp_path: Path) -> None:
    nobody = CliRunner().invoke(ask, [])
    assert (nobody.exit_code, "--passphrase-file" in nobody.stderr) == (2, True)
    file = tmp_path / "passphrase"
    file.write_text("short\n")
    short = CliRunner().invoke(ask, ["--passphrase-file", str(file), "--new"])
    assert (short.exit_code, "12 characters" in short.stderr) == (2, True)
    assert CliRunner().invoke(ask, ["--passphrase-file", str(file)]).stdout == "short\n"
    file.write_text("\n")
    empty = CliRunner().invoke(ask, ["--passphrase-file", str(file)])
    assert (empty.exit_code, "empty" in empty.stderr) == (2, True)
    file.write_bytes(b"\xff\xfe")
    binary = CliRunner().invoke(ask, ["--passphrase-file", str(file)])
    assert (binary.exit_code, "cannot be read as text" in binary.stderr) == (2, True)
    gone = CliRunner().invoke(ask, ["--passphrase-file", str(tmp_path / "gone")])
    assert (gone.exit_code, "gone cannot be read: No such file" in gone.stderr) == (2, True)


def test_a_file_of_another_accounts_is_read_with_ones_own_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(click, "open_file", refuse)
    told = CliRunner().invoke(ask, ["--passphrase-file", str(tmp_path / "secret")])
    assert told.exit_code == 2
    assert "--passphrase-file - <" in told.stderr
