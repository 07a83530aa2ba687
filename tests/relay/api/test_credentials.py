import asyncio
from pathlib import Path

import httpx
import pytest

from cloud_connect.errors import QuotaExceededError
from cloud_connect_relay.credentials import ROLES, SCOPES, Credential, CredentialKind
from cloud_connect_relay.failure_brake import FailureBrake
from cloud_connect_relay.storage.subscriptions import Subscriptions
from doubles.relay_node import NOW, Node, running_node


async def connectors(node: Node, authorization: str) -> httpx.Response:
    return await node.api.get("/api/connectors", headers={"Authorization": authorization})


async def test_key_works_whatever_the_case_of_the_scheme(node: Node) -> None:
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert (await connectors(node, f"{scheme}   {node.store.api_key}")).status_code == 200


async def test_every_wrong_credential_is_refused_alike(tmp_path: Path) -> None:
    async with running_node(tmp_path, auth={"failures_per_minute": 100}) as node:
        key = node.store.api_key
        unknown = Credential.new(CredentialKind.API_KEY).reveal()
        other_secret = key[:-1] + ("0" if key[-1] != "0" else "1")
        refresh = Credential.new(CredentialKind.REFRESH_TOKEN).reveal()
        wrong = [
            "",
            "Bearer",
            f"Basic {key}",
            key,
            f"Bearer {key}x",
            f"Bearer {unknown}",
            f"Bearer {other_secret}",
            f"Bearer {key.upper()}",
            f"Bearer {refresh}",
            "Bearer " + "x" * 10_000,
            f"Bearer {await node.store.key('all', expires_at=NOW)}",
        ]
        answers = [await connectors(node, value) for value in wrong]
        assert {answer.status_code for answer in answers} == {401}
        assert len({answer.text for answer in answers}) == 1


async def test_two_authorization_headers_are_none(node: Node) -> None:
    value = f"Bearer {node.store.api_key}"
    answer = await node.api.get(
        "/api/connectors", headers=[("Authorization", value), ("Authorization", value)]
    )
    assert answer.status_code == 400  # which of the two counts is not for us to guess


async def test_guesses_are_answered_429_and_a_valid_key_is_not(node: Node) -> None:
    guesses = [await connectors(node, "Bearer cck_live_guess") for _ in range(12)]
    assert [guess.status_code for guess in guesses] == [401] * 10 + [429] * 2
    assert int(guesses[-1].headers["retry-after"]) <= 60
    assert (await node.api.get("/api/connectors")).status_code == 200


async def test_scope_is_needed_and_named(node: Node) -> None:
    key = await node.store.key("connectors:read")
    assert (await connectors(node, f"Bearer {key}")).status_code == 200
    answer = await node.api.post("/api/enrolment-tokens", headers=node.auth(key), json={})
    assert answer.status_code == 403
    assert answer.json()["code"] == "insufficient_scope"
    assert "connectors:enrol" in answer.json()["detail"]


async def test_revoked_key_is_refused_within_the_cache_timeout(tmp_path: Path) -> None:
    async with running_node(tmp_path, auth={"cache_timeout": 2}) as node:
        tenant = node.store.storage.of(node.store.subscription_id)
        key_id = (await tenant.keys.all())[0].id
        assert (await node.api.get("/api/connectors")).status_code == 200
        await tenant.keys.revoke(key_id, actor="test", at=NOW)
        assert (await node.api.get("/api/connectors")).status_code == 200
        async with asyncio.timeout(10):
            while (await node.api.get("/healthz")).status_code == 200:
                if (await node.api.get("/api/connectors")).status_code == 401:
                    break
                await asyncio.sleep(0.05)


async def test_key_that_ends_is_not_believed_longer(tmp_path: Path) -> None:
    import time

    async with running_node(tmp_path, auth={"cache_timeout": 5}) as node:
        key = await node.store.key("all", expires_at=time.time() + 0.3)
        assert (await connectors(node, f"Bearer {key}")).status_code == 200
        await asyncio.sleep(0.35)
        assert (await connectors(node, f"Bearer {key}")).status_code == 401


async def test_keys_of_a_revoked_subscription_are_refused(node: Node) -> None:
    await Subscriptions(node.store.storage).revoke(node.store.subscription_id, actor="test", at=NOW)
    assert (await node.api.get("/api/connectors")).status_code == 401


async def test_use_of_a_key_is_noted(node: Node) -> None:
    keys = node.store.storage.of(node.store.subscription_id).keys
    assert (await keys.all())[0].last_used_at is None
    await node.api.get("/api/connectors")
    first = (await keys.all())[0].last_used_at
    await node.api.get("/api/connectors")
    assert first is not None
    assert (await keys.all())[0].last_used_at == first


async def test_failures_are_counted_in_the_metrics(node: Node) -> None:
    await connectors(node, "Bearer wrong")
    text = (await node.api.get("/metrics")).text
    assert 'cloud_connect_auth_failures_total{kind="bearer"} 1.0' in text


def test_brake_forgets_failures_after_a_minute_and_sources_when_there_are_too_many() -> None:
    now = [0.0]
    brake = FailureBrake(2, clock=lambda: now[0])
    brake.failed("a")
    now[0] = 30
    brake.failed("a")
    with pytest.raises(QuotaExceededError) as stopped:
        brake.failed("a")
    assert stopped.value.retry_after == 30
    now[0] = 60.5
    brake.failed("a")
    now[0] = 500
    brake.check("a")
    for number in range(10_050):
        brake.failed(number)
    assert len(brake._failures) == 10_000


def test_roles_and_scopes_fit_together() -> None:
    assert all(scopes <= SCOPES for scopes in ROLES.values())


def test_credential_shows_its_secret_only_when_asked() -> None:
    made = Credential.new(CredentialKind.ACCESS_TOKEN)
    assert Credential.parse(made.reveal()) == made
    assert made.secret not in repr(made)
    assert made.id.startswith("tok_")
