"""The relay's service for systemd, on a machine that is a folder."""

import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_connect.errors import ConfigurationError
from cloud_connect.services import Verb
from cloud_connect.services.systemd import SystemdService
from cloud_connect_relay.hosting.service import RelayWish, relay_service
from doubles.service_machine import FolderMachine, folder_machine, program_in
from doubles.tools import tool

HOME = Path("/var/lib/cloud-connect-relay")
UNIT = Path("/etc/systemd/system/cloud-connect-relay.service")
COMMAND = Path("/usr/local/bin/cloud-connect-relay")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[FolderMachine]:
    with folder_machine(tmp_path) as made:
        yield made


def service(machine: FolderMachine, wish: RelayWish | None = None) -> SystemdService:
    program = program_in(machine.opt, "cloud-connect-relay")
    return relay_service(wish or RelayWish(), host=machine, program=program)


def install(machine: FolderMachine, wish: RelayWish | None = None) -> list[str]:
    plan = service(machine, wish).installation()
    assert plan.refusals == []
    return list(plan.carry_out())


def started(machine: FolderMachine) -> str:
    """Return what the unit runs."""
    lines = machine.at(UNIT).read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("ExecStart=")]
    return line.split("/bin/cloud-connect-relay ")[1]


def initialise(machine: FolderMachine) -> None:
    (machine.at(HOME) / "relay.key").write_text("k")


def test_a_relay_is_installed_once_and_says_what_comes_next(machine: FolderMachine) -> None:
    install(machine)
    account = machine.account("cloud-connect-relay")
    assert account is not None
    facts = machine.at(HOME).stat()
    assert (facts.st_uid, stat.S_IMODE(facts.st_mode)) == (account.uid, 0o700)
    assert started(machine) == f"serve --data-dir {HOME} --port 8080 --tunnel-port 8081"
    assert machine.states == {}
    before = machine.snapshot()
    assert install(machine) == []
    assert machine.snapshot() == before
    (advice,) = service(machine).installation().notes
    assert "cloud-connect-relay init\n" in advice
    with pytest.raises(ConfigurationError, match="init"):
        service(machine).control(Verb.START)


def test_without_a_store_it_stays_inactive_and_says_why(machine: FolderMachine) -> None:
    install(machine, RelayWish(home=Path("/srv/relay/data")))
    text = machine.at(UNIT).read_text()
    assert "\nConditionPathExists=|/srv/relay/data/relay.key\n" in text
    assert "\nConditionFileNotEmpty=|/srv/relay/data/relay.sqlite3\n" in text
    status = service(machine).status()
    assert status.state == "stopped"
    assert status.says == "Not initialised: run `cloud-connect-relay init`."


def test_options_of_an_earlier_installation_stay(machine: FolderMachine) -> None:
    flags = ("--port", "9000", "--public-url", "https://relay.example.com")
    install(machine, RelayWish(flags=flags))
    assert started(machine).endswith("--port 9000 --public-url https://relay.example.com")
    assert install(machine) == []
    install(machine, RelayWish(flags=("--port", "9001")))
    assert started(machine).endswith("--port 9001")
    with pytest.raises(ConfigurationError, match="value"):
        service(machine, RelayWish(flags=("--public-url", "https://a b")))


def test_a_store_that_root_made_is_given_to_the_relay_before_it_starts(
    machine: FolderMachine,
) -> None:
    install(machine)
    initialise(machine)
    done = service(machine).control(Verb.START)
    assert done == [f"Give the files in {HOME} to cloud-connect-relay"]
    assert machine.states == {"cloud-connect-relay": "active"}
    assert {one.status for one in service(machine).verify()} == {"PASS"}
    assert "readyz" in service(machine).installation().notes[0]


def test_verify_names_what_is_missing(machine: FolderMachine) -> None:
    install(machine)
    machine.at(HOME).chmod(0o777)
    found = {one.name: one for one in service(machine).verify()}
    assert found["folder"].status == "FAIL"
    assert found["store"].status == "WARN"


def test_a_folder_of_ones_own_is_remembered(machine: FolderMachine) -> None:
    install(machine, RelayWish(home=Path("/srv/relay/data")))
    assert "ReadWritePaths=/srv/relay/data\n" in machine.at(UNIT).read_text()
    assert install(machine) == []
    with pytest.raises(ConfigurationError, match="data-dir"):
        service(machine, RelayWish(home=Path("/root/relay")))


def test_uninstalling_leaves_nothing(machine: FolderMachine) -> None:
    before = machine.snapshot()
    install(machine)
    initialise(machine)
    plan = service(machine).removal(purge=True)
    assert plan.notes
    list(plan.carry_out())
    assert machine.snapshot() == before


def test_the_command_is_a_script_that_shells_understand(machine: FolderMachine) -> None:
    install(machine)
    script = machine.at(COMMAND)
    checked = subprocess.run(
        [tool("sh"), "-n", str(script)], capture_output=True, text=True, timeout=10, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "@" not in script.read_text().replace('"$@"', "")
