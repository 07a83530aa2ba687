"""Every route, against every credential that must not open it; a route without a rule fails."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from fastapi.routing import APIRoute

from cloud_connect_relay.api.factory import build_fastapi
from cloud_connect_relay.credentials import ROLES, SCOPES, Credential, CredentialKind
from cloud_connect_relay.passwords import Passwords
from doubles.relay_node import NOW, Node, running_node
from doubles.route_rules import GUARDED, RULES, opens

if TYPE_CHECKING:
    from cloud_connect_relay.services import Services

# A partner has the scope, and looks up by id only.
NARROWER = {("partner", "GET /api/calls"), ("partner", "GET /api/events")}
SEALED = "POST /api/datasources/{datasource_id}/sealed"
QUERY = "POST /api/datasources/{datasource_id}/query"
SELECT = {"action": "select", "info": {"name": "rfis"}}
VALUES = {"path": "rest/v1.0/projects", "resource": "rfis", "record_id": "1"}

pytestmark = pytest.mark.catalogue("T77")


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with running_node(tmp_path, auth={"failures_per_minute": 100_000}) as running:
        yield running


def fill(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: VALUES.get(match[1], f"{match[1]}_0"), path)


async def ask(node: Node, route: str, authorization: str | None, body: Any = None) -> int:
    method, path = route.split(" ")
    request = node.api.build_request(method, fill(path), json=body or SELECT)
    del request.headers["Authorization"]
    if authorization is not None:
        request.headers["Authorization"] = authorization
    answer = await node.api.send(request, stream=True)  # events have no end
    try:
        if answer.status_code != 200 or path != "/api/events":
            await answer.aread()
    finally:
        await answer.aclose()
    return answer.status_code


async def served(node: Node) -> set[str]:
    """All routes: what the relay describes, and what it answers without describing it."""
    # The endpoints look at no service before they are asked.
    app = build_fastapi(cast("Services", None))
    hidden = {
        f"{method} {route.path}"
        for included in app.routes
        for route in getattr(included, "original_router", app).routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert len(hidden) > 50
    document = (await node.api.get("/openapi.json")).json()
    return hidden | {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
    }


async def test_every_route_has_a_rule(node: Node) -> None:
    assert await served(node) == set(RULES)


async def test_no_route_opens_without_a_live_credential(node: Node) -> None:
    keys = node.store.storage.of(node.store.subscription_id).keys
    revoked = await node.store.key("all")
    await keys.revoke(f"key_{revoked.split('_')[2]}", actor="test", at=NOW)
    live = node.store.api_key
    credentials = [
        None,
        "",
        "Bearer x",
        f"Basic {live}",
        f"Bearer {Credential.new(CredentialKind.API_KEY).reveal()}",
        f"Bearer {live[:-1]}{'1' if live[-1] == '0' else '0'}",
        f"Bearer {await node.store.key('all', expires_at=NOW)}",
        f"Bearer {revoked}",
    ]
    opened = [
        (route, credential)
        for route in GUARDED
        for credential in credentials
        if await ask(node, route, credential) != 401
    ]
    assert opened == []


async def test_no_route_opens_to_another_scope(node: Node) -> None:
    keys = {scope: f"Bearer {await node.store.key(scope)}" for scope in SCOPES - {"all"}}
    opened = [
        (route, scope)
        for route, rule in GUARDED.items()
        for scope, key in keys.items()
        if not opens(rule, {scope}) and await ask(node, route, key) != 403
    ]
    assert opened == []


async def test_every_route_opens_to_its_scope(node: Node) -> None:
    shut = []
    for rule in set(GUARDED.values()) - {"person"}:
        alone = [rule.split("+")] if "+" in rule else [[scope] for scope in rule.split("|")]
        for scopes in alone:
            key = f"Bearer {await node.store.key(*scopes)}"
            shut += [
                route
                for route, its in GUARDED.items()
                if its == rule and await ask(node, route, key) in {401, 403}
            ]
    assert shut == []


async def test_query_that_writes_needs_the_scope_of_writes(node: Node) -> None:
    for scope in sorted(SCOPES - {"all", "calls:write"}):
        key = f"Bearer {await node.store.key(scope)}"
        for action in ("insert", "create", " UPDATE", "delete", "Remove"):
            assert await ask(node, QUERY, key, {**SELECT, "action": action}) == 403, scope
        assert await ask(node, f"{SEALED}?writes=true", key) == 403, scope


async def test_roles_open_what_their_scopes_say(node: Node) -> None:
    """Sessions of people are judged by the same rules as keys."""
    users = node.store.storage.of(node.store.subscription_id).users
    hashed = await Passwords().hash("a long password")
    for role, scopes in ROLES.items():
        name = f"someone-{role}"
        await users.create(name, password_hash=hashed, role=role, actor="test", at=NOW)
        form = {"grant_type": "password", "username": name, "password": "a long password"}
        token = (await node.api.post("/Token", data=form)).json()["access_token"]
        for route, rule in GUARDED.items():
            if (role, route) in NARROWER:
                assert await ask(node, route, f"Bearer {token}") == 403
            elif rule != "person":
                status = await ask(node, route, f"Bearer {token}")
                assert (status not in {401, 403}) == opens(rule, scopes), (role, route, status)
