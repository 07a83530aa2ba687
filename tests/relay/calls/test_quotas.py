import asyncio
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect.calls import Operation
from cloud_connect_relay.calls.over_quota import OverQuotaError
from cloud_connect_relay.calls.quotas import Quotas
from cloud_connect_relay.quota import NO_QUOTA, Quota
from cloud_connect_relay.storage.subscriptions import Subscriptions
from doubles.call_relay import CallRelay, call_relay
from doubles.relay_node import NOW, PASSWORD
from doubles.scripted_agent import ScriptedAgent, hang


class Ticks:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def bounded(*, subscription: Quota = NO_QUOTA, key: Quota = NO_QUOTA) -> tuple[Quotas, Ticks]:
    ticks = Ticks()
    quotas = Quotas(max_running=1024, clock=ticks)
    quotas.learn("sub", "key", of_subscription=subscription, of_key=key)
    return quotas, ticks


def admitted(quotas: Quotas, *, of: int, key: str = "key") -> int:
    """How many of so many calls at the same moment are let in; they end at once."""
    count = 0
    for _ in range(of):
        try:
            quotas.admit("sub", key)
        except OverQuotaError:
            continue
        count += 1
        quotas.release("sub", key, size=0)
    return count


def test_rate_allows_its_burst_at_once_and_its_rate_in_the_long_run() -> None:
    quotas, ticks = bounded(subscription=Quota(per_second=10, burst=25))
    assert admitted(quotas, of=100) == 25
    ticks.now += 1.0
    assert admitted(quotas, of=100) == 10
    ticks.now += 3600
    assert admitted(quotas, of=100) == 25


def test_key_has_its_rate_beside_that_of_its_subscription() -> None:
    quotas, _ = bounded(subscription=Quota(per_second=10), key=Quota(per_second=3))
    assert admitted(quotas, of=100) == 3
    assert admitted(quotas, of=100, key="other") == 7


def test_refusal_names_the_limit_and_when_to_come_back() -> None:
    quotas, _ = bounded(key=Quota(per_second=2, burst=1))
    quotas.admit("sub", "key")
    with pytest.raises(
        OverQuotaError, match="The key may begin 2 calls a second, 1 at once"
    ) as told:
        quotas.admit("sub", "key")
    assert (told.value.limit, told.value.quantity, told.value.window) == ("per_second", 2, 1.0)
    assert told.value.retry_after == pytest.approx(0.5)


def test_refused_call_costs_neither_the_key_nor_the_subscription_a_place() -> None:
    quotas, ticks = bounded(subscription=Quota(per_second=5), key=Quota(per_second=1))
    assert admitted(quotas, of=50) == 1
    assert admitted(quotas, of=50, key="other") == 4
    ticks.now += 0.2
    assert admitted(quotas, of=1, key="other") == 1


def test_running_calls_of_a_key_are_bounded_until_one_ends() -> None:
    quotas, _ = bounded(key=Quota(running=2))
    quotas.admit("sub", "key")
    quotas.admit("sub", "key")
    with pytest.raises(OverQuotaError, match="The key has 2 calls running"):
        quotas.admit("sub", "key")
    quotas.admit("sub", "other")
    quotas.release("sub", "key", size=10)
    quotas.admit("sub", "key")


def test_flood_of_one_key_keeps_no_other_from_being_let_in() -> None:
    quotas, _ = bounded()
    for _ in range(1024):
        quotas.admit("sub", "key")
    with pytest.raises(OverQuotaError, match="has 1024 calls running, which is its limit"):
        quotas.admit("sub", "key")
    for number in range(64):
        quotas.admit("sub", f"other{number % 2}")
    for key in ("key", "other0", "new"):
        with pytest.raises(OverQuotaError, match="calls running, which is its limit"):
            quotas.admit("sub", key)
    quotas.release("sub", "key", size=0)
    with pytest.raises(OverQuotaError):
        quotas.admit("sub", "key")
    quotas.admit("sub", "new")


def test_quota_of_a_subscription_that_somebody_set_is_kept_to_the_letter() -> None:
    quotas, _ = bounded(subscription=Quota(running=32))
    for _ in range(32):
        quotas.admit("sub", "key")
    for key in ("key", "other"):
        with pytest.raises(OverQuotaError, match="has 32 calls running, which is its limit"):
            quotas.admit("sub", key)


def test_bytes_over_a_quota_are_paid_back_before_the_next_call() -> None:
    quotas, ticks = bounded(subscription=Quota(bytes_per_minute=6000))
    quotas.admit("sub", "key")
    quotas.release("sub", "key", size=9000)
    with pytest.raises(OverQuotaError, match="may move 6000 bytes a minute") as told:
        quotas.admit("sub", "key")
    assert told.value.retry_after == pytest.approx(30.0)
    ticks.now += 30.1
    quotas.admit("sub", "key")
    assert {use.limit: use.allowed for use in quotas.uses(["sub", "key"])} == {
        "bytes_per_minute": 6000
    }


