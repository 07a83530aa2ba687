import re
from typing import Any

from doubles.canaries import remember
from doubles.console_browser import Browser

_SECRET = re.compile(r"cck_live_[0-9a-z]{16}_[0-9a-z]{52}")


def secret_in(text: str) -> str:
    found = _SECRET.search(text)
    assert found is not None
    remember("api key", found[0])
    return found[0]


def id_of(secret: str) -> str:
    return f"key_{secret.split('_')[2]}"


async def make_key(admin: Browser, **fields: str | list[str]) -> str:
    sent: dict[str, Any] = {
        "name": "Platform",
        "scopes": ["calls:read"],
        "expires_in": "7776000",
    } | fields
    answer = await admin.post("/keys/new", **sent)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return secret_in(answer.text)


async def works(browser: Browser, key: str) -> bool:
    headers = {"Authorization": f"Bearer {key}"}
    return (await browser.client.get("/api/calls", headers=headers)).status_code == 200


async def test_new_key_is_shown_once_and_works(admin: Browser) -> None:
    key = await make_key(admin)
    assert await works(admin, key)
    listed = await admin.get("/keys")
    assert "Platform" in listed.text
    assert key not in listed.text


async def test_key_without_a_name_or_scope_is_refused_beside_the_fields(
    admin: Browser,
) -> None:
    answer = await admin.post("/keys/new", name="", addresses="10.0.0.0/8", expires_in="")
    assert answer.status_code == 422
    assert "Enter a name." in answer.text
    assert "Choose at least one." in answer.text
    assert "10.0.0.0/8" in answer.text  # what was typed is kept


async def test_address_that_is_none_is_named(admin: Browser) -> None:
    answer = await admin.post(
        "/keys/new", name="Script", scopes=["calls:read"], addresses="10.0.0.0/99"
    )
    assert answer.status_code == 422
    assert 'id="f-addresses-error"' in answer.text


async def test_replaced_key_ends_at_once_when_that_was_chosen(admin: Browser) -> None:
    former = await make_key(admin)
    answer = await admin.post(f"/keys/{id_of(former)}/rotate", overlap="0")
    assert await works(admin, secret_in(answer.text))
    assert not await works(admin, former)


async def test_revoked_key_is_refused_and_listed_under_all_only(admin: Browser) -> None:
    key = await make_key(admin)
    asked = await admin.get(f"/keys/{id_of(key)}/revoke")
    assert "cannot be undone" in asked.text
    answer = await admin.post(f"/keys/{id_of(key)}/revoke")
    assert answer.status_code == 303
    assert not await works(admin, key)
    assert id_of(key) not in (await admin.get("/keys")).text
    assert id_of(key) in (await admin.get("/keys?show=all")).text


async def test_key_that_does_not_exist_is_a_page_that_says_so(admin: Browser) -> None:
    answer = await admin.get("/keys/key_0000000000000000/revoke")
    assert answer.status_code == 404


async def test_viewer_neither_sees_nor_makes_keys(viewer: Browser) -> None:
    assert "/console/keys" not in (await viewer.get("/")).text
    assert (await viewer.get("/keys")).status_code == 403
    assert (await viewer.post("/keys/new", name="x", scopes=["calls:read"])).status_code == 403
