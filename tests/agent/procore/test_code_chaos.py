"""Crashes and lost answers in any order: a refresh token never goes out where it must not."""

import json
import random
from contextlib import suppress

import pytest

from cloud_connect.errors import CloudConnectError, SignInRequiredError
from doubles.fake_procore import SANDBOX, FakeProcore, MemoryVault, Reply, Seen
from doubles.rotating_login import GRANT_NAME, RotatingLogin, sign_in_by_code
from doubles.signing_in import Clocks, opened


class CrashError(Exception):
    """The process dies here."""


class MortalVault(MemoryVault):
    """A vault whose process dies at the step it is told, before or after a write."""

    def __init__(self) -> None:
        super().__init__()
        self.steps_left: int | None = None

    async def put(self, name: str, value: bytes) -> None:
        self._step()
        await super().put(name, value)
        self._step()

    def _step(self) -> None:
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left < 0:
                self.steps_left = None
                raise CrashError


class Judge:
    """Procore's side: looks at each presentation when it happens.

    Attributes:
        faults: What went against the protocol.
        judged: Presentations of refresh tokens.
    """

    def __init__(self, login: RotatingLogin, vault: MortalVault, clocks: Clocks) -> None:
        self.login, self.vault, self.clocks = login, vault, clocks
        self.faults: list[str] = []
        self.judged = 0

    def __call__(self, seen: Seen) -> Reply:
        reply = self.login._login(seen)
        form = self.login.forms[-1]
        if seen.target.endswith("/oauth/token") and "refresh_token" in form:
            self._judge(form["refresh_token"])
        return reply

    def _judge(self, secret: str) -> None:
        self.judged += 1
        kept = json.loads(self.vault.secrets[GRANT_NAME])
        times = self.login.presented[secret]
        if kept["refresh_token"] != secret or kept["phase"] not in {"refreshing", "last_attempt"}:
            self.faults.append(f"{secret} went out without a durable mark")
        if times == 2 and kept["expires_at"] > self.clocks.wall:
            self.faults.append(f"{secret} went out again before the access token ended")
        if times > 2:
            self.faults.append(f"{secret} went out {times} times")


@pytest.mark.parametrize("seed", range(60))
async def test_any_order_of_crashes_and_lost_answers_keeps_the_protocol(
    procore: FakeProcore, seed: int
) -> None:
    dice = random.Random(seed)
    vault, clocks, login = MortalVault(), Clocks(), RotatingLogin().on(procore)
    vault.store_app()
    procore.login.default = judge = Judge(login, vault, clocks)
    async with opened(procore, vault, clocks) as authenticator:
        await sign_in_by_code(authenticator)
    for _ in range(6):
        vault.steps_left = dice.choice([None, None, 0, 1, 2, 3])
        login.reaches = dice.random() < 0.5
        login.faults = [Reply(drop=True)] if dice.random() < 0.4 else []
        async with opened(procore, vault, clocks) as authenticator:
            for _ in range(dice.randrange(1, 4)):
                clocks.advance(dice.choice([10, 1000, 4500, 6000]))
                with suppress(CloudConnectError, CrashError):
                    token = await authenticator.token(SANDBOX)
                    if dice.random() < 0.3:
                        await authenticator.renew(token)
    vault.steps_left, login.faults = None, []
    async with opened(procore, vault, clocks) as authenticator:
        clocks.advance(6000)
        with suppress(CloudConnectError):
            await authenticator.token(SANDBOX)
        asked = len(login.forms)
        for _ in range(10):  # it works, or a person is asked for: nothing goes round in circles
            with suppress(SignInRequiredError):
                await authenticator.token(SANDBOX)
        assert len(login.forms) == asked
        (grant,) = await authenticator.grants()
        assert grant.state in {"ready", "sign_in_required"}
        await sign_in_by_code(authenticator, "code-2")
        assert (await authenticator.grants())[0].state == "ready"
    assert not judge.faults
    assert all(times == 1 for secret, times in login.presented.items() if "code" in secret)
    # Two crashes between a mark and its request spend both attempts without a presentation.
    assert judge.judged or grant.state == "sign_in_required"
