import os
import socket
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from cloud_connect.errors import CloudConnectError
from cloud_connect.services.plan import Step
from cloud_connect.services.steps import (
    Folder,
    GiveFile,
    GiveTree,
    MoveFile,
    Remove,
    WriteFile,
)
from doubles.service_machine import FolderMachine
from doubles.tools import as_root


@pytest.fixture
def machine(tmp_path: Path) -> FolderMachine:
    as_root("giving files to other accounts")
    made = FolderMachine(root=tmp_path)
    made.run("useradd", "svc")
    return made


def to_do(step: Step) -> bool:
    """Look again: what was true before is no longer so."""
    return step.needed


def facts(machine: FolderMachine, path: str) -> tuple[int, int, int]:
    found = machine.at(Path(path)).lstat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def number(machine: FolderMachine) -> int:
    account = machine.account("svc")
    assert account is not None
    return account.uid


def test_a_folder_is_made_once_and_given_back_to_its_owner(machine: FolderMachine) -> None:
    step = Folder(host=machine, path=Path("/srv/a/b"), owner="root", group="svc", mode=0o1770)
    assert to_do(step)
    step.carry_out()
    assert facts(machine, "/srv/a/b") == (0, number(machine), 0o1770)
    assert not to_do(step)
    machine.at(Path("/srv/a/b")).chmod(0o777)
    assert to_do(step)
    step.carry_out()
    assert not to_do(step)
    assert step.content is None
    assert step.sentence == "Make the folder /srv/a/b (root:svc, 1770)"
    private = Folder(host=machine, path=Path("/srv/c"), owner="svc", mode=0o700)
    assert private.sentence == "Make the folder /srv/c (svc, 0700)"


def test_a_link_in_the_place_of_a_folder_leads_nowhere(machine: FolderMachine) -> None:
    victim = machine.root / "victim"
    victim.mkdir()
    machine.at(Path("/var/lib/a")).symlink_to(victim)
    step = Folder(host=machine, path=Path("/var/lib/a"), owner="svc")
    with pytest.raises(CloudConnectError, match="/var/lib/a"):
        step.carry_out()
    assert victim.stat().st_uid == 0


def test_an_account_that_is_not_there_is_named(machine: FolderMachine) -> None:
    step = Folder(host=machine, path=Path("/srv/a"), owner="nobody-here")
    assert to_do(step)
    with pytest.raises(CloudConnectError, match="nobody-here"):
        step.carry_out()


def test_a_file_is_written_whole_and_only_if_it_differs(machine: FolderMachine) -> None:
    step = WriteFile(host=machine, path=Path("/etc/x/a.service"), text="[Unit]\n", mode=0o640)
    assert to_do(step)
    step.carry_out()
    assert not to_do(step)
    assert facts(machine, "/etc/x/a.service")[2] == 0o640
    assert step.content == "[Unit]\n"
    assert step.sentence == "Write /etc/x/a.service"
    machine.at(step.path).write_bytes(b"\xff")
    assert to_do(step)
    machine.at(step.path).write_text("[Unit]\n")
    machine.at(step.path).chmod(0o600)
    assert to_do(step)
    assert [path.name for path in machine.at(step.path).parent.iterdir()] == ["a.service"]


