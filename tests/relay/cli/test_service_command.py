"""``cloud-connect-relay service`` on a machine that is a folder."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloud_connect_relay.cli import main
from cloud_connect_relay.hosting import service as backend_module
from doubles.ended import Ended
from doubles.service_machine import FolderMachine, folder_machine, program_in

Cli = Callable[..., Ended]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FolderMachine]:
    """What the command line takes for this machine."""
    with folder_machine(tmp_path) as made:
        program = program_in(made.opt, "cloud-connect-relay")
        monkeypatch.setattr(backend_module, "LocalHost", lambda: made)
        monkeypatch.setattr(backend_module, "this_program", lambda *_: program)
        yield made


@pytest.fixture
def service(capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command line."""

    def run(*words: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main(["service", *words])
        said = capsys.readouterr()
        return Ended(status=int(ended.value.code or 0), output=said.out, errors=said.err)

    return run


def test_install_initialise_start_and_uninstall(machine: FolderMachine, service: Cli) -> None:
    shown = service("install", "--dry-run", "--public-url", "https://relay.example.com")
    assert "--port 8080 --tunnel-port 8081 --public-url https://relay.example.com" in shown.output
    assert machine.commands == []
    installed = service("install", "--public-url", "https://relay.example.com")
    assert installed.status == 0, installed.errors
    assert "cloud-connect-relay init" in installed.errors
    assert "nothing was changed" in service("install").output
    (machine.at(Path("/var/lib/cloud-connect-relay")) / "relay.key").write_text("k")
    assert service("start").status == 0
    assert service("restart").status == 0
    assert json.loads(service("status", "--json").output)["running"] is True
    assert service("verify").status == 0
    assert service("stop").status == 0
    removal = service("uninstall", "--purge", "--dry-run")
    assert "Remove /var/lib/cloud-connect-relay" in removal.output
    assert service("uninstall", "--purge", "--yes").status == 0
    assert machine.account("cloud-connect-relay") is None


def test_nothing_is_purged_without_a_yes(
    machine: FolderMachine, service: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    service("install")
    before = machine.snapshot()
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "n")
    assert service("uninstall", "--purge").status == 1
    assert machine.snapshot() == before


def test_there_is_no_service_of_the_relay_elsewhere(
    monkeypatch: pytest.MonkeyPatch, service: Cli
) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    refused = service("status")
    assert refused.status == 78
    assert "Linux only" in refused.errors
