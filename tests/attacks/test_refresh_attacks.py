"""Refresh tokens that work once, while processes die, answers get lost and others race."""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.errors import SignInRequiredError, SourceUnavailableError
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.procore import login as login_module
from cloud_connect_agent.procore.tokens import AppCredentials, StoredToken
from cloud_connect_agent.vault import open_vault
from doubles.fake_procore import SANDBOX, FakeProcore, MemoryVault, Reply
from doubles.hostile_relay import open_siege
from doubles.program import TESTS, Program, command
from doubles.rotating_login import GRANT_NAME, RotatingLogin, sign_in_by_code, stored
from doubles.signing_in import Clocks, opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

LIFE = 5400.0
KILLS = 100
APP = AppCredentials.model_validate({"client_id": "app-1", "client_secret": "s3cret"})


class Lives:
    """The process that refreshes and dies, see :mod:`doubles.dying_refresh`."""

    def __init__(self, process: asyncio.subprocess.Process, procore: FakeProcore) -> None:
        self._process = process
        self._urls = {"api": procore.api.url, "login": procore.login.url}

    async def __call__(self, home: Path, **told: int) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"home": str(home), **self._urls, **told}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        async with asyncio.timeout(30):
            line = await self._process.stdout.readline()
        said: dict[str, Any] = json.loads(line)
        return said


