"""``cloud-connect service`` on a machine that is a folder, and its dry run on this one."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloud_connect_agent.cli import main
from cloud_connect_agent.hosting import systemd_service as backend_module
from doubles.ended import Ended
from doubles.service_machine import FolderMachine, folder_machine, program_in

Cli = Callable[..., Ended]
ENROLLED = '[relay]\nconnector_id = "con_1"\ntunnel_url = "wss://relay.example.com/tunnel"\n'


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FolderMachine]:
    """What the command line takes for this machine."""
    with folder_machine(tmp_path) as made:
        program = program_in(made.opt, "cloud-connect")
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


def enrol(machine: FolderMachine) -> None:
    (machine.at(Path("/var/lib/cloud-connect")) / "agent.toml").write_text(ENROLLED)


def test_install_twice_enrol_start_stop_and_uninstall(machine: FolderMachine, service: Cli) -> None:
    assert service("status").status == 1
    first = service("install", "--seal-vault", "no")
    assert first.status == 0, first.errors
    assert "done  Write /etc/systemd/system/cloud-connect.service\n" in first.output
    assert "The service cloud-connect is installed.\n" in first.output
    assert "cloud-connect enrol --relay" in first.errors
    again = service("install", "--seal-vault", "no")
    assert again.output == "The service cloud-connect is installed already; nothing was changed.\n"
    assert "enrol --relay" in service("start").errors
    assert service("start").status == 78

    enrol(machine)
    assert service("start").output.endswith("The service cloud-connect is started.\n")
    assert service("restart").status == 0
    assert service("status").status == 0
    assert service("verify").status == 0
    assert service("stop").output == "The service cloud-connect is stopped.\n"
    assert service("status").status == 1
    removed = service("uninstall")
    assert "The service cloud-connect is removed.\n" in removed.output
    assert "Left in place: the account cloud-connect, /var/lib/cloud-connect." in removed.errors
    assert service("uninstall", "--purge", "--yes").status == 0
    assert machine.account("cloud-connect") is None


def test_documents_for_scripts(machine: FolderMachine, service: Cli) -> None:
    installed = service("install", "--json", "--name", "site-2", "--seal-vault", "no")
    changes = json.loads(installed.output)["changes"]
    assert "Write /etc/systemd/system/cloud-connect-site-2.service" in changes
    again = service("install", "--json", "--name", "site-2", "--seal-vault", "no")
    assert json.loads(again.output)["changes"] == []
    status = json.loads(service("status", "--json", "--name", "site-2").output)
    assert (status["service"], status["running"]) == ("cloud-connect-site-2", False)
    checks = json.loads(service("verify", "--json", "--name", "site-2").output)["checks"]
    assert {"unit", "account", "program", "folder"} <= {check["name"] for check in checks}
    assert machine.enabled == {"cloud-connect-site-2"}


def test_a_dry_run_changes_nothing(machine: FolderMachine, service: Cli) -> None:
    before = machine.snapshot()
    shown = service("install", "--dry-run")
    assert shown.status == 0
    assert "to do    Make the system account cloud-connect\n" in shown.output
    assert "| NoNewPrivileges=yes\n" in shown.output
    assert "| systemctl enable cloud-connect\n" in shown.output
    assert machine.snapshot() == before
    assert machine.commands == []
    service("install", "--seal-vault", "no")
    before = machine.snapshot()
    plan = json.loads(service("uninstall", "--purge", "--dry-run", "--json").output)
    assert {"step": "Remove /var/lib/cloud-connect", "needed": True, "content": None} in plan[
        "steps"
    ]
    assert machine.snapshot() == before


def test_nothing_is_purged_without_a_yes(
    machine: FolderMachine, service: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    service("install", "--seal-vault", "no")
    before = machine.snapshot()
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "n")
    asked = service("uninstall", "--purge")
    assert asked.status == 1
    assert machine.snapshot() == before


def test_on_this_machine_a_dry_run_says_what_stands_in_the_way(cli: Cli, tmp_path: Path) -> None:
    folder = Path("/srv") / tmp_path.name  # where nothing is, and nothing will be
    shown = cli("service", "install", "--name", "try", "--dry-run", CLOUD_CONNECT_HOME=str(folder))
    assert shown.status == 0, shown.errors
    assert "Write /etc/systemd/system/cloud-connect-try.service" in shown.output
    assert not folder.exists()
    assert not Path("/etc/systemd/system/cloud-connect-try.service").exists()
