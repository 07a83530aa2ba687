"""Tests of ``cloud_connect.command_line``."""

import errno
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from click.testing import CliRunner

from cloud_connect.command_line import (
    CommandsByName,
    ExitStatus,
    FiniteRange,
    SharedOptions,
    run_and_exit,
    shared_options_of,
)
from cloud_connect.errors import CloudConnectError, PolicyDeniedError


@dataclass(slots=True, kw_only=True)
class Options(SharedOptions):
    folder: Path | None = None


shared_options = shared_options_of(
    Options, folder="--folder", variable="SOME_FOLDER", purpose="Work in DIR."
)
pass_options = click.make_pass_decorator(Options, ensure=True)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> click.Group:
    """A command line whose only command prints its options."""

    @click.command()
    @shared_options
    @pass_options
    def show(options: Options) -> None:
        click.echo(f"{options.folder} {options.json} {options.debug}")

    module = ModuleType("some_commands")
    module.__dict__["show"] = show
    monkeypatch.setitem(sys.modules, "some_commands", module)

    @click.group(
        cls=CommandsByName,
        modules={"show": "some_commands", "other": "no_such_module"},
        aliases={"display": "show"},
    )
    @shared_options
    def program() -> None:
        """Do something."""

    return program


def status_of(error: CloudConnectError) -> ExitStatus:
    denied = isinstance(error, PolicyDeniedError)
    return ExitStatus.REFUSED_BY_POLICY if denied else ExitStatus.FAILED


def run(command: click.Command, *arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        run_and_exit(command, arguments, program="program", status_of=status_of)
    return int(ended.value.code or 0)


def failing(error: BaseException) -> click.Command:
    def fail(**_: Any) -> None:
        raise error

    return click.Command("fail", params=[click.Option(["--debug"], is_flag=True)], callback=fail)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show",), "variable False False"),
        (("--folder", "a", "show"), "a False False"),
        (("show", "--folder", "a"), "a False False"),
        (("--folder", "a", "show", "--folder", "b"), "b False False"),
        (("--json", "show", "--debug"), "variable True True"),
        (("--json", "--debug", "show"), "variable True True"),
    ],
)
def test_an_option_of_the_command_wins_over_one_before_it_and_both_over_the_variable(
    commands: click.Group,
    arguments: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SOME_FOLDER", "variable")
    assert run(commands, *arguments) == 0
    assert capsys.readouterr().out == f"{said}\n"


def test_command_is_imported_without_what_logs_in_colours_would_need() -> None:
    code = (
        "import sys; from cloud_connect.command_line import CommandsByName\n"
        "commands = CommandsByName(modules={'loads': 'json', 'dumps': 'json'})\n"
        "assert commands.get_command(None, 'loads') and commands.get_command(None, 'dumps')\n"
        "print(sorted({'rich', 'pygments', 'structlog'} & set(sys.modules)))\n"
        "import rich.console, structlog; print(structlog.dev.rich)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "['structlog']\nNone\n"


def test_help_names_the_folder_and_its_variable(
    commands: click.Group, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(commands, "show", "--help") == 0
    assert "Work in DIR.  [env: SOME_FOLDER]" in capsys.readouterr().out


def test_commands_are_found_by_name_and_by_other_spellings(
    commands: click.Group, capsys: pytest.CaptureFixture[str]
) -> None:
    context = click.Context(commands)
    assert commands.list_commands(context) == ["show", "other"]
    assert run(commands, "display") == 0
    assert run(commands, "unknown") == ExitStatus.USAGE
    assert "No such command 'unknown'" in capsys.readouterr().err


def test_arguments_are_those_of_the_process_unless_given(
    commands: click.Group,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["program", "show", "--json"])
    with pytest.raises(SystemExit) as ended:
        run_and_exit(commands, None, program="program", status_of=status_of)
    assert ended.value.code == ExitStatus.DONE
    assert capsys.readouterr().out == "None True False\n"


def test_the_status_that_a_command_returns_is_the_exit_status() -> None:
    assert run(click.Command("ask", callback=lambda: ExitStatus.NOT_CONNECTED)) == 4


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (CloudConnectError("Why."), 1, "Error: Why.\n"),
        (PolicyDeniedError("Why."), 6, "Error: Why.\n"),
        (
            ExceptionGroup("g", [ValueError(), ExceptionGroup("h", [PolicyDeniedError("Why.")])]),
            6,
            "Error: Why.\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/var/audit"),
            1,
            (
                "Error: /var/audit cannot be used: Permission denied; run the command as the "
                "account that it belongs to, or as an administrator.\n"
            ),
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "/var/x"),
            1,
            (
                "Error: /var/x cannot be used: No space left on device; make room there and run "
                "the command again.\n"
            ),
        ),
        (
            OSError(errno.EIO, "Input/output error", b"/var/x"),
            1,
            "Error: /var/x cannot be used: Input/output error.\n",
        ),
        (KeyboardInterrupt(), 1, "Stopped.\n"),
        (click.Abort(), 1, "Stopped.\n"),
    ],
)
def test_each_error_has_its_status_and_one_sentence(
    error: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(failing(error)) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.lstrip("\n") == said


@pytest.mark.parametrize(
    "error", [RuntimeError("detail"), ExceptionGroup("g", [RuntimeError("detail")])]
)
def test_an_unexpected_error_is_named_without_its_detail(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(failing(error)) == 1
    said = capsys.readouterr().err
    assert "(RuntimeError)" in said
    assert "detail" not in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(("error", "status"), [(PolicyDeniedError("Why."), 6), (OSError(), 1)])
def test_debug_shows_where_an_error_comes_from_and_exits_alike(
    error: Exception, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(failing(error), "--debug") == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" in printed.err
    assert "in fail" in printed.err


def test_a_reader_that_goes_away_is_no_failure_to_talk_about(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        command = click.Command("say", callback=lambda: output.write("to nobody"))
        assert run(command) == 1
        monkeypatch.undo()
    assert capsys.readouterr().err == ""


def test_number_in_a_range_is_a_number() -> None:
    @click.command()
    @click.option("--minutes", type=FiniteRange(min=0, max=60))
    def wait(minutes: float) -> None:
        click.echo(minutes)

    assert CliRunner().invoke(wait, ["--minutes", "1.5"]).output == "1.5\n"
    for wrong, said in (("nan", "'nan' is no number"), ("61", "61"), ("soon", "'soon'")):
        refused = CliRunner().invoke(wait, ["--minutes", wrong])
        assert (refused.exit_code, said in refused.output) == (2, True)
