import subprocess
import sys
import time

import pytest

from cloud_connect_relay import __main__ as program
from doubles.relay_commands import Commands


def test_help_lists_every_command_without_importing_it(relay: Commands) -> None:
    told = relay("--help")
    assert told.status == 0
    for name in ("init", "serve", "subscription", "user", "key", "token", "demo"):
        assert f"\n  {name} " in told.out


@pytest.mark.parametrize("command", ["init", "serve", "subscription", "user", "key", "token"])
def test_every_command_explains_itself(relay: Commands, command: str) -> None:
    told = relay(command, "--help")
    assert told.status == 0
    assert "--data-dir" in told.out
    assert not relay.data_dir.exists()


def test_version_is_shown(relay: Commands) -> None:
    assert relay("--version").out.startswith("cloud-connect-relay, version ")


def test_start_of_the_command_line_imports_nothing_large() -> None:
    code = (
        "import sys; from cloud_connect_relay.cli import root; "
        "sys.exit(bool({'sqlalchemy', 'fastapi', 'pydantic', 'structlog'} & set(sys.modules)))"
    )
    began = time.monotonic()
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert time.monotonic() - began < 10


def test_missing_extra_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "find_spec", lambda name: None if name == "fastapi" else name)
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert "cloud-connect[relay]" in str(ended.value.code)
    assert capsys.readouterr().out == ""
