"""The programs of the package: isolated, in our own name, and with their own Python only."""

import shutil
from pathlib import Path

import pytest

from doubles.wine import Wine

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def command(app: Path, wine: Wine) -> Path:
    folder = wine.drive / "program"
    shutil.copytree(app, folder)
    return folder / "cloud-connect.exe"


def test_the_command_line_runs_on_windows_own_python(wine: Wine, command: Path) -> None:
    said = wine.run(command, "--version").checked()
    assert said.output.startswith("cloud-connect, version")
    assert not said.errors


def test_errors_have_the_exit_status_that_is_documented(wine: Wine, command: Path) -> None:
    said = wine.run(command, "status", "--home", "C:\\nobody", "--json")
    assert said.status == 3
    assert "enrol" in said.errors + said.output


def test_no_variable_and_no_folder_decides_what_is_imported(wine: Wine, command: Path) -> None:
    folder = wine.folder / "home"
    for name in ("click", "sitecustomize", "usercustomize"):
        (folder / f"{name}.py").write_text("raise SystemExit('taken over')")
    hostile = dict.fromkeys(("PYTHONPATH", "PYTHONHOME"), "Z:/wine/home")
    said = wine.run(command, "--version", environment=hostile).checked()
    assert "taken over" not in said.output + said.errors


def test_the_program_answers_powershells_completion(wine: Wine, command: Path) -> None:
    script = wine.run(command, "completion", "powershell").checked()
    assert "-CommandName cloud-connect " in script.output
    asked = {  # as that script asks
        "_CLOUD_CONNECT_COMPLETE": "powershell_complete",
        "COMP_WORDS": "cloud-connect wait --for s",
        "COMP_CWORD": "3",
    }
    said = wine.run(command, environment=asked).checked()
    assert said.output.splitlines() == ["plain", "stopped", "_"]


def test_nothing_is_written_beside_the_program(wine: Wine, command: Path) -> None:
    before = {path for path in command.parent.rglob("*") if path.is_file()}
    wine.run(command, "doctor", "--home", "C:\\nobody")
    wine.run(command, "catalog", "--help")
    assert {path for path in command.parent.rglob("*") if path.is_file()} == before


def test_the_agent_of_the_machine_is_meant_unless_another_is_named(
    wine: Wine, command: Path
) -> None:
    said = wine.run(command, "config", "show", "--json")
    shown = said.output + said.errors
    assert "ProgramData" in shown or said.status == 2, shown