def test_where_there_are_no_modes_a_file_is_written_all_the_same(
    machine: FolderMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    step = WriteFile(host=machine, path=Path("/etc/x/a"), text="text")
    step.carry_out()
    assert machine.at(step.path).read_text() == "text"


def test_a_file_where_a_folder_should_be_is_told(machine: FolderMachine) -> None:
    machine.at(Path("/etc/x")).write_text("")
    with pytest.raises(CloudConnectError, match="Run the command again"):
        WriteFile(host=machine, path=Path("/etc/x/a"), text="").carry_out()


def test_a_file_is_given_unless_it_is_a_second_name_of_another(machine: FolderMachine) -> None:
    path = Path("/var/lib/policy.toml")
    step = GiveFile(host=machine, path=path, owner="root", group="svc", mode=0o640)
    assert not to_do(step)  # there is none
    machine.at(path).write_text("")
    os.chown(machine.at(path), number(machine), number(machine))
    assert to_do(step)
    step.carry_out()
    assert facts(machine, str(path)) == (0, number(machine), 0o640)
    assert not to_do(step)
    assert step.content is None
    assert step.sentence == "Give /var/lib/policy.toml to root:svc (0640)"
    os.link(machine.at(path), machine.root / "second")
    os.chown(machine.at(path), 1, 1)
    with pytest.raises(CloudConnectError, match="second name"):
        step.carry_out()


def test_a_link_to_somebody_elses_file_is_not_given_away(machine: FolderMachine) -> None:
    secret = machine.root / "shadow"
    secret.write_text("")
    secret.chmod(0o600)
    link = Path("/var/lib/policy.toml")
    machine.at(link).symlink_to(secret)
    with pytest.raises(CloudConnectError, match=r"policy\.toml"):
        GiveFile(host=machine, path=link, owner="root", group="svc", mode=0o644).carry_out()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_all_in_a_folder_is_given_and_left_sockets_go(machine: FolderMachine) -> None:
    top = machine.at(Path("/var/lib/state"))
    (top / "vault").mkdir(parents=True)
    (top / "vault" / "a.sealed").write_text("")
    with socket.socket(socket.AF_UNIX) as control, tempfile.TemporaryDirectory() as short:
        control.bind(f"{short}/s")
        Path(f"{short}/s").rename(top / "control.sock")
    step = GiveTree(host=machine, path=Path("/var/lib/state"), owner="svc")
    assert to_do(step)
    step.carry_out()
    assert not to_do(step)
    assert step.content is None
    assert step.sentence == "Give the files in /var/lib/state to svc"
    assert sorted(path.name for path in top.rglob("*")) == ["a.sealed", "vault"]
    assert facts(machine, "/var/lib/state/vault/a.sealed")[:2] == (number(machine),) * 2
    assert not GiveTree(host=machine, path=Path("/not/there"), owner="svc").needed


def test_a_link_in_a_folder_that_is_given_stops_it(machine: FolderMachine) -> None:
    victim = machine.root / "victim"
    victim.write_text("")
    top = machine.at(Path("/var/lib/state"))
    top.mkdir()
    (top / "link").symlink_to(victim)
    with pytest.raises(CloudConnectError, match="link"):
        GiveTree(host=machine, path=Path("/var/lib/state"), owner="svc").carry_out()
    assert victim.stat().st_uid == 0


def test_a_file_moves_where_nothing_but_an_empty_folder_is(machine: FolderMachine) -> None:
    source, target = Path("/srv/state"), Path("/var/lib/state")
    machine.at(source).mkdir(parents=True)
    (machine.at(source) / "journal").write_text("x")
    machine.at(target).mkdir()
    step = MoveFile(host=machine, source=source, target=target)
    assert to_do(step)
    step.carry_out()
    assert (machine.at(target) / "journal").read_text() == "x"
    assert not to_do(step)
    assert step.content is None
    assert step.sentence == "Move /srv/state to /var/lib/state"
    machine.at(source).mkdir()
    with pytest.raises(CloudConnectError, match="there already"):
        step.carry_out()


def test_a_link_is_removed_and_not_what_it_points_to(machine: FolderMachine) -> None:
    victim = machine.root / "victim"
    victim.mkdir()
    (victim / "file").write_text("")
    link = Path("/var/lib/a")
    machine.at(link).symlink_to(victim)
    step = Remove(host=machine, path=link)
    assert to_do(step)
    step.carry_out()
    assert not to_do(step)
    assert (victim / "file").exists()
    assert step.content is None
    assert step.sentence == "Remove /var/lib/a"
    Remove(host=machine, path=Path("/victim")).carry_out()
    assert not victim.exists()


def test_where_no_account_has_a_number_files_are_written_and_none_is_given_away(
    machine: FolderMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = GiveTree(host=machine, path=Path("/srv"), owner="svc")
    machine.at(Path("/srv/a")).mkdir(parents=True)
    monkeypatch.setattr(sys, "platform", "win32")
    WriteFile(host=machine, path=Path("/srv/a/f"), text="x").carry_out()
    assert machine.at(Path("/srv/a/f")).read_text() == "x"
    assert not list(tree._entries())
