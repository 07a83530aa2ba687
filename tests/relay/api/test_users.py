"""The people of a subscription over the API, and their own passwords."""

from typing import Any

import httpx
import pytest

from doubles.relay_node import PASSWORD, Node


async def sign_in(node: Node, username: str, password: str) -> httpx.Response:
    form = {"grant_type": "password", "username": username, "password": password}
    return await node.api.post("/Token", data=form)


async def session(node: Node, username: str, password: str) -> dict[str, str]:
    answer = await sign_in(node, username, password)
    assert answer.status_code == 200, answer.text
    return node.auth(answer.json()["access_token"])


async def made(node: Node, **body: Any) -> dict[str, Any]:
    answer = await node.api.post("/api/users", json={"username": "anna", **body})
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def test_made_up_password_is_shown_once_and_signs_in(node: Node) -> None:
    anna = await made(node)
    assert (anna["role"], anna["status"]) == ("operator", "live")
    await session(node, "ANNA", anna["password"])
    listed = (await node.api.get("/api/users")).json()["items"]
    shown = (await node.api.get(f"/api/users/{anna['id']}")).json()
    assert shown in listed
    assert "password" not in shown
    assert "argon2" not in str(listed)
    own = await made(node, username="bob", password="my own password", role="viewer")
    assert own["password"] is None
    await session(node, "bob", "my own password")


async def test_another_role_ends_sessions_and_holds_in_the_next(node: Node) -> None:
    anna = await made(node, role="administrator")
    before = await session(node, "anna", anna["password"])
    assert (await node.api.get("/api/users", headers=before)).status_code == 200
    changed = await node.api.patch(f"/api/users/{anna['id']}", json={"role": "viewer"})
    assert changed.json()["role"] == "viewer"
    assert (await node.api.get("/api/users", headers=before)).status_code == 401
    after = await session(node, "anna", anna["password"])
    assert (await node.api.get("/api/users", headers=after)).status_code == 403


async def test_revoked_person_is_out_at_once(node: Node) -> None:
    anna = await made(node)
    token = await session(node, "anna", anna["password"])
    assert (await node.api.get("/api/connectors", headers=token)).status_code == 200
    assert (await node.api.delete(f"/api/users/{anna['id']}")).status_code == 204
    assert (await node.api.get("/api/connectors", headers=token)).status_code == 401
    assert (await sign_in(node, "anna", anna["password"])).status_code == 400
    assert (await node.api.delete(f"/api/users/{anna['id']}")).status_code == 404


async def test_last_administrator_is_kept(node: Node) -> None:
    (admin,) = (await node.api.get("/api/users")).json()["items"]
    for answer in (
        await node.api.delete(f"/api/users/{admin['id']}"),
        await node.api.patch(f"/api/users/{admin['id']}", json={"role": "viewer"}),
    ):
        assert answer.status_code == 400
        assert "last administrator" in answer.json()["detail"]
    await session(node, "admin", PASSWORD)


async def test_person_changes_their_own_password_and_all_sessions_end(node: Node) -> None:
    anna = await made(node, role="viewer")
    tokens = [await session(node, "anna", anna["password"]) for _ in range(2)]

    async def change(current: str, new: str) -> httpx.Response:
        body = {"current": current, "password": new}
        return await node.api.post("/api/users/me/password", json=body, headers=tokens[0])

    wrong = await change("not mine", "a new password")
    assert wrong.status_code == 400
    assert "a new password" not in wrong.text
    assert (await change(anna["password"], "short")).status_code == 400
    assert (await change(anna["password"], "a new password")).status_code == 204
    for token in tokens:
        assert (await node.api.get("/api/connectors", headers=token)).status_code == 401
    assert (await sign_in(node, "anna", anna["password"])).status_code == 400
    await session(node, "anna", "a new password")
    by_key = await node.api.post(
        "/api/users/me/password", json={"current": PASSWORD, "password": "a new password"}
    )
    assert by_key.status_code == 403


async def test_administrator_sets_a_password_and_sessions_end(node: Node) -> None:
    anna = await made(node)
    token = await session(node, "anna", anna["password"])
    reset = (await node.api.put(f"/api/users/{anna['id']}/password")).json()
    assert reset["password"] != anna["password"]
    assert (await node.api.get("/api/connectors", headers=token)).status_code == 401
    await session(node, "anna", reset["password"])
    body = {"password": "chosen by somebody"}
    chosen = await node.api.put(f"/api/users/{anna['id']}/password", json=body)
    assert chosen.json()["password"] is None
    await session(node, "anna", "chosen by somebody")


async def test_nobody_makes_or_becomes_more_than_they_are(node: Node) -> None:
    (admin,) = (await node.api.get("/api/users")).json()["items"]
    anna = await made(node, role="partner")
    lesser = node.auth(await node.store.key("users:manage", "calls:read", "calls:write"))
    for method, path, body in (
        ("POST", "/api/users", {"username": "eve", "role": "administrator"}),
        ("POST", "/api/users", {"username": "eve", "role": "viewer"}),
        ("PATCH", f"/api/users/{anna['id']}", {"role": "administrator"}),
        ("PATCH", f"/api/users/{admin['id']}", {"role": "partner"}),
        ("PUT", f"/api/users/{admin['id']}/password", {"password": "now it is mine"}),
        ("DELETE", f"/api/users/{admin['id']}", None),
    ):
        answer = await node.api.request(method, path, json=body, headers=lesser)
        assert answer.status_code == 403, (method, path)
    own = await node.api.post(
        "/api/users", json={"username": "eve", "role": "partner"}, headers=lesser
    )
    assert own.status_code == 201
    await session(node, "admin", PASSWORD)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "username"),
        ({"username": " "}, "username"),
        ({"username": "a\nb"}, "username"),
        ({"username": "ADMIN"}, "taken"),
        ({"username": "key_0000000000000000"}, "does not begin with"),
        ({"username": "eve", "role": "root"}, "there are the roles administrator,"),
        ({"username": "eve", "password": "short"}, "password"),
        ({"username": "eve", "groups": []}, "groups"),
    ],
)
async def test_what_is_wrong_with_a_new_user_is_named(
    node: Node, body: dict[str, Any], named: str
) -> None:
    answer = await node.api.post("/api/users", json=body)
    assert answer.status_code == 400
    assert named in answer.json()["detail"]
