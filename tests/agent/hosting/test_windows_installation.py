from pathlib import Path, PureWindowsPath

import pytest

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.hosting.service import ServiceWish
from cloud_connect_agent.hosting.windows_installation import (
    program_of,
    service_home,
    windows_service,
)

INSTALLED = PureWindowsPath(r"C:\Program Files\Cloud Connect")


def test_files_of_a_service_are_where_all_users_files_are() -> None:
    environ = {"PROGRAMDATA": "D:\\Data", "ProgramFiles": "C:\\Program Files"}
    assert service_home(None, environ) == PureWindowsPath("D:\\Data\\CloudConnect")
    assert service_home("b", environ) == PureWindowsPath("D:\\Data\\CloudConnect-b")
    assert service_home(None, {}) == PureWindowsPath("C:\\ProgramData\\CloudConnect")


@pytest.mark.parametrize(
    "executable", [INSTALLED / "cloud-connect.exe", INSTALLED / "python" / "python.exe"]
)
def test_windows_starts_our_launcher_where_there_is_one(executable: PureWindowsPath) -> None:
    launcher = INSTALLED / "cloud-connect-service.exe"
    assert program_of(executable, lambda path: path == launcher) == launcher
    assert program_of(executable, lambda _: False) == executable


def test_a_second_service_has_a_folder_of_its_own_though_the_first_ones_is_set() -> None:
    first = Path("C:\\ProgramData\\CloudConnect")
    plan = windows_service(ServiceWish(instance="b", home=first)).installation()
    assert "C:\\ProgramData\\CloudConnect-b" in plan.steps[0].sentence
    elsewhere = windows_service(ServiceWish(instance="b", home=Path("D:\\b"))).installation()
    assert elsewhere.steps[0].sentence.endswith("into D:\\b")


def test_a_folder_without_its_full_path_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no full path"):
        windows_service(ServiceWish(home=Path("relative")))


def test_who_would_adopt_an_agent_is_told_the_commands_that_move_it() -> None:
    with pytest.raises(ConfigurationError) as refused:
        windows_service(ServiceWish(instance="b", adopt=Path("C:\\old")))
    commands = refused.value.message.split("`")[1::2]
    assert commands == [
        'cloud-connect --home "C:\\old" backup -o FILE',
        "cloud-connect service install --name b",
        'cloud-connect --home "C:\\ProgramData\\CloudConnect-b" restore FILE',
    ]
