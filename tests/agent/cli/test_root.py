"""Tests of ``cloud-connect`` as a whole: help, options, errors."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from agent.cli.conftest import Cli, run
from cloud_connect_agent.cli.root import cloud_connect

COMMANDS = (
    "enrol",
    "enroll",
    "run",
    "status",
    "procore",
    "test",
    "policy",
    "catalog",
    "logs",
    "pause",
    "resume",
    "unenrol",
)


def test_help_shows_the_first_steps_and_every_command(cli: Cli) -> None:
    ended = cli("--help")
    assert ended.status == 0
    assert "First steps:" in ended.output
    for command in COMMANDS:
        assert command == "enroll" or command in ended.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(cli: Cli, command: str) -> None:
    ended = cli(command, "--help")
    assert ended.status == 0
    assert "--home" in ended.output


def test_no_command_of_the_list_is_missing_or_silent() -> None:
    for name in cloud_connect.list_commands(click.Context(cloud_connect)):
        ended = CliRunner().invoke(cloud_connect, [name, "--help"])
        assert ended.exit_code == 0, name
        assert "--json" in ended.output, name


def test_version_is_told(cli: Cli) -> None:
    ended = cli("--version")
    assert ended.status == 0
    assert ended.output.startswith("cloud-connect, version ")


@pytest.mark.parametrize("arguments", [("frobnicate",), ("status", "--frobnicate"), ("enrol",)])
def test_wrong_usage_is_status_2(cli: Cli, arguments: tuple[str, ...]) -> None:
    ended = cli(*arguments)
    assert ended.status == 2
    assert not ended.output
    assert "Usage:" in ended.errors


def test_home_may_stand_before_or_after_the_command(tmp_path: Path) -> None:
    home = tmp_path / "here"
    home.mkdir(mode=0o700)
    (home / "agent.toml").write_text('name = "found"\n')
    for arguments in (
        ("--home", str(home), "--json", "status"),
        ("status", "--home", str(home), "--json"),
        ("--home", str(tmp_path / "other"), "status", "--json", "--home", str(home)),
    ):
        assert run(tmp_path / "variable", *arguments).document["name"] == "found"
    assert run(home, "status", "--json").document["name"] == "found"


def test_a_relay_below_a_proxy_variable_is_no_setting(cli: Cli) -> None:
    ended = cli("status", "--json", CLOUD_CONNECT_RELAY_PORT="1", CLOUD_CONNECT_NAME="variable")
    assert ended.document["name"] == "variable"


def test_a_bad_setting_is_status_78_and_named(cli: Cli, home: Path) -> None:
    home.mkdir(mode=0o700)
    (home / "agent.toml").write_text('nmae = "typo"\n')
    ended = cli("status")
    assert ended.status == 78
    assert "nmae" in ended.errors
    assert len(ended.errors.splitlines()) == 1


def test_a_bad_variable_is_status_78_and_named(cli: Cli) -> None:
    ended = cli("status", CLOUD_CONNECT_LOG__LEVEL="loud")
    assert ended.status == 78
    assert "CLOUD_CONNECT_LOG__LEVEL" in ended.errors


def test_a_home_that_is_a_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = run(tmp_path / "file" / "home", "procore", "list")
    assert ended.status == 78
    assert len(ended.errors.splitlines()) == 1
