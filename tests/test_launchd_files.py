"""The files for launchd: property lists that say what systemd's units say. No Mac was there."""

import plistlib
from pathlib import Path
from typing import Any

import pytest

MACOS = Path(__file__).parent.parent / "service" / "macos"
FILES = sorted(MACOS.glob("*.plist"))
# Keys of launchd.plist(5): a mistyped one is ignored by launchd, silently.
KNOWN = {
    "EnvironmentVariables",
    "ExitTimeOut",
    "GroupName",
    "HardResourceLimits",
    "KeepAlive",
    "Label",
    "ProcessType",
    "ProgramArguments",
    "RunAtLoad",
    "StandardErrorPath",
    "ThrottleInterval",
    "Umask",
    "UserName",
}


def read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = plistlib.loads(file.read_bytes(), fmt=plistlib.FMT_XML)
    return found


def test_there_is_one_for_a_person_and_one_for_the_machine() -> None:
    assert [file.name for file in FILES] == [
        "cloud-connect.agent.plist",
        "cloud-connect.daemon.plist",
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_file_is_named_as_its_label_and_has_known_keys_only(file: Path) -> None:
    document = read(file)
    assert document["Label"] == file.stem
    assert set(document) <= KNOWN


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_file_runs_the_agent_and_restarts_it(file: Path) -> None:
    document = read(file)
    assert document["ProgramArguments"][0].endswith("/bin/cloud-connect")
    assert document["ProgramArguments"][-1] == "run"
    assert document["KeepAlive"] == {"SuccessfulExit": False}
    assert document["ExitTimeOut"] > 25  # what the running calls may take
    assert document["Umask"] == 0o077
    assert document["HardResourceLimits"] == {"Core": 0}  # a dump would hold secrets


def test_the_machines_one_has_an_account_of_its_own_and_no_say_in_its_policy() -> None:
    document = read(MACOS / "cloud-connect.daemon.plist")
    assert document["UserName"] == "_cloudconnect"
    assert document["EnvironmentVariables"]["CLOUD_CONNECT_POLICY__OWNER"] == "administrator"
    assert "--home" in document["ProgramArguments"]
