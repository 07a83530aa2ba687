import base64
from typing import Any

import httpx
import pytest

from doubles.call_relay import CallRelay

NOBODY = {"Authorization": ""}


async def ask(
    relay: CallRelay, base: str = "", *, path: str = "/oauth/token", **fields: str
) -> httpx.Response:
    given = {"grant_type": "client_credentials", "client_id": "any", **fields}
    prefix = f"{base}/procore" if base else ""
    return await relay.api.post(f"{prefix}{path}", data=given, headers=NOBODY)


def bearer(answer: httpx.Response) -> dict[str, str]:
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/token/"])
@pytest.mark.parametrize("bound", [False, True])
async def test_key_gets_a_token_in_procores_shape(
    relay: CallRelay, path: str, *, bound: bool
) -> None:
    agent, base = await relay.ready()
    answer = await ask(relay, base if bound else "", path=path, client_secret=relay.store.api_key)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert set(told) == {
        "access_token",
        "token_type",
        "expires_in",
        "refresh_token",
        "created_at",
    }
    assert told["token_type"] == "bearer"
    assert 0 < told["expires_in"] <= 5400
    assert isinstance(told["created_at"], int)
    assert relay.store.api_key not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    passed = await relay.api.get(f"{base}/procore/rest/v1.0/me", headers=bearer(answer))
    assert passed.status_code == 200
    assert len(agent.calls) == 1


@pytest.mark.parametrize("encoding", ["form", "multipart", "json", "basic"])
async def test_every_encoding_of_procores_clients_is_understood(
    relay: CallRelay, encoding: str
) -> None:
    key = relay.store.api_key
    fields = {"grant_type": "client_credentials", "client_id": "any", "client_secret": key}
    options: dict[str, Any] = {"headers": NOBODY}
    if encoding == "form":
        options["data"] = fields
    elif encoding == "multipart":
        options["files"] = {name: (None, value) for name, value in fields.items()}
    elif encoding == "json":
        options["json"] = {**fields, "redirect_uri": None}
    else:
        credentials = base64.b64encode(f"any:{key}".encode()).decode()
        options["headers"] = {"Authorization": f"Basic {credentials}"}
        options["data"] = {"grant_type": "client_credentials"}
    _, base = await relay.ready()
    for place in ("/oauth/token", f"{base}/procore/oauth/token"):
        answer = await relay.api.post(place, **options)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("grant", ["authorization_code", "client_credentials"])
async def test_grants_differ_in_nothing(relay: CallRelay, grant: str) -> None:
    answer = await ask(relay, grant_type=grant, code="any", client_secret=relay.store.api_key)
    assert answer.status_code == 200


async def test_bound_token_opens_its_data_source_only(relay: CallRelay) -> None:
    _, base = await relay.ready()
    other = await relay.datasource(relay.connected[0].live.connector_id)
    token = bearer(await ask(relay, base, client_secret=relay.store.api_key))
    assert (await relay.api.get(f"{base}/records/rfis", headers=token)).status_code == 200
    for path in (f"{other}/records/rfis", f"{other}/procore/rest/v1.0/me", other):
        assert (await relay.api.get(path, headers=token)).status_code == 404
    assert (await relay.api.get("/api/datasources", headers=token)).status_code == 403
    root = bearer(await ask(relay, client_secret=relay.store.api_key))
    for path in (f"{base}/records/rfis", f"{other}/procore/rest/v1.0/me"):
        assert (await relay.api.get(path, headers=root)).status_code == 200


async def test_token_has_no_more_scopes_than_its_key(relay: CallRelay) -> None:
    _, base = await relay.ready()
    key = await relay.store.key("calls:read")
    token = bearer(await ask(relay, base, client_secret=key))
    place = f"{base}/procore/rest/v1.0/rfis"
    assert (await relay.api.get(place, headers=token)).status_code == 200
    assert (await relay.api.post(place, headers=token)).status_code == 403


async def test_token_dies_with_its_key(relay: CallRelay) -> None:
    _, base = await relay.ready()
    key = await relay.store.key("all")
    token = bearer(await ask(relay, base, client_secret=key))
    keys = relay.store.storage.of(relay.store.subscription_id).keys
    await keys.revoke("key_" + key.split("_")[2], actor="test", at=relay.clock())
    place = f"{base}/procore/rest/v1.0/me"
    assert (await relay.api.get(place, headers=token)).status_code == 401
    assert (await ask(relay, base, client_secret=key)).status_code == 401


@pytest.mark.parametrize("secret", ["", "wrong", "cck_live_0000000000000000_" + "0" * 52])
async def test_wrong_secret_is_an_invalid_client(relay: CallRelay, secret: str) -> None:
    _, base = await relay.ready()
    for place in ("", base):
        answer = await ask(relay, place, client_secret=secret)
        assert answer.status_code == 401
        assert answer.json()["error"] == "invalid_client"
        assert answer.json()["error_description"]


async def test_access_token_is_no_client_secret(relay: CallRelay) -> None:
    first = (await ask(relay, client_secret=relay.store.api_key)).json()
    for name in ("access_token", "refresh_token"):
        assert (await ask(relay, client_secret=first[name])).status_code == 401


