"""Whom Kianda asks for: the security settings of a data source hold for its users, too."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from cloud_connect_relay.passwords import Passwords
from doubles.kianda import Kianda
from doubles.relay_node import NOW
from doubles.security_bench import MAPPINGS, SELECT, Bench, leaves


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=15, trust_env=False) as client:
        yield client


async def registered(bench: Bench, http: httpx.AsyncClient, **members: Any) -> Kianda:
    made = await bench.relay.api.post("/api/custom-connectors", json={"title": "K", **members})
    assert made.status_code == 201, made.text
    return Kianda.of(http, made.json(), {"datasourceId": bench.source.rpartition("/")[2]})


async def ask(
    kianda: Kianda, user: str | None, action: str = "Query", query: Any = SELECT
) -> dict[str, Any]:
    request = {**kianda.request(action, query), "userId": user}
    url = {"Query": kianda.query_url, "Test": kianda.test_url, "Metadata": kianda.metadata_url}
    return kianda.opened(await kianda.post(url[action], request), request)


async def test_lists_hold_for_users_of_the_platform(bench: Bench, http: httpx.AsyncClient) -> None:
    kianda = await registered(bench, http)
    assert (await ask(kianda, "anna@example.com"))["success"] is True
    await bench.secure(allowedUsers=["Anna@Example.com"])
    assert (await ask(kianda, "anna@example.com"))["success"] is True
    for user in ("bob@example.com", "", None):
        for action in ("Query", "Metadata", "Test"):
            before = len(bench.agent.heard)
            told = await ask(kianda, user, action)
            assert told["success"] is False
            assert told["data"]["code"] == "insufficient_scope"
            assert len(bench.agent.heard) == before
    await bench.secure(allowedUsers=[], exclusionUsers=["anna@example.com"])
    assert (await ask(kianda, "anna@example.com"))["success"] is False
    assert (await ask(kianda, None))["success"] is True, "nobody in particular: the program"


async def test_users_of_a_registration_for_partners_are_bound(
    bench: Bench, http: httpx.AsyncClient
) -> None:
    kianda = await registered(bench, http, users="partners")
    for user in ("paula", None):
        assert (await ask(kianda, user))["success"] is False
    await bench.secure(enableB2B=True, enableFiltering=True, b2bMappings=MAPPINGS)
    for user in ("paula", None):
        assert (await ask(kianda, user))["success"] is True
        assert leaves(bench.heard().condition) == [("status", "eq", "open")]
        assert (await ask(kianda, user, "Test"))["success"] is False
    kianda.settings = {
        "companyId": "5",
        "environment": "live",
        "connectorId": bench.agent_id,
    }
    told = await ask(kianda, "paula")
    assert told["success"] is False, "no data source says what is open to partners"


async def test_user_whom_the_relay_knows_has_their_own_role(
    bench: Bench, http: httpx.AsyncClient
) -> None:
    kianda = await registered(bench, http)
    users = bench.relay.store.storage.of(bench.relay.store.subscription_id).users
    hashed = await Passwords().hash("a long password")
    for name, role in (("victor", "viewer"), ("paula", "partner"), ("rita", "operator")):
        await users.create(name, password_hash=hashed, role=role, actor="test", at=NOW)
    insert = {**SELECT, "action": "insert", "mappings": {"subject": "x"}}
    assert (await ask(kianda, "Victor"))["success"] is True
    assert (await ask(kianda, "victor", query=insert))["success"] is False
    assert (await ask(kianda, "rita", query=insert))["success"] is True
    assert (await ask(kianda, "paula"))["success"] is False
    await users.revoke("rita", actor="test", at=NOW)
    assert (await ask(kianda, "rita"))["success"] is False
