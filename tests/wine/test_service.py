"""The service without the package: what Windows is told, what it tells, and that it keeps to it.

Wine keeps image, account, title, description, start, shutdown time, environment and event source.
It knows neither the other settings nor access lists, so nothing of those is claimed here. The tests
of this file are one story, in this order.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from doubles.wine import Said, Wine

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]

NAME: Final = "CloudConnect-site-2"
HOME: Final = "C:\\ProgramData\\CloudConnect-site-2"
KEPT_BY_WINE: Final = {
    *("image", "account", "title", "description", "start"),
    *("shutdown time", "environment", "event log", "program"),
}
UNKNOWN_TO_WINE: Final = {
    *("delayed start", "recovery", "recovery on exit", "service SID", "privileges"),
}
# Belongs to a relay that nobody runs: what is looked at here needs none.
ENROL: Final = f"""
import asyncio, pathlib
from cloud_connect_agent.config_file import change_settings
from cloud_connect_agent.identity import AgentKeys, Generation
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.vault import open_vault

paths = AgentPaths.of(pathlib.Path({HOME!r}))
paths.create()

async def enrol():
    async with open_vault(paths) as vault:
        keys = AgentKeys(vault)
        await keys.adopt(await keys.candidate())
    await Generation(paths.generation_file).store(1)

asyncio.run(enrol())
change_settings(paths, {{
    ("relay", "url"): "http://127.0.0.1:9",
    ("relay", "tunnel_url"): "ws://127.0.0.1:9/tunnel",
    ("relay", "connector_id"): "con_1",
    ("relay", "relay_id"): "rel_1",
    ("relay", "relay_public_key"): "_TPdZ_gpPVVE1kJY5udNrW0jZrZ2Uyqe8m2XdmHjHVM",
}})
"""
PARAMETERS: Final = f"""
import win32service as api

manager = api.OpenSCManager(None, None, api.SC_MANAGER_CONNECT)
service = api.OpenService(manager, {NAME!r}, api.SERVICE_ALL_ACCESS)
api.ControlService(service, 6)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The program, put somewhere by hand."""

    wine: Wine
    folder: Path

    def __call__(self, *words: str) -> Said:
        return self.wine.run(self.folder / "cloud-connect.exe", *words, within=90)

    def service(self, *words: str) -> Said:
        return self("service", *words, "--name", "site-2")

    def python(self, script: str) -> Said:
        return self.wine.run(self.folder / "python/python.exe", "-I", "-c", script)

    def verified(self) -> dict[str, Any]:
        checks = json.loads(self.service("verify", "--json").output)["checks"]
        return {check["name"]: check["status"] for check in checks}


@pytest.fixture(scope="module")
def program(app: Path, wine: Wine) -> Iterator[Program]:
    folder = wine.drive / "by hand"  # with a space, as every usual place has
    shutil.copytree(app, folder)
    made = Program(wine=wine, folder=folder)
    yield made
    made.service("uninstall", "--purge", "--yes")


def test_windows_keeps_what_it_is_told_and_tells_it_again(program: Program) -> None:
    assert "to do" in program.service("install", "--dry-run").checked().output
    assert "not installed" in program.service("status").output
    program.service("install").checked()
    found = program.verified()
    assert {name for name, status in found.items() if status == "PASS"} == KEPT_BY_WINE
    assert {name for name, status in found.items() if status == "WARN"} == UNKNOWN_TO_WINE
    key = f"HKLM\\System\\CurrentControlSet\\Services\\{NAME}"
    told = program.wine.run("reg", "query", key).checked().output
    assert f'"C:\\by hand\\cloud-connect-service.exe" --name {NAME} --home "{HOME}"' in told
    assert f"NT SERVICE\\{NAME}" in told


def test_a_second_installation_sets_again_only_what_wine_forgets(program: Program) -> None:
    told = program.service("install").checked().output
    assert "Register" not in told
    assert "Set image" not in told


def test_an_agent_that_is_not_enrolled_is_not_started(program: Program) -> None:
    said = program.service("start")
    assert said.status != 0
    assert "enrol" in said.errors


def test_it_starts_answers_on_its_pipe_and_reloads(program: Program) -> None:
    program.python(ENROL).checked()
    program.service("start").checked()
    assert json.loads(program.service("status", "--json").checked().output)["running"]
    status = json.loads(program("status", "--home", HOME, "--json").output)
    assert status["state"] in {"connecting", "offline"}
    program.python(PARAMETERS).checked()
    log = program.wine.drive / "ProgramData/CloudConnect-site-2/logs/agent.log"
    program.wine.until(
        lambda: '"event":"reloaded"' in log.read_text(), within=30, what="reload in the log"
    )


def test_a_second_agent_on_the_same_folder_is_refused(program: Program) -> None:
    said = program("run", "--home", HOME)
    assert said.status != 0
    assert "already running" in said.errors


def test_it_stops_in_order(program: Program) -> None:
    program.service("stop").checked()
    said = program.service("status")
    assert "stopped" in said.output
    log = program.wine.drive / "ProgramData/CloudConnect-site-2/logs/agent.log"
    assert '"in_order":true' in log.read_text().splitlines()[-1]


def test_a_person_who_starts_the_services_program_is_told_what_to_run(program: Program) -> None:
    words = ("--name", NAME, "--home", HOME)
    said = program.wine.run(program.folder / "cloud-connect-service.exe", *words)
    assert said.status == 2
    assert "cloud-connect service start" in said.errors


def test_it_goes_and_leaves_its_files_unless_they_shall_go_too(program: Program) -> None:
    home = program.wine.drive / "ProgramData/CloudConnect-site-2"
    program.service("uninstall").checked()
    assert "not installed" in program.service("status").output
    assert (home / "agent.toml").exists()
    program.service("uninstall", "--purge", "--yes").checked()
    assert not home.exists()
