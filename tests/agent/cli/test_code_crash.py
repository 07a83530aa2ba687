"""Refreshes that are cut off: by a kill, by a lost answer, by another process."""

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.cli.conftest import Cli, run
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.vault import open_vault
from doubles.browser_login import ENVIRONMENT, Logins, approve
from doubles.simulator_process import COMPANY, Simulator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

HERE = ("--environment", ENVIRONMENT)
CODE = ("procore", "login", *HERE, "--grant", "authorization-code")


def expire(home: Path) -> None:
    """End the access token, as time does."""

    async def change() -> None:
        async with open_vault(AgentPaths.of(home)) as vault:
            name = f"procore-token/{ENVIRONMENT}"
            document = json.loads(await vault.get(name) or b"{}")
            await vault.put(name, json.dumps({**document, "expires_at": 1.0}).encode())

    asyncio.run(change())


def test_processes_at_once_on_one_vault_present_a_refresh_token_once(
    login_on: Logins, home: Path, person: str, procore: Simulator
) -> None:
    assert person
    login = login_on()
    approve(login.url())
    assert login.end().status == 0
    expire(home)
    before = Counter(procore.counters())
    with ThreadPoolExecutor(3) as pool:
        tests = [pool.submit(run, home, "test", "--company", str(COMPANY), *HERE) for _ in range(3)]
    assert [one.result().status for one in tests] == [0, 0, 0]
    after = Counter(procore.counters())
    assert after["refreshes"] - before["refreshes"] == 1
    assert after["refreshes_refused"] == before["refreshes_refused"]


KILLED = """
import asyncio, os, signal, sys
from cloud_connect.calls import Environment
from cloud_connect_agent.config_file import change_settings
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.procore.client import ProcoreClient
from cloud_connect_agent.settings import load_settings
from cloud_connect_agent.vault import EncryptedVault, KeyFile
from pathlib import Path

class Dying(EncryptedVault):
    left = int(sys.argv[2])

    async def put(self, name, value):
        self.step()
        await super().put(name, value)
        self.step()

    def step(self):
        if not Dying.left:
            os.kill(os.getpid(), signal.SIGKILL)
        Dying.left -= 1

async def main():
    paths = AgentPaths.of(Path(sys.argv[1]))
    vault = Dying(folder=paths.vault_dir, keys=KeyFile(paths.vault_key_file))
    async with ProcoreClient.open(load_settings(paths.config_file).procore, vault) as client:
        await client.authenticator.token(Environment.DEVELOPER_SANDBOX)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("step", "presented"),
    [(0, 0), (1, 0), (2, 1), (3, 1)],
    ids=["before-the-mark", "after-the-mark", "after-the-answer", "after-the-new-pair"],
)
def test_a_process_killed_at_a_step_of_the_refresh_loses_no_more_than_it_must(
    login_on: Logins,
    cli: Cli,
    home: Path,
    person: str,
    procore: Simulator,
    *,
    step: int,
    presented: int,
) -> None:
    assert person
    login = login_on()
    approve(login.url())
    assert login.end().status == 0
    expire(home)
    before = Counter(procore.counters())
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(home), str(step)], check=False, timeout=30
    )
    assert killed.returncode == -signal.SIGKILL
    assert Counter(procore.counters())["refreshes"] - before["refreshes"] == presented
    tests = [cli("test", "--company", str(COMPANY), *HERE) for _ in range(3)]
    after = Counter(procore.counters())
    refused = after["refreshes_refused"] - before["refreshes_refused"]
    if step == 2:  # Procore has rotated, and nobody has the new pair: only a person helps
        assert [one.status for one in tests] == [5, 5, 5]
        assert "procore login" in tests[0].output
        assert refused == 1
    else:
        assert [one.status for one in tests] == [0, 0, 0]
        assert refused == 0
        assert after["refreshes"] - before["refreshes"] == 1


def test_an_answer_that_is_lost_is_asked_for_once_more_and_then_by_a_person(
    login_on: Logins, cli: Cli, home: Path, person: str, procore: Simulator
) -> None:
    assert person
    login = login_on()
    approve(login.url())
    assert login.end().status == 0
    expire(home)
    before = Counter(procore.counters())
    procore.fault(
        {"kind": "drop"}, origin="login", path="/oauth/token", after_execute=True, times=1
    )
    first, *others = [cli("test", "--company", str(COMPANY), *HERE) for _ in range(4)]
    assert first.status == 5
    assert [one.status for one in others] == [5, 5, 5]
    after = Counter(procore.counters())
    assert after["refreshes"] - before["refreshes"] == 1
    assert after["refreshes_refused"] - before["refreshes_refused"] == 1
    login = login_on()
    approve(login.url())
    assert login.end().status == 0
    assert cli("test", "--company", str(COMPANY), *HERE).status == 0
