import time
from datetime import datetime

import pytest

from cloud_connect.join_token import JoinToken
from doubles.relay_node import Node

TOKENS = "/api/enrolment-tokens"


@pytest.mark.parametrize(
    ("body", "lifetime"),
    [(None, 3600), ({}, 3600), ({"expires_in": 600}, 600), ({"expires_in": "15m"}, 900)],
)
async def test_token_is_made_for_this_relay(
    node: Node, body: dict[str, object] | None, lifetime: int
) -> None:
    answer = await node.api.post(TOKENS, json=body)
    assert answer.status_code == 201
    made = answer.json()
    token = JoinToken.parse(made["token"])
    assert token.token_id == made["id"]
    assert token.matches(node.store.identity.public_key)
    ends = datetime.fromisoformat(made["expires_at"]).timestamp()
    assert ends - time.time() == pytest.approx(lifetime, abs=10)


async def test_list_shows_tokens_without_their_secrets(node: Node) -> None:
    made = (
        await node.api.post(
            TOKENS, json={"group": "g", "hosted": True, "policy_class": "read-only"}
        )
    ).json()
    listed = await node.api.get(TOKENS)
    (item,) = listed.json()["items"]
    assert item["id"] == made["id"]
    assert (item["group"], item["hosted"], item["policy_class"]) == ("g", True, "read-only")
    assert item["status"] == "open"
    assert JoinToken.parse(made["token"]).secret not in listed.text


async def test_revoked_token_is_shown_as_such(node: Node) -> None:
    made = (await node.api.post(TOKENS)).json()
    assert (await node.api.delete(f"{TOKENS}/{made['id']}")).status_code == 204
    (item,) = (await node.api.get(TOKENS)).json()["items"]
    assert item["status"] == "revoked"
    actions = [entry["action"] for entry in (await node.api.get("/api/audit")).json()["items"]]
    assert actions[:2] == ["join_token.revoke", "join_token.create"]


@pytest.mark.parametrize("token_id", ["jt_0000000000000000", "x"])
async def test_unknown_token_is_not_found(node: Node, token_id: str) -> None:
    assert (await node.api.delete(f"{TOKENS}/{token_id}")).status_code == 404


@pytest.mark.parametrize("expires_in", [0, 86_401, "soon", "2d", None, 1.5])
async def test_wrong_lifetime_is_refused(node: Node, expires_in: object) -> None:
    answer = await node.api.post(TOKENS, json={"expires_in": expires_in})
    assert answer.status_code == 400
    assert "expires_in" in answer.json()["detail"]


async def test_token_that_ended_is_shown_as_expired(node: Node) -> None:
    issued, _ = await node.store.storage.of(node.store.subscription_id).join_tokens.issue(
        relay_public_key=bytes(32), actor="test", now=time.time() - 100, expires_in=50
    )
    (item,) = (await node.api.get(TOKENS)).json()["items"]
    assert (item["id"], item["status"]) == (issued.id, "expired")
