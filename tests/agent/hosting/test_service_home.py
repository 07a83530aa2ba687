"""Whose the files of an agent's service are, and how an enrolled agent and its vault get there."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect.services import Verb
from cloud_connect_agent.hosting.service import ServiceWish
from doubles.agent_service import (
    COMMAND,
    HOME,
    enrol,
    facts,
    finding,
    install,
    service,
    unit,
)
from doubles.service_machine import FolderMachine, folder_machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[FolderMachine]:
    with folder_machine(tmp_path) as made:
        yield made


def test_once_enrolled_it_starts_with_a_policy_that_is_roots(machine: FolderMachine) -> None:
    install(machine)
    enrol(machine)
    found: list[tuple[int, int, int]] = []
    machine.on_start = lambda _: found.append(facts(machine, HOME / "policy.toml"))
    done = service(machine).control(Verb.START)
    account = machine.account("cloud-connect")
    assert account is not None
    assert found == [(0, account.gid, 0o640)]
    assert done == ["Give /var/lib/cloud-connect/policy.toml to root:cloud-connect (0640)"]
    assert machine.states == {"cloud-connect": "active"}
    assert facts(machine, HOME / "agent.toml")[0] == account.uid
    assert service(machine).control(Verb.RESTART) == []
    assert service(machine).control(Verb.STOP) == []
    assert machine.states == {}


def test_an_agent_that_is_enrolled_in_the_folder_already_is_given_to_the_service(
    machine: FolderMachine,
) -> None:
    enrol(machine)  # as root, before there is an account
    (machine.at(HOME) / "state").mkdir(mode=0o700)
    (machine.at(HOME) / "state" / "vault.key").write_text("k")
    done = install(machine)
    account = machine.account("cloud-connect")
    assert account is not None
    assert facts(machine, HOME / "state" / "vault.key")[0] == account.uid
    assert facts(machine, HOME / "agent.toml")[0] == account.uid
    assert facts(machine, HOME / "policy.toml")[0] == 0
    assert done[-1] == "Start the service cloud-connect"
    assert machine.states == {"cloud-connect": "active"}
    assert service(machine).installation().notes == ["See how it fares: `cloud-connect status`."]


def test_settings_that_an_administrator_keeps_stay_the_administrators(
    machine: FolderMachine,
) -> None:
    install(machine)
    enrol(machine)
    os.chown(machine.at(HOME / "agent.toml"), 0, 0)
    service(machine).control(Verb.START)
    assert facts(machine, HOME / "agent.toml")[:2] == (0, 0)
    machine.at(HOME / "agent.toml").chmod(0o600)
    os.chown(machine.at(HOME / "agent.toml"), 12, 12)
    service(machine).control(Verb.START)
    account = machine.account("cloud-connect")
    assert account is not None
    assert facts(machine, HOME / "agent.toml")[0] == account.uid


def test_an_enrolled_agent_moves_in_from_elsewhere(machine: FolderMachine) -> None:
    install(machine)  # before: its empty folders are no obstacle
    old = Path("/srv/agent")
    enrol(machine, old)
    for folder in ("state", "logs"):
        (machine.at(old) / folder).mkdir()
    (machine.at(old) / "state" / "vault.key").write_text("k")
    (machine.at(old) / "state" / "run.lock").write_text("")
    done = install(machine, ServiceWish(seal_vault="no", adopt=old))
    assert "Move /srv/agent/state to /var/lib/cloud-connect/state" in done
    account = machine.account("cloud-connect")
    assert account is not None
    assert facts(machine, HOME / "state" / "vault.key")[0] == account.uid
    assert facts(machine, HOME / "policy.toml")[0] == 0
    assert machine.states == {"cloud-connect": "active"}
    assert not machine.at(old).exists()
    assert install(machine, ServiceWish(seal_vault="no", adopt=old)) == []


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("secret-service", "cannot move"),
        ("keychain", "cannot move"),
        ("what", "kind"),
    ],
)
def test_a_vault_that_a_person_opens_does_not_move(
    machine: FolderMachine, kind: str, fault: str
) -> None:
    old = Path("/srv/agent")
    enrol(machine, old)
    (machine.at(old) / "state" / "vault").mkdir(parents=True)
    (machine.at(old) / "state" / "vault" / "kind").write_text(kind)
    wish = ServiceWish(seal_vault="no", adopt=old)
    if kind == "what":
        with pytest.raises(ConfigurationError, match=fault):
            service(machine, wish)
    else:
        (refusal,) = service(machine, wish).installation().refusals
        assert fault in refusal


def test_what_cannot_move_is_refused_before_anything_is_changed(machine: FolderMachine) -> None:
    old = Path("/srv/agent")
    wish = ServiceWish(seal_vault="no", adopt=old)
    assert "none to move" in service(machine, wish).installation().refusals[0]
    enrol(machine, old, text="[relay\n")
    assert "not valid TOML" in service(machine, wish).installation().refusals[0]
    enrol(machine, old)
    machine.at(old / "state").mkdir()
    (machine.at(old) / "state" / "link").symlink_to("/etc/shadow")
    assert "is a link" in service(machine, wish).installation().refusals[0]
    (machine.at(old) / "state" / "link").unlink()
    lock = machine.at(old / "state") / "run.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "runs; stop it first" in service(machine, wish).installation().refusals[0]
    assert service(machine, wish).installation().refusals == []
    enrol(machine)
    assert "already; unenrol" in service(machine, wish).installation().refusals[0]


def test_a_folder_that_an_agent_of_another_account_uses_is_left_alone(
    machine: FolderMachine,
) -> None:
    install(machine)
    enrol(machine)
    os.chown(machine.at(HOME / "state"), 12, 12)
    with (machine.at(HOME) / "state" / "run.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "stop it first" in service(machine).installation().refusals[0]


def test_settings_that_cannot_be_read_are_named(machine: FolderMachine) -> None:
    install(machine)
    enrol(machine, text="what = 1")
    assert "what" in service(machine).installation().refusals[0]
    assert finding(service(machine).verify(), "settings").status == "FAIL"


def test_a_sealed_vault_has_a_key_that_was_never_in_the_clear(machine: FolderMachine) -> None:
    done = install(machine, ServiceWish())
    assert unit(machine)["LoadCredentialEncrypted"] == (
        "cloud-connect.vault-key:/etc/cloud-connect.vault-key"
    )
    assert any("Seal a new key" in sentence for sentence in done)
    sealing = next(
        at for at, command in enumerate(machine.commands) if command[0] == "systemd-creds"
    )
    seed = machine.told[sealing]
    assert len(seed) == 32
    assert not any(seed in content for *_, content in machine.snapshot().values())
    assert "systemd-run" in machine.at(COMMAND).read_text()
    assert install(machine, ServiceWish()) == []


def test_without_systemd_creds_the_vault_has_a_key_file(machine: FolderMachine) -> None:
    machine.missing.add("systemd-creds")
    install(machine, ServiceWish())
    assert "LoadCredentialEncrypted" not in unit(machine)
    machine.missing.clear()  # it turns up: what is installed stays as it is
    assert install(machine, ServiceWish()) == []


def test_a_vault_stays_with_its_kind(machine: FolderMachine) -> None:
    enrol(machine)
    (machine.at(HOME) / "state" / "vault").mkdir(parents=True)
    kind = machine.at(HOME) / "state" / "vault" / "kind"
    kind.write_text("key-file")
    with pytest.raises(ConfigurationError, match="stays with it"):
        service(machine, ServiceWish(seal_vault="yes"))
    install(machine, ServiceWish())
    assert "LoadCredentialEncrypted" not in unit(machine)
    kind.write_text("systemd-credential")
    install(machine, ServiceWish())
    assert "LoadCredentialEncrypted" in unit(machine)
    assert not machine.did("systemd-creds")  # another key would open nothing


def test_somebody_elses_command_is_not_replaced(machine: FolderMachine) -> None:
    foreign = machine.at(COMMAND)
    foreign.write_text("#!/usr/bin/python3\n")
    install(machine)
    assert foreign.read_text() == "#!/usr/bin/python3\n"
    (advice,) = service(machine).installation().notes
    assert "cloud-connect-service enrol" in advice
    machine.at(COMMAND.with_name("cloud-connect-service")).write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="move it away"):
        service(machine)


def test_a_policy_is_the_accounts_only_while_a_backup_is_restored(machine: FolderMachine) -> None:
    install(machine)
    enrol(machine)
    service(machine).control(Verb.START)
    with pytest.raises(CloudConnectError, match="runs; stop it first"):
        service(machine).lend()
    service(machine).control(Verb.STOP)
    account = machine.account("cloud-connect")
    assert account is not None
    policy = HOME / "policy.toml"
    service(machine).lend()
    assert facts(machine, policy) == (account.uid, account.gid, 0o600)
    service(machine).take_back()
    assert facts(machine, policy) == (0, account.gid, 0o640)


def test_a_second_name_of_another_file_is_not_lent(machine: FolderMachine) -> None:
    install(machine)
    secret = machine.root / "shadow"
    secret.write_text("secret")
    machine.at(HOME / "policy.toml").hardlink_to(secret)
    with pytest.raises(CloudConnectError, match="no file of its own"):
        service(machine).lend()
    assert secret.stat().st_uid == 0
