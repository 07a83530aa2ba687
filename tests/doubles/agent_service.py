"""The agent's service on a machine that is a folder: installed, enrolled, and looked at."""

import configparser
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from cloud_connect.services import Finding
from cloud_connect.services.systemd import SystemdService
from cloud_connect_agent.hosting.service import ServiceWish
from cloud_connect_agent.hosting.systemd_service import systemd_service
from doubles.service_machine import FolderMachine, program_in

__all__ = [
    "COMMAND",
    "ENROLLED",
    "HOME",
    "UNIT",
    "enrol",
    "facts",
    "finding",
    "install",
    "service",
    "unit",
]

ENROLLED = """\
[relay]
url = "https://relay.example.com"
tunnel_url = "wss://relay.example.com/tunnel"
connector_id = "con_1"
"""
UNIT = Path("/etc/systemd/system/cloud-connect.service")
HOME = Path("/var/lib/cloud-connect")
COMMAND = Path("/usr/local/bin/cloud-connect")


def service(machine: FolderMachine, wish: ServiceWish | None = None) -> SystemdService:
    program = program_in(machine.opt, "cloud-connect")
    return systemd_service(wish or ServiceWish(seal_vault="no"), host=machine, program=program)


def install(machine: FolderMachine, wish: ServiceWish | None = None) -> list[str]:
    plan = service(machine, wish).installation()
    assert plan.refusals == []
    return list(plan.carry_out())


def enrol(machine: FolderMachine, home: Path = HOME, text: str = ENROLLED) -> None:
    """Leave behind what enrolling does, as the account of the folder."""
    found = machine.at(home)
    found.mkdir(parents=True, exist_ok=True)
    account = machine.account(home.name)
    for name in ("agent.toml", "policy.toml"):
        (found / name).write_text(text if name == "agent.toml" else "")
        if account is not None:
            os.chown(found / name, account.uid, account.gid)


def unit(machine: FolderMachine, path: Path = UNIT) -> configparser.SectionProxy:
    parsed = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    parsed.optionxform = str  # type: ignore[assignment, method-assign]  # as its documentation says
    parsed.read_string(machine.at(path).read_text())
    return parsed["Service"]


def facts(machine: FolderMachine, path: Path) -> tuple[int, int, int]:
    found = machine.at(path).lstat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def finding(findings: Sequence[Finding], name: str) -> Finding:
    (found,) = [one for one in findings if one.name == name]
    return found
