from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud_connect_relay.credentials import ROLES
from doubles.relay_node import NOW, PASSWORD, Node, running_node


def form(**changes: Any) -> dict[str, Any]:
    return {"grant_type": "password", "username": "admin", "password": PASSWORD, **changes}


async def sign_in(node: Node, **changes: Any) -> httpx.Response:
    return await node.api.post("/Token", data=form(**changes), headers={"Authorization": ""})


async def test_sign_in_answers_in_the_platforms_shape(node: Node) -> None:
    answer = await sign_in(node)
    document = answer.json()
    user = (await node.store.storage.of(node.store.subscription_id).users.all())[0]
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert set(document) == {
        "access_token",
        "token_type",
        "expires_in",
        "userName",
        "userId",
        "subscriptionId",
        ".issued",
        ".expires",
    }
    assert document["token_type"] == "bearer"
    assert document["expires_in"] == 299
    assert document["userName"] == "admin"
    assert document["userId"] == user.id
    assert document["subscriptionId"] == node.store.subscription_id
    issued, expires = (parsedate_to_datetime(document[name]) for name in (".issued", ".expires"))
    assert document[".issued"].endswith(" GMT")
    assert (expires - issued).total_seconds() == 299


async def test_token_opens_what_an_administrator_may(node: Node) -> None:
    token = (await sign_in(node)).json()["access_token"]
    for path in ("/api/connectors", "/api/enrolment-tokens", "/api/audit", "/metrics"):
        answer = await node.api.get(path, headers={"Authorization": f"bEaReR {token}"})
        assert answer.status_code == 200, path


@pytest.mark.parametrize("role", ["operator", "viewer"])
async def test_role_decides_what_a_token_opens(node: Node, role: str) -> None:
    await node.store.storage.of(node.store.subscription_id).users.create(
        "olga",
        password_hash=await _hash(PASSWORD),
        role=role,
        actor="test",
        at=NOW,
    )
    token = (await sign_in(node, username="OLGA")).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await node.api.get("/api/connectors", headers=bearer)).status_code == 200
    assert (await node.api.get("/api/audit", headers=bearer)).status_code == 403
    enrols = (await node.api.get("/api/enrolment-tokens", headers=bearer)).status_code
    assert enrols == (200 if "connectors:enrol" in ROLES[role] else 403)


async def _hash(password: str) -> str:
    from cloud_connect_relay.passwords import Passwords

    return await Passwords().hash(password)


@pytest.mark.parametrize(
    "changes",
    [
        {"grant_type": "client_credentials"},
        {"grant_type": ""},
        {"grant_type": "PASSWORD"},
    ],
)
async def test_other_grants_are_unsupported(node: Node, changes: dict[str, str]) -> None:
    answer = await sign_in(node, **changes)
    assert answer.status_code == 400
    assert answer.json() == {"error": "unsupported_grant_type"}


async def test_empty_and_foreign_bodies_are_unsupported(node: Node) -> None:
    for options in ({}, {"json": form()}, {"content": b"\xff\xfe"}):
        answer = await node.api.post("/Token", **options)
        assert answer.status_code == 400
        assert answer.json() == {"error": "unsupported_grant_type"}


async def test_multipart_form_signs_in_and_a_file_is_no_field(node: Node) -> None:
    fields = {name: (None, value) for name, value in form().items()}
    assert (await node.api.post("/Token", files=fields)).status_code == 200
    answer = await node.api.post("/Token", files={"grant_type": ("a.txt", b"password")})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"password": "wrong"},
        {"username": "nobody"},
        {"password": ""},
        {"username": ""},
        {"password": "x" * 2000},
        {"username": "x" * 2000},
    ],
)
async def test_wrong_credentials_answer_alike(node: Node, changes: dict[str, str]) -> None:
    answer = await sign_in(node, **changes)
    assert answer.status_code == 400
    assert answer.json() == {
        "error": "invalid_grant",
        "error_description": "The user name or password is incorrect.",
    }


async def test_guessing_is_stopped_before_the_password_is_looked_at(tmp_path: Path) -> None:
    async with running_node(tmp_path, auth={"failures_per_minute": 3}) as node:
        for name in ("admin", "admin", "somebody else"):
            assert (await sign_in(node, username=name, password="wrong")).status_code == 400
        stopped = await sign_in(node)
        assert stopped.status_code == 429
        assert stopped.json()["code"] == "quota_exceeded"
        assert 1 <= int(stopped.headers["retry-after"]) <= 60