@asynccontextmanager
async def lives(procore: FakeProcore) -> AsyncIterator[Lives]:
    process = await asyncio.create_subprocess_exec(
        *command("doubles.dying_refresh", ()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    try:
        yield Lives(process, procore)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(20):
            await process.wait()


async def signed_in(home: Path, refresh_token: str, *, ended: bool) -> None:
    """Leave behind what signing in by code would have, some time ago."""
    left = -10.0 if ended else LIFE * 0.1  # ended, or to be renewed while it still holds
    grant = StoredToken.model_validate(
        {
            "grant": "authorization-code",
            "client_id": APP.client_id,
            "app_mark": APP.mark,
            "access_token": f"access-of-{refresh_token}",
            "refresh_token": refresh_token,
            "expires_at": time.time() + left,
            "lifetime": LIFE,
        }
    )
    app = {"client_id": "app-1", "client_secret": "s3cret"}
    async with open_vault(AgentPaths.of(home)) as vault:
        await vault.put(f"procore-app/{SANDBOX.flag}", json.dumps(app).encode())
        await vault.put(GRANT_NAME, grant.dump())


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder whose syncs cost nothing: a killed process loses no page that it has written."""
    place = Path("/dev/shm")  # noqa: S108 - a folder of our own in it
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None) as folder:
        yield Path(folder)


@pytest.mark.catalogue("T113")
async def test_a_hundred_kills_in_a_refresh_lose_no_grant_that_could_be_kept(
    in_memory: Path,
) -> None:
    login = RotatingLogin()
    async with FakeProcore().serve() as procore, lives(procore) as live:
        login.on(procore)
        login._live.add("warming-refresh")
        await signed_in(in_memory / "warm", "warming-refresh", ended=True)
        assert (await live(in_memory / "warm", warm=1))["answers"][0]["came"] == "access-1"
        killed, worked, person, rescued = 0, 0, 0, 0
        step, ended = -1, True
        for number in range(KILLS * 2):
            step += 1
            refresh_token, home = f"seeded-refresh-{number}", in_memory / f"home-{number}"
            login._live.add(refresh_token)
            await signed_in(home, refresh_token, ended=ended)
            first = await live(home, die_at=step)
            if not first["killed"]:  # all steps were tried: begin again, at another age
                step, ended = -1, not ended
                continue
            killed += 1
            presented = login.presented[refresh_token]
            assert presented <= 1
            after = await live(home, ask=8)  # far more often than there is a reason to
            assert not after["killed"]
            answers = [one["came"] for one in after["answers"]]
            assert max(one["seconds"] for one in after["answers"]) <= 10
            if ended:
                assert login.presented[refresh_token] <= 2
                rescued += login.presented[refresh_token] == 2
                fine = answers[-1].startswith("access-")
                assert fine or answers[1:] == ["sign_in_required"] * 7, (step, answers)
                worked, person = worked + fine, person + (not fine)
            else:
                # What still holds is used to its end, and the token is not shown again before.
                assert all(one.startswith("access-") for one in answers), (step, answers)
                assert login.presented[refresh_token] <= max(presented, 1)
                worked += 1
            if killed == KILLS:
                break
        print(  # noqa: T201
            f"T113: {killed} kills; {worked} went on, {person} need a person, "
            f"{rescued} presented twice"
        )
        assert killed == KILLS
        assert worked > person
        assert max(login.presented.values()) <= 2


@pytest.mark.catalogue("T114")
@pytest.mark.parametrize(
    ("fault", "answered"),
    [
        (Reply(drop=True), False),
        (Reply(status=500, body={"error": "boom"}), False),
        (Reply(body={"access_token": "half"}, cut=5), False),
        (Reply(delay=5, body={}), False),
        (Reply(delay=2.5, body={"access_token": "late", "refresh_token": "late-refresh"}), True),
    ],
    ids=["lost", "500", "cut", "later-than-the-limit", "just-in-time"],
)
async def test_an_answer_that_does_not_come_costs_one_presentation_until_the_token_ends(
    fault: Reply, monkeypatch: pytest.MonkeyPatch, *, answered: bool
) -> None:
    monkeypatch.setattr(login_module, "_REQUEST_TIMEOUT", 4.0)  # for 30
    clocks, vault = Clocks(), MemoryVault()
    vault.store_app()
    async with FakeProcore().serve() as procore:
        login = RotatingLogin().on(procore)
        async with opened(procore, vault, clocks) as authenticator:
            await sign_in_by_code(authenticator)
            clocks.advance(LIFE * 0.85)
            login.faults.append(fault)
            token = await authenticator.token(SANDBOX)
            if answered:
                assert token.header == b"Bearer late"
                assert stored(vault)["refresh_token"] == "late-refresh"
                return
            for _ in range(3):  # what is held goes on, and nothing is sent again
                assert (await authenticator.token(SANDBOX)).header == b"Bearer access-1"
                clocks.advance(60)
            assert login.presented["refresh-1"] == 1
            assert (await authenticator.grants())[0].state == "at_risk"
            clocks.advance(LIFE)
            for _ in range(5):
                with pytest.raises((SignInRequiredError, SourceUnavailableError)):
                    await authenticator.token(SANDBOX)
            assert login.presented["refresh-1"] == 2


@pytest.mark.catalogue("T115")
async def test_two_agents_on_one_state_directory_are_one_agent_and_one_refresh(
    tmp_path: Path,
) -> None:
    login = RotatingLogin()
    async with FakeProcore().serve() as procore, lives(procore) as one, lives(procore) as other:
        login.on(procore)
        for number in range(5):
            home, refresh_token = tmp_path / f"home-{number}", f"shared-refresh-{number}"
            login._live.add(refresh_token)
            await signed_in(home, refresh_token, ended=True)
            async with asyncio.TaskGroup() as tasks:
                both = [tasks.create_task(each(home, ask=2)) for each in (one, other)]
            came = {answer["came"] for each in both for answer in each.result()["answers"]}
            assert len(came) == 1, came
            assert came.pop().startswith("access-")
            assert login.presented[refresh_token] == 1
    async with open_siege(tmp_path) as siege:
        await siege.relay.link()  # the first one runs
        second = Program(
            "cloud_connect_agent",
            *("run", "--home", str(siege.agent.home)),
            log=tmp_path / "second.log",
            says_ready=False,
        )
        await second.start()
        assert await second.ended(within=30) != 0
        assert "already running" in second.last_words()
        assert siege.agent.program.alive