async def test_guessing_is_slowed_down(relay: CallRelay) -> None:
    statuses = [(await ask(relay, client_secret="wrong")).status_code for _ in range(12)]
    assert statuses[:10] == [401] * 10
    assert statuses[-1] == 429


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "wrong"}, "invalid_grant"),
    ],
)
async def test_wrong_grants_are_told_in_procores_words(
    relay: CallRelay, fields: dict[str, str], error: str
) -> None:
    answer = await ask(relay, client_secret=relay.store.api_key, **fields)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_refresh_token_is_used_once_and_where_it_was_given(relay: CallRelay) -> None:
    _, base = await relay.ready()
    key = relay.store.api_key
    first = (await ask(relay, base, client_secret=key)).json()
    again = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    assert (await ask(relay, client_secret=key, **again)).status_code == 400
    stranger = await relay.store.key("all")
    assert (await ask(relay, base, client_secret=stranger, **again)).status_code == 400
    second = await ask(relay, base, client_secret=key, **again)
    assert second.status_code == 200
    assert second.json()["access_token"] != first["access_token"]
    assert (await ask(relay, base, client_secret=key, **again)).status_code == 400
    assert (await ask(relay, base, client_secret="wrong", **again)).status_code == 401


async def test_token_of_an_unknown_data_source_is_not_given(relay: CallRelay) -> None:
    unknown = "/api/datasources/ds_0000000000000000"
    answer = await ask(relay, unknown, client_secret=relay.store.api_key)
    assert answer.status_code == 404
    other = await relay.store.subscription("Other")
    foreign = await relay.store.key("all", subscription_id=other)
    _, base = await relay.ready()
    assert (await ask(relay, base, client_secret=foreign)).status_code == 404


async def test_info_tells_how_long_a_token_lives(relay: CallRelay) -> None:
    _, base = await relay.ready()
    token = bearer(await ask(relay, base, client_secret=relay.store.api_key))
    for place in ("/oauth/token/info", f"{base}/procore/oauth/token/info"):
        told = (await relay.api.get(place, headers=token)).json()
        assert 5300 < told["expires_in_seconds"] <= 5400
        assert set(told) == {
            "resource_owner_id",
            "scopes",
            "expires_in_seconds",
            "application",
            "created_at",
        }
    key = await relay.api.get("/oauth/token/info")
    assert (key.status_code, key.json()["expires_in_seconds"]) == (200, None)


async def test_info_of_a_wrong_token_is_refused(relay: CallRelay) -> None:
    _, base = await relay.ready()
    other = await relay.datasource()
    token = bearer(await ask(relay, base, client_secret=relay.store.api_key))
    for headers, place in (
        ({"Authorization": "Bearer wrong"}, "/oauth/token/info"),
        ({"Authorization": "Basic wrong"}, "/oauth/token/info"),
        (token, f"{other}/procore/oauth/token/info"),
    ):
        answer = await relay.api.get(place, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
        assert "invalid_token" in answer.headers["www-authenticate"]


@pytest.mark.parametrize("bound", [False, True])
async def test_revoked_token_opens_nothing(relay: CallRelay, *, bound: bool) -> None:
    _, base = await relay.ready()
    made = await ask(relay, base if bound else "", client_secret=relay.store.api_key)
    place = f"{base}/procore/oauth/revoke" if bound else "/oauth/revoke"
    for text in (made.json()["access_token"], "unknown", relay.store.api_key):
        answer = await relay.api.post(place, data={"token": text}, headers=NOBODY)
        assert (answer.status_code, answer.json()) == (200, {})
    refused = await relay.api.get(f"{base}/procore/rest/v1.0/me", headers=bearer(made))
    assert refused.status_code == 401
    assert (await relay.api.get(f"{base}/procore/rest/v1.0/me")).status_code == 200


async def test_other_paths_below_oauth_are_not_there(relay: CallRelay) -> None:
    _, base = await relay.ready()
    for method, path in (("GET", "token"), ("POST", "token/info"), ("GET", "authorize")):
        answer = await relay.api.request(method, f"{base}/procore/oauth/{path}")
        assert answer.status_code == 404


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b"[1]", "application/json"),
        (b"{", "application/json"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"&".join(b"a=1" for _ in range(100)), "application/x-www-form-urlencoded"),
    ],
)
async def test_body_that_is_no_form_is_refused(relay: CallRelay, body: bytes, media: str) -> None:
    _, base = await relay.ready()
    answer = await relay.api.post(
        f"{base}/procore/oauth/token", content=body, headers={"Content-Type": media}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_long_token_request_is_refused(relay: CallRelay) -> None:
    _, base = await relay.ready()
    answer = await ask(relay, base, client_secret="x" * 100_000)
    assert answer.status_code == 413


async def test_empty_json_and_odd_basic_are_judged_as_nothing(relay: CallRelay) -> None:
    for headers in ({"Authorization": "Basic %%%"}, {"Authorization": "Basic /w=="}):
        answer = await relay.api.post(
            "/oauth/token", data={"grant_type": "client_credentials"}, headers=headers
        )
        assert answer.status_code == 401
    empty = await relay.api.post(
        "/oauth/token", content=b"", headers={**NOBODY, "Content-Type": "application/json"}
    )
    assert empty.json()["error"] == "invalid_request"


async def test_broken_multipart_is_no_form(relay: CallRelay) -> None:
    _, base = await relay.ready()
    headers = {"Content-Type": "multipart/form-data"}
    for place in ("/oauth/token", f"{base}/procore/oauth/token"):
        answer = await relay.api.post(place, content=b"--x\r\nbroken", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
