"""Tests of what the Windows package runs, as far as they go without Windows."""

from pathlib import Path

import pytest

from cloud_connect_agent.cli import windows_setup
from cloud_connect_agent.cli.root import main


def test_elsewhere_than_on_windows_it_touches_no_service(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["windows-setup", "uninstall"])
    assert ended.value.code == 78
    assert "service install" in capsys.readouterr().err


@pytest.mark.parametrize("given", [("--relay", "https://r.example.com"), ("--token-file", "t.txt")])
def test_a_relay_without_a_token_is_refused_before_anything_is_done_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, str]
) -> None:
    monkeypatch.setattr(windows_setup, "_ON_WINDOWS", True)
    with pytest.raises(SystemExit) as ended:
        main(["windows-setup", "install", "--home", str(tmp_path), *given])
    assert ended.value.code == 78
    assert "RELAY and TOKENFILE" in (tmp_path / "logs" / "install.log").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_it_stands_in_no_list_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "windows-setup" not in capsys.readouterr().out