def test_day_outlasts_the_minute() -> None:
    quotas, ticks = bounded(key=Quota(bytes_per_minute=1000, bytes_per_day=2000))
    for _ in range(2):
        quotas.admit("sub", "key")
        quotas.release("sub", "key", size=1000)
        ticks.now += 60
    quotas.admit("sub", "key")
    quotas.release("sub", "key", size=1000)
    ticks.now += 60
    with pytest.raises(OverQuotaError, match="bytes a day"):
        quotas.admit("sub", "key")


def test_quota_that_is_lifted_or_unknown_bounds_nothing() -> None:
    quotas, _ = bounded(subscription=Quota(per_second=1))
    assert admitted(quotas, of=3) == 1
    quotas.learn("sub", "key", of_subscription=NO_QUOTA, of_key=NO_QUOTA)
    assert admitted(quotas, of=300) == 300
    assert list(quotas.uses(["sub"])) == []
    assert Quota.of({"per_fortnight": 3}) == NO_QUOTA


@given(
    gaps=st.lists(st.floats(0, 3), max_size=60),
    per_second=st.integers(1, 20),
    burst=st.integers(1, 40),
)
def test_no_pattern_of_calls_gets_more_than_burst_and_rate(
    gaps: list[float], per_second: int, burst: int
) -> None:
    quotas, ticks = bounded(key=Quota(per_second=per_second, burst=burst))
    began, count = ticks.now, 0
    for gap in gaps:
        ticks.now += gap
        count += admitted(quotas, of=7)
        assert count <= burst + per_second * (ticks.now - began) + 1e-6


async def test_call_over_its_rate_is_refused_within_50_ms_and_never_dispatched(
    relay: CallRelay,
) -> None:
    agent, base = await relay.ready()
    key = await relay.store.key("all", quota=Quota(per_second=1, burst=3))
    headers = {"Authorization": f"Bearer {key}"}
    loop = asyncio.get_running_loop()
    answers = []
    took = []
    for _ in range(40):
        began = loop.time()
        answer = await relay.api.get(f"{base}/procore/rest/v1.0/me", headers=headers)
        if answer.status_code == 429:
            took.append(loop.time() - began)
        answers.append(answer)
    served = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(served) + len(refused) == 40
    assert len(agent.calls) == len(served) <= 3 + 3
    assert statistics.median(took) < 0.05  # a single one may wait for the machine
    told = refused[0]
    assert told.json()["code"] == "quota_exceeded"
    assert told.json()["outcome"] == "not_executed"
    assert told.json()["retry_safe"] is True
    assert told.headers["retry-after"] == "1"
    assert told.headers["ratelimit-policy"] == '"per_second";q=1;w=1'
    assert told.headers["ratelimit"] == '"per_second";r=0;t=1'
    assert (await relay.api.get(f"{base}/procore/rest/v1.0/me")).status_code == 200
    shown = (await relay.api.get("/metrics", headers=headers)).text
    assert 'limit="per_second",of="key"} 1.0' in shown
    assert "cloud_connect_quota" not in (await relay.api.get("/metrics")).text


async def test_quota_set_while_the_relay_runs_holds_for_tokens_of_the_key_too(
    tmp_path: Path,
) -> None:
    async with call_relay(tmp_path) as relay:
        agent, base = await relay.ready(ScriptedAgent(script={Operation.GET: hang}))
        await Subscriptions(relay.store.storage).set_quota(
            relay.store.subscription_id, Quota(running=1), actor="test", at=NOW
        )
        form = {"grant_type": "client_credentials", "client_secret": relay.store.api_key}
        granted = await relay.api.post("/oauth/token", data={**form, "client_id": "any"})
        assert granted.status_code == 200, granted.text
        headers = {"Authorization": f"Bearer {granted.json()['access_token']}"}
        async with asyncio.TaskGroup() as tasks:
            held = tasks.create_task(relay.api.get(f"{base}/records/rfis/1"))
            async with asyncio.timeout(5):
                await agent.arrived.wait()
            refused = await relay.api.get(f"{base}/records/rfis/2", headers=headers)
            assert refused.status_code == 429
            assert "The subscription has 1 calls running" in refused.json()["detail"]
            held.cancel()
        await relay.quiet()
        assert len(agent.calls) == 1


async def test_tokens_of_one_person_are_one_caller(relay: CallRelay) -> None:
    """Fairness and quotas are people's and keys': a fresh token is no fresh share."""
    asked = {"grant_type": "password", "username": "admin", "password": PASSWORD}
    nobody = {"Authorization": ""}
    tokens = [
        (await relay.api.post("/Token", data=asked, headers=nobody)).json()["access_token"]
        for _ in range(2)
    ]
    first, second = [await relay.services.authenticator.principal_of(one) for one in tokens]
    assert first is not None
    assert second is not None
    assert first.credential_id != second.credential_id
    assert first.key_id == second.key_id == first.user_id
