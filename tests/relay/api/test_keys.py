"""API keys over the API: what they may do, from where, and how one follows another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud_connect_relay.networks import admits, checked_network, counted_as
from doubles.relay_node import Node, running_node


async def made(node: Node, **body: Any) -> dict[str, Any]:
    answer = await node.api.post("/api/keys", json={"scopes": ["connectors:read"], **body})
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def opens(node: Node, key: str, *, caller: httpx.AsyncClient | None = None) -> bool:
    answer = await (caller or node.api).get("/api/connectors", headers=node.auth(key))
    assert answer.status_code in {200, 401}
    return answer.status_code == 200


@asynccontextmanager
async def at(node: Node, address: str) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(local_address=address)
    async with httpx.AsyncClient(
        base_url=node.addresses.api_url, transport=transport, trust_env=False
    ) as caller:
        yield caller


async def test_secret_is_shown_once(node: Node) -> None:
    key = await made(node, name="nightly", expires_in="90d")
    assert key["api_key"].startswith(f"cck_live_{key['id'][4:]}_")
    assert await opens(node, key["api_key"])
    shown = (await node.api.get(f"/api/keys/{key['id']}")).json()
    assert set(key) - set(shown) == {"api_key", "key"}
    listed = (await node.api.get("/api/keys")).json()["items"]
    assert shown in listed
    assert key["api_key"].rsplit("_", 1)[1] not in str(listed)
    assert (shown["name"], shown["status"], shown["acts_for"]) == ("nightly", "live", None)


async def test_revoked_key_is_refused_and_stays_listed(node: Node) -> None:
    key = await made(node)
    assert (await node.api.delete(f"/api/keys/{key['id']}")).status_code == 204
    assert (await node.api.delete(f"/api/keys/{key['id']}")).status_code == 404
    assert not await opens(node, key["api_key"])
    assert (await node.api.get(f"/api/keys/{key['id']}")).json()["status"] == "revoked"


async def test_rotated_key_and_its_successor_both_work_until_the_overlap_ends(node: Node) -> None:
    old = await made(node, name="nightly", addresses=["127.0.0.0/8"])
    new = (await node.api.post(f"/api/keys/{old['id']}/rotate", json={"overlap": 60})).json()
    for name in ("name", "scopes", "addresses"):
        assert new[name] == old[name]
    assert await opens(node, old["api_key"])
    assert await opens(node, new["api_key"])
    last = (await node.api.post(f"/api/keys/{new['id']}/rotate", json={"overlap": 0})).json()
    assert not await opens(node, new["api_key"])
    assert await opens(node, last["api_key"])
    again = await node.api.post(f"/api/keys/{new['id']}/rotate")
    assert again.status_code == 404, "it has ended"


async def test_nobody_gives_away_more_than_they_have(node: Node) -> None:
    root = await made(node, scopes=["all"])
    lesser = (await made(node, scopes=["keys:manage", "calls:read"]))["api_key"]
    for body in (
        {"scopes": ["all"]},
        {"scopes": ["calls:read", "calls:write"]},
        {"scopes": ["calls:read"], "acts_for": "members"},
    ):
        answer = await node.api.post("/api/keys", json=body, headers=node.auth(lesser))
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    stolen = await node.api.post(f"/api/keys/{root['id']}/rotate", headers=node.auth(lesser))
    assert stolen.status_code == 403, "a successor would have all its rights"
    speaker = await made(node, scopes=["calls:read"], acts_for="members")
    stolen = await node.api.post(f"/api/keys/{speaker['id']}/rotate", headers=node.auth(lesser))
    assert stolen.status_code == 403
    own = await node.api.post(
        "/api/keys", json={"scopes": ["calls:read"]}, headers=node.auth(lesser)
    )
    assert own.status_code == 201
    bound = await made(node, scopes=["keys:manage"], addresses=["127.0.0.1"])
    escape = await node.api.post(
        "/api/keys", json={"scopes": ["keys:manage"]}, headers=node.auth(bound["api_key"])
    )
    assert escape.status_code == 403, "the new one would work from anywhere"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["calls:delete"]}, "there are the scopes all,"),
        ({"scopes": ["all"], "addresses": ["10.0.0.0/33"]}, "no address or network"),
        ({"scopes": ["all"], "acts_for": "anybody"}, "acts_for"),
        ({"scopes": ["all"], "expires_in": "soon"}, "expires_in"),
        ({"scopes": ["all"], "name": "a\nb"}, "name"),
        ({"scopes": ["all"], "secret": "mine"}, "secret"),
    ],
)
async def test_what_is_wrong_with_a_new_key_is_named(
    node: Node, body: dict[str, Any], named: str
) -> None:
    answer = await node.api.post("/api/keys", json=body)
    assert answer.status_code == 400
    assert named in answer.json()["detail"]


async def test_key_is_used_from_its_addresses_only(tmp_path: Path) -> None:
    """With the cache that production has: what was believed here is not believed there."""
    async with (
        running_node(tmp_path, auth={"cache_timeout": 5}) as node,
        at(node, "127.0.0.2") as elsewhere,
    ):
        key = await made(node, addresses=["127.0.0.1", "10.0.0.0/8"])
        form = {"grant_type": "client_credentials", "client_secret": key["api_key"]}
        for _ in range(2):
            assert await opens(node, key["api_key"])
            assert not await opens(node, key["api_key"], caller=elsewhere)
        assert (await elsewhere.post("/oauth/token", data=form)).status_code == 401
        token = (await node.api.post("/oauth/token", data=form)).json()["access_token"]
        assert await opens(node, token)
        assert not await opens(node, token, caller=elsewhere), "nor what was derived from it"
        told = await elsewhere.get("/oauth/token/info", headers=node.auth(token))
        assert told.status_code == 401
        unknown = await elsewhere.get("/api/connectors", headers=node.auth("cck_live_x"))
        refused = await elsewhere.get("/api/connectors", headers=node.auth(key["api_key"]))
        assert refused.content == unknown.content


async def test_forwarded_address_counts_only_behind_a_trusted_proxy(tmp_path: Path) -> None:
    forwarded = {"X-Forwarded-For": "10.1.2.3"}
    for trusted, expected in (((), 401), (("127.0.0.1",), 200)):
        folder = tmp_path / str(expected)
        async with running_node(folder, api={"trusted_proxies": trusted}) as node:
            key = (await made(node, addresses=["10.0.0.0/8"]))["api_key"]
            answer = await node.api.get("/api/connectors", headers={**node.auth(key), **forwarded})
            assert answer.status_code == expected


@pytest.mark.parametrize(
    ("networks", "source", "expected"),
    [
        ((), None, True),
        (("10.0.0.0/8",), None, False),
        (("10.0.0.0/8",), "", False),
        (("10.0.0.0/8",), "unix", False),
        (("10.0.0.0/8",), "10.255.0.1", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("10.0.0.0/8",), "::ffff:10.0.0.1", True),
        (("::1/128", "2001:db8::/32"), "2001:db8::7%eth0", True),
        (("0.0.0.0/0",), "::1", False),
    ],
)
def test_address_is_in_a_network_or_not(
    networks: tuple[str, ...], source: str | None, *, expected: bool
) -> None:
    assert admits(networks, source) is expected


def test_networks_are_kept_in_their_usual_form() -> None:
    assert checked_network(" 10.1.2.3/8 ") == "10.0.0.0/8"
    assert checked_network("192.0.2.7") == "192.0.2.7/32"
    with pytest.raises(ValueError, match="no address or network"):
        checked_network("example.com")


def test_failures_are_counted_by_address_and_by_household_of_ipv6() -> None:
    assert counted_as("192.0.2.7") == "192.0.2.7"
    assert counted_as("::ffff:192.0.2.7") == "192.0.2.7"
    assert (
        counted_as("2001:db8:1:2::7") == counted_as("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    )
    assert counted_as("2001:db8:1:3::7") != counted_as("2001:db8:1:2::7")
    assert counted_as(None) is None
    assert counted_as("unix") == "unix"
