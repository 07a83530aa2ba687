import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_connect.services import trust
from cloud_connect.services.programs import this_program
from cloud_connect.services.trust import Program, hidden_from_services, program_faults
from doubles.service_machine import installed_folder, program_in


@pytest.fixture
def program() -> Iterator[Program]:
    """An installation that is as it should be."""
    with installed_folder() as folder:
        made = program_in(folder, "cloud-connect")
        (folder / "bin" / "python").symlink_to("/usr/bin/env")
        yield replace(made, interpreter=made.interpreter.resolve())


def test_an_installation_of_root_is_trusted(program: Program) -> None:
    assert program_faults(program) == []


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_a_folder_on_the_way_that_others_can_write_is_named_with_the_fix(
    program: Program, mode: int
) -> None:
    os.chown(program.file.parent, 0, 12)
    program.file.parent.chmod(mode)
    (fault,) = program_faults(program)
    assert f"chown -R root:root {program.file.parent}" in fault


def test_a_module_of_somebody_else_is_named(program: Program) -> None:
    module = program.folders[0] / "lib.py"
    module.write_text("")
    os.chown(module, 12, 0)
    (fault,) = program_faults(program)
    assert str(module) in fault
    assert f"chmod -R go-w {program.folders[0]}" in fault


def test_a_shared_folder_whose_files_stay_their_owners_is_no_fault(program: Program) -> None:
    program.file.parent.chmod(0o1777)
    assert program_faults(program) == []


def test_a_program_that_the_services_account_cannot_read_is_named(program: Program) -> None:
    program.file.chmod(0o700)
    (fault,) = program_faults(program)
    assert f"chmod a+rX {program.file}" in fault
    program.file.chmod(0o755)
    program.file.parent.chmod(0o700)
    (fault,) = program_faults(program)
    assert f"chmod a+rX {program.file.parent}" in fault


def test_a_program_that_is_not_there_is_named(program: Program) -> None:
    program.file.unlink()
    (fault,) = program_faults(program)
    assert "There is no program" in fault


def test_what_the_unit_hides_cannot_be_run() -> None:
    hidden = Program(file=Path("/home/a/.venv/bin/x"), folders=(), interpreter=Path("/root/python"))
    faults = program_faults(hidden)
    assert any("/home/a" in fault for fault in faults)
    assert any("/root/python" in fault for fault in faults)
    assert not hidden_from_services(Path("/opt/home"))


def test_the_installation_that_runs_is_the_one_that_is_installed() -> None:
    found = this_program("cloud-connect", "cloud_connect_agent", "no_such_package_of_ours")
    assert found.file.name == "cloud-connect"
    assert found.file.is_file()
    assert found.interpreter.is_file()
    loaded = Path(trust.__file__)
    assert any(loaded.is_relative_to(folder) for folder in found.folders)
