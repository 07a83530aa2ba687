"""Every route, for what is not there and for tokens that are bound to less."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud_connect.signing import to_text
from doubles.relay_node import Node, running_node

QUERY = "/api/datasources/{datasource_id}/query"
IDS = {
    "connector_id": "con",
    "datasource_id": "ds",
    "token_id": "jt",
    "call_id": "call",
    "registration_id": "reg",
}


def fill(path: str) -> str:
    def value(match: re.Match[str]) -> str:
        prefix = IDS.get(match[1])
        if prefix is not None:
            return f"{prefix}_0000000000000000"
        return "rest/v1.0/projects" if match[1] == "path" else "1"

    return re.sub(r"\{(\w+)\}", value, path)


@pytest.fixture
async def node(tmp_path: Path) -> Any:
    async with running_node(tmp_path, auth={"failures_per_minute": 10_000}) as running:
        yield running


async def routes(node: Node) -> list[tuple[str, str, bool]]:
    document = (await node.api.get("/openapi.json")).json()
    return [
        (method, path, bool(operation.get("security")))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]


async def ask(node: Node, method: str, path: str, authorization: str) -> httpx.Response:
    # What a query needs depends on its action, so it is read before the scopes are judged.
    body = {"action": "select", "info": {"name": "rfis"}} if path == QUERY else None
    return await node.api.request(
        method.upper(), fill(path), headers={"Authorization": authorization}, json=body
    )


async def test_what_is_not_there_answers_alike_on_every_route(node: Node) -> None:
    for method, path, guarded in await routes(node):
        if guarded and "_id}" in path and method in {"get", "delete"}:
            answer = await ask(node, method, path, f"Bearer {node.store.api_key}")
            assert answer.status_code in {400, 404}, (method, path, answer.text)
            if answer.status_code == 400:
                assert answer.json()["code"] == "idempotency_key_required", path


async def test_token_bound_to_a_data_source_opens_nothing_else(node: Node) -> None:
    from cloud_connect_relay.authentication import Authenticator
    from cloud_connect_relay.metrics import Metrics
    from cloud_connect_relay.settings import AuthSettings

    issuing = Authenticator(
        node.store.storage,
        pepper=node.store.identity.pepper,
        settings=AuthSettings(),
        metrics=Metrics(),
    )
    made = await issuing.issue(
        node.store.subscription_id,
        kind="oauth",
        lifetime=60,
        scopes=["all"],
        datasource_id="ds_1111111111111111",
    )
    for path in ("/api/connectors", "/api/audit", "/metrics", "/api/datasources"):
        answer = await ask(node, "get", path, f"Bearer {made.text}")
        assert answer.status_code == 403, path
    other = await ask(node, "get", "/api/datasources/{datasource_id}", f"Bearer {made.text}")
    assert other.status_code == 404
    own = await node.api.get("/api/datasources/ds_1111111111111111", headers=node.auth(made.text))
    assert own.json() == other.json()


async def test_refresh_token_opens_nothing(node: Node) -> None:
    from cloud_connect_relay.authentication import Authenticator
    from cloud_connect_relay.metrics import Metrics
    from cloud_connect_relay.settings import AuthSettings

    issuing = Authenticator(
        node.store.storage,
        pepper=node.store.identity.pepper,
        settings=AuthSettings(),
        metrics=Metrics(),
    )
    made = await issuing.issue(
        node.store.subscription_id, kind="refresh", lifetime=60, scopes=["all"]
    )
    assert (await ask(node, "get", "/api/connectors", f"Bearer {made.text}")).status_code == 401
    disguised = "cct" + made.text[3:]
    assert (await ask(node, "get", "/api/connectors", f"Bearer {disguised}")).status_code == 401


async def test_agents_ask_without_a_bearer_token_where_to_dial_and_what_to_see(
    node: Node,
) -> None:
    nonce = {"agent_nonce": to_text(bytes(32))}
    headers = {"Authorization": ""}
    for path, member in (("certificates", "hashes"), ("tunnel", "tunnel_url")):
        answer = await node.api.post(f"/api/enrol/{path}", json=nonce, headers=headers)
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == {member, "signature"}
