"""The plan for systemd, carried out on a machine that is a folder: what is made, and only once."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect.services import Verb
from cloud_connect_agent.hosting.service import ServiceWish, service_of
from doubles.agent_service import (
    COMMAND,
    HOME,
    UNIT,
    enrol,
    facts,
    finding,
    install,
    service,
    unit,
)
from doubles.service_machine import FolderMachine, folder_machine
from doubles.tools import tool


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[FolderMachine]:
    with folder_machine(tmp_path) as made:
        yield made


def test_before_enrolment_all_is_made_but_nothing_is_started(machine: FolderMachine) -> None:
    done = install(machine)
    account = machine.account("cloud-connect")
    assert account is not None
    assert facts(machine, HOME) == (0, account.gid, 0o1770)
    assert facts(machine, HOME / "state") == (account.uid, account.gid, 0o700)
    assert facts(machine, HOME / "logs") == (account.uid, account.gid, 0o700)
    assert machine.enabled == {"cloud-connect"}
    assert machine.states == {}
    assert "Start the service cloud-connect" not in done
    (advice,) = service(machine).installation().notes
    assert "cloud-connect enrol --relay" in advice


def test_the_unit_runs_this_installation_as_its_own_account(machine: FolderMachine) -> None:
    install(machine)
    settings = unit(machine)
    program = machine.opt / "bin" / "cloud-connect"
    assert settings["ExecStart"] == f"{program} --home /var/lib/cloud-connect run"
    assert settings["SuccessExitStatus"] == "3"  # not enrolled is no failure
    assert settings["ExecReload"] == f"{program} --home /var/lib/cloud-connect reload"
    assert (settings["User"], settings["Group"]) == ("cloud-connect", "cloud-connect")
    assert settings["StateDirectory"] == "cloud-connect/state cloud-connect/logs"
    assert settings["Type"] == "notify"
    assert "LoadCredentialEncrypted" not in settings
    assert "By hand" not in machine.at(UNIT).read_text()


def test_a_second_installation_changes_nothing(machine: FolderMachine) -> None:
    install(machine)
    before, commands = machine.snapshot(), list(machine.commands)
    assert install(machine) == []
    assert machine.snapshot() == before
    assert machine.commands == commands


def test_before_enrolment_a_start_says_how_to_enrol(machine: FolderMachine) -> None:
    install(machine)
    with pytest.raises(ConfigurationError, match="enrol --relay"):
        service(machine).control(Verb.START)


def test_what_is_not_installed_is_not_started(machine: FolderMachine) -> None:
    with pytest.raises(ConfigurationError, match="service install"):
        service(machine).control(Verb.START)


def test_a_start_that_fails_says_the_services_last_words(machine: FolderMachine) -> None:
    enrol(machine)

    def fail(_: str) -> None:
        raise AssertionError("The setting relay.url is wrong.")

    machine.on_start = fail
    with pytest.raises(CloudConnectError, match=r"relay\.url is wrong.*journalctl"):
        install(machine)
    assert service(machine).status().state == "failed"
    assert service(machine).status().says == "The setting relay.url is wrong."
    machine.last_line = ""
    assert service(machine).status().says == "exit-code"


def test_two_instances_share_nothing(machine: FolderMachine) -> None:
    install(machine)
    first = machine.at(UNIT).read_bytes()
    install(machine, ServiceWish(instance="site-2", seal_vault="yes"))
    second = unit(machine, Path("/etc/systemd/system/cloud-connect-site-2.service"))
    assert second["User"] == "cloud-connect-site-2"
    assert second["StateDirectory"] == "cloud-connect-site-2/state cloud-connect-site-2/logs"
    assert "--home /var/lib/cloud-connect-site-2 run" in second["ExecStart"]
    assert second["LoadCredentialEncrypted"].endswith(":/etc/cloud-connect-site-2.vault-key")
    assert machine.enabled == {"cloud-connect", "cloud-connect-site-2"}
    assert len(set(machine.accounts.values())) == 3
    assert machine.at(UNIT).read_bytes() == first
    assert "--name site-2" in machine.at(COMMAND.with_name("cloud-connect-site-2")).read_text()


@pytest.mark.parametrize("bad", ["relay", "relay-2", "hosted", "service", "A", "", "a_b", "x" * 17])
def test_names_that_are_no_names_or_belong_to_others_are_refused(
    machine: FolderMachine, bad: str
) -> None:
    with pytest.raises(ConfigurationError, match="name"):
        service(machine, ServiceWish(instance=bad))


def test_a_hosted_connector_is_confined_further_and_stays_one(machine: FolderMachine) -> None:
    wish = ServiceWish(instance="builders", hosted=True, seal_vault="no")
    install(machine, wish)
    place = UNIT.with_name("cloud-connect-builders.service")
    text = machine.at(place).read_text()
    for line in (
        "Description=Cloud Connect hosted connector builders",
        "After=network-online.target cloud-connect-relay.service",
        "InaccessiblePaths=-/var/lib/cloud-connect-relay",
        "MemoryMax=1G",
    ):
        assert text.count(f"\n{line}\n") == 1, line
    assert install(machine, ServiceWish(instance="builders", seal_vault="no")) == []


def test_a_hosted_connector_needs_a_name_and_systemd() -> None:
    with pytest.raises(ConfigurationError, match="--name"):
        service_of(ServiceWish(hosted=True), platform="linux")
    with pytest.raises(ConfigurationError, match="Linux"):
        service_of(ServiceWish(hosted=True, instance="a"), platform="win32")


def test_a_folder_of_ones_own_is_remembered(machine: FolderMachine) -> None:
    wish = ServiceWish(home=Path("/srv/cloud/one"), seal_vault="no")
    install(machine, wish)
    settings = unit(machine)
    assert settings["ReadWritePaths"] == "/srv/cloud/one/state /srv/cloud/one/logs"
    assert "StateDirectory" not in settings
    assert install(machine) == []  # without --home, too
    assert service(machine).status().home == "/srv/cloud/one"


@pytest.mark.parametrize("bad", ["/home/ann/agent", "/root/x", "/srv", "/srv/a b/c"])
def test_folders_that_a_service_does_not_see_are_refused(machine: FolderMachine, bad: str) -> None:
    with pytest.raises(ConfigurationError, match=r"folder|files"):
        service(machine, ServiceWish(home=Path(bad)))


def test_a_program_that_others_can_change_is_refused(machine: FolderMachine) -> None:
    made = service(machine)
    machine.opt.chmod(0o777)
    assert any("chown -R root:root" in fault for fault in made.installation().refusals)
    assert finding(made.verify(), "program").status == "FAIL"


def test_only_root_on_a_machine_with_systemd_installs(machine: FolderMachine) -> None:
    machine.is_administrator = False
    machine.at(Path("/run/systemd/system")).rmdir()
    refusals = service(machine).installation().refusals
    assert "not run by systemd" in refusals[0]
    assert "sudo" in refusals[1]
    for ask in (service(machine).status, service(machine).verify):
        with pytest.raises(ConfigurationError, match="systemd"):
            ask()
    with pytest.raises(ConfigurationError, match="sudo"):
        service(machine).control(Verb.STOP)


def test_a_changed_unit_is_written_and_taken_up_by_the_running_service(
    machine: FolderMachine,
) -> None:
    enrol(machine)
    install(machine)
    machine.commands.clear()
    machine.at(UNIT).write_text("[Unit]\n")
    assert install(machine) == [
        f"Write {UNIT}",
        "Have systemd read its units again",
        "Start the service cloud-connect",
    ]
    assert machine.did("systemctl", "restart", "cloud-connect")
    assert install(machine, ServiceWish(seal_vault="no", start=False)) == []


def test_the_command_is_a_script_that_shells_understand(machine: FolderMachine) -> None:
    for seal in ("no", "yes"):
        install(machine, ServiceWish(seal_vault="yes" if seal == "yes" else "no"))
        script = machine.at(COMMAND)
        assert facts(machine, COMMAND) == (0, 0, 0o755)
        checked = subprocess.run(
            [tool("sh"), "-n", str(script)], capture_output=True, text=True, timeout=10, check=False
        )
        assert (checked.returncode, checked.stderr) == (0, "")
        assert "@" not in script.read_text().replace('"$@"', "")
        assert "CLOUD_CONNECT_COMMAND=cloud-connect " in script.read_text()


def test_uninstalling_leaves_nothing_of_the_service_and_says_what_stays(
    machine: FolderMachine,
) -> None:
    before = machine.snapshot()
    install(machine, ServiceWish())
    enrol(machine)
    drop_in = machine.at(UNIT).with_name("cloud-connect.service.d")
    drop_in.mkdir()
    (drop_in / "override.conf").write_text("[Service]\n")
    assert finding(service(machine).verify(), "changes").status == "WARN"
    plan = service(machine).removal(purge=False)
    list(plan.carry_out())
    left = set(machine.snapshot()) - set(before)
    assert {path.split("/")[-1] for path in left if "lib" not in path} == {
        "cloud-connect.vault-key"
    }
    (stays,) = service(machine).removal(purge=False).notes
    assert "the account cloud-connect" in stays
    assert "/var/lib/cloud-connect" in stays
    assert machine.enabled == set()
    (farewell,) = service(machine).removal(purge=True).notes
    assert "still lists con_1" in farewell
    list(service(machine).removal(purge=True).carry_out())
    assert machine.snapshot() == before
    assert machine.account("cloud-connect") is None
    gone = service(machine).removal(purge=True)
    assert list(gone.carry_out()) == []
    assert gone.notes == []
    assert service(machine).removal(purge=False).notes == []


def test_a_failed_service_is_forgotten_with_the_rest(machine: FolderMachine) -> None:
    install(machine)
    machine.states["cloud-connect"] = "failed"
    machine.failing["nothing"] = ""
    plan = service(machine).removal(purge=False)
    machine.at(UNIT).unlink()
    list(plan.carry_out())
    assert machine.did("systemctl", "reset-failed", "cloud-connect")


def test_before_enrolment_status_says_how_to_enrol(machine: FolderMachine) -> None:
    install(machine)
    advice = "Not enrolled: run `cloud-connect enrol --relay URL`."
    assert (service(machine).status().state, service(machine).status().says) == ("stopped", advice)
    machine.states["cloud-connect"] = "failed"  # as it ends that leaves its relay while it runs
    assert service(machine).status().says == advice
    machine.at(HOME / "agent.toml").write_text("nonsense")
    assert service(machine).status().says != advice
    machine.at(HOME / "agent.toml").unlink()
    enrol(machine)
    assert service(machine).status().says != advice


def test_status_tells_what_systemd_knows(machine: FolderMachine) -> None:
    assert service(machine).status().state == "not-installed"
    enrol(machine)
    install(machine)
    machine.words, machine.restarts = "Connected", 3
    status = service(machine).status()
    assert (status.state, status.says, status.pid, status.restarts) == (
        "running",
        "Connected",
        4242,
        3,
    )
    assert status.starts_by_itself
    assert status.account == "cloud-connect"
    machine.states["cloud-connect"] = "activating"
    assert service(machine).status().state == "starting"
    machine.states["cloud-connect"] = "something"
    assert service(machine).status().state == "stopped"


def test_verify_reads_everything_back(machine: FolderMachine) -> None:
    enrol(machine)
    install(machine)
    assert {one.status for one in service(machine).verify()} == {"PASS"}
    machine.words = "Connected"
    assert finding(service(machine).verify(), "running").cause == "Connected"

    machine.at(UNIT).write_text("[Unit]\n")
    del machine.accounts["cloud-connect"]
    machine.enabled.clear()
    machine.states.clear()
    machine.stale = True
    findings = service(machine).verify()
    for name in ("unit", "account", "folder", "boot", "loaded"):
        assert finding(findings, name).status == "FAIL", name
        assert finding(findings, name).fix, name
    assert finding(findings, "running").status == "WARN"
    machine.at(HOME / "agent.toml").unlink()
    assert finding(service(machine).verify(), "settings").status == "WARN"


def test_each_platform_has_its_own_part() -> None:
    assert service_of(ServiceWish(), platform="linux").name == "cloud-connect"
    with pytest.raises(ConfigurationError, match=r"docs/macos\.md"):
        service_of(ServiceWish(), platform="darwin")
