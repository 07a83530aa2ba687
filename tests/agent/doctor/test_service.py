"""The service: what a machine's service manager says of it, and what this machine's says."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_connect.services import ServiceBackend
from cloud_connect_agent.doctor import Case, Code, Finding, Status
from cloud_connect_agent.hosting.service import ServiceWish
from doubles.agent_service import HOME, enrol, install, service
from doubles.examined import examined
from doubles.service_machine import FolderMachine, folder_machine

NAME = "cloud-connect"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[FolderMachine]:
    with folder_machine(tmp_path) as made:
        yield made


async def found(machine: FolderMachine, home: Path = HOME) -> Finding:
    def on_it(wish: ServiceWish) -> ServiceBackend:
        return service(machine, wish)

    def prepare(case: Case) -> None:
        case.service = on_it

    return (await examined(home, "service", prepare=prepare))["service"]


async def test_agent_without_a_service_is_told_how_to_install_one(machine: FolderMachine) -> None:
    finding = await found(machine)
    assert finding.code is Code.NO_SERVICE
    assert finding.status is Status.WARN
    assert "service install" in finding.fix


async def test_service_that_runs_at_boot_passes_and_what_is_wrong_with_it_is_told_apart(
    machine: FolderMachine,
) -> None:
    enrol(machine)
    install(machine)
    finding = await found(machine)
    assert finding.status is Status.PASS
    assert f"runs as {NAME}, and starts with the machine" in finding.cause

    machine.enabled.clear()
    assert (await found(machine)).code is Code.SERVICE_NOT_AT_BOOT

    machine.states.pop(NAME)
    assert (await found(machine)).code is Code.SERVICE_STOPPED

    machine.states[NAME], machine.last_line = "failed", "Error: The setting relay is wrong."
    finding = await found(machine)
    assert finding.code is Code.SERVICE_FAILS
    assert "The setting relay is wrong." in finding.cause


async def test_service_of_another_folder_is_not_taken_for_this_agents(
    machine: FolderMachine, tmp_path: Path
) -> None:
    enrol(machine)
    install(machine)
    finding = await found(machine, tmp_path / "elsewhere")
    assert finding.code is Code.NO_SERVICE
    assert "/var/lib/cloud-connect, not here" in finding.cause


async def test_one_of_several_is_found_by_its_folder(machine: FolderMachine) -> None:
    second = HOME.with_name("cloud-connect-two")
    enrol(machine, second)
    install(machine, ServiceWish(instance="two", seal_vault="no"))
    finding = await found(machine, second)
    assert finding.status is Status.PASS
    assert "cloud-connect-two" in finding.cause
    machine.states.clear()
    assert "service start --name two" in (await found(machine, second)).fix


async def test_machine_without_a_service_manager_is_no_fault(tmp_path: Path) -> None:
    finding = (await examined(tmp_path, "service"))["service"]
    assert finding.status is Status.WARN
    assert finding.code is Code.NO_SERVICE
