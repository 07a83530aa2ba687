"""The security settings of a data source, on every operation, through the API."""

from dataclasses import replace
from typing import Any

import pytest

from doubles.security_bench import EDITS, OF_PARTNERS, USES, Bench, where

CLOSED = "do not let you use it"


async def test_list_of_users_closes_every_use_to_others(bench: Bench) -> None:
    key_id, key = await bench.key("calls:read", "calls:write", "calls:test", "datasources:read")
    ann = await bench.session("Ann", "operator")
    assert await bench.closed(key, USES) == set(), "nobody named: everybody"
    await bench.secure(allowedUsers=["Ann"])
    assert await bench.closed(key, USES) == set(USES)
    assert await bench.closed(ann, USES) == set()
    answer = await bench.ask(key, *USES["query"])
    assert CLOSED in answer.json()["detail"]
    assert "allowedUsers" in answer.json()["detail"]
    await bench.secure(allowedUsers=[{"id": key_id, "name": "Somebody else"}])
    assert await bench.closed(key, USES) == set()
    viewer = await bench.session("victor", "viewer")
    refused = await bench.closed(viewer, {"query": USES["query"]})
    assert refused == {"query"}
    await bench.secure(allowedUsers=["group:viewer"])
    assert await bench.closed(viewer, {"query": USES["query"]}) == set()
    # Who may edit it sees whether it works, and may add themselves.
    assert await bench.closed(ann, USES) == set(USES) - {"test", "tree", "drift"}


async def test_excluded_user_is_out_whatever_else_is_said(bench: Bench) -> None:
    ann = await bench.session("Ann", "operator")
    await bench.secure(allowedUsers=["ann"], exclusionUsers=[{"name": "ANN"}])
    assert await bench.closed(ann, USES) == set(USES)
    await bench.secure(allowedUsers=[], exclusionUsers=["group:operator"])
    assert await bench.closed(ann, USES) == set(USES)
    await bench.secure(exclusionUsers=["bob"])
    assert await bench.closed(ann, USES) == set()


async def test_only_connection_administrators_edit(bench: Bench) -> None:
    manager = await bench.session("Mia", "data-source-manager")
    administrator = await bench.session("Adam", "administrator")
    await bench.secure(admins=["mia"])
    assert await bench.closed(administrator, EDITS) == set(EDITS)
    answer = await bench.ask(administrator, *EDITS["save"])
    assert "connection administrators" in answer.json()["detail"]
    assert (await bench.ask(administrator, "GET", "")).status_code == 200, "reading is no edit"
    await bench.secure(admins=[])
    saved = await bench.ask(administrator, *EDITS["save"])
    assert saved.status_code == 200, "nobody named: any administrator"
    await bench.secure(admins=["mia"])
    assert await bench.closed(manager, EDITS) == set()


async def test_key_with_all_scopes_is_never_locked_out(bench: Bench) -> None:
    await bench.secure(admins=["nobody"], allowedUsers=["nobody"], exclusionUsers=["group:program"])
    assert await bench.closed({}, {**USES, "save": EDITS["save"]}) == set()


async def test_partner_gets_nothing_unless_the_source_is_open_to_partners(bench: Bench) -> None:
    partner = await bench.session("Paula", "partner")
    assert await bench.closed(partner, USES | EDITS) == set(USES | EDITS)
    await bench.secure(enableB2B=True)
    assert await bench.closed(partner, USES | EDITS) == set(USES | EDITS) - OF_PARTNERS
    await bench.secure(enableB2B=True, allowedUsers=["ann"])
    assert await bench.closed(partner, USES) == set(USES)
    await bench.secure(enableB2B=True, allowedUsers=["group:partner"])
    assert await bench.closed(partner, USES) == set(USES) - OF_PARTNERS
    assert (await bench.relay.api.get("/api/calls", headers=partner)).status_code == 403


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"admins": [""]}, "admins"),
        ({"admins": [5]}, "admins"),
        ({"allowedUsers": [{}]}, "allowedUsers"),
        ({"allowedUsers": [{"id": ["x"]}]}, "allowedUsers"),
        ({"exclusionUsers": ["group:"]}, "exclusionUsers"),
        ({"exclusionUsers": ["a\nb"]}, "exclusionUsers"),
        ({"b2bMappings": ["x"]}, "mapping 0: a mapping is an object"),
        ({"b2bMappings": [{"table": "rfis"}]}, "'queryType' must be Create, Read"),
        ({"b2bMappings": [{"queryType": "Peek", "table": "rfis"}]}, "'queryType' must be"),
        ({"b2bMappings": [{"queryType": "Read"}]}, "'table' must be"),
        (
            {"b2bMappings": [{"queryType": "Read", "table": "a", "conditions": ["x"]}]},
            "b2bMappings",
        ),
        (
            {
                "b2bMappings": [
                    {"queryType": "Read", "table": "a", "conditions": where(("x", "likes", 1))}
                ]
            },
            "likes",
        ),
        (
            {
                "b2bMappings": [
                    {"queryType": "Create", "table": "a", "conditions": where(("x", "gt", 1))}
                ]
            },
            "each must be 'eq'",
        ),
        (
            {
                "b2bMappings": [
                    {"queryType": "Create", "table": "a", "conditions": where(("x", "eq", number))}
                    for number in (1, 2)
                ]
            },
            "different values",
        ),
    ],
)
async def test_what_is_wrong_with_security_settings_is_named(
    bench: Bench, members: dict[str, Any], named: str
) -> None:
    for path in ("", "/security"):
        answer = await bench.relay.api.put(bench.source + path, json=members)
        assert answer.status_code == 400, answer.text
        assert named in answer.json()["detail"]


async def test_settings_that_cannot_be_read_close_the_source(bench: Bench) -> None:
    store = bench.relay.store.storage.of(bench.relay.store.subscription_id).datasources
    found = await store.find(bench.source.rsplit("/", 1)[1])
    assert found is not None
    await store.replace(
        found,
        replace(found.details, security={"exclusionUsers": [{"who": "ann"}]}),
        status=found.status,
        message="",
        action="datasource.change",
        actor="an older version",
        at=found.modified_at + 1,
    )
    _, key = await bench.key("calls:read", "datasources:write")
    answer = await bench.ask(key, *USES["query"])
    assert answer.status_code == 403
    assert "save them again" in answer.json()["detail"]
    assert await bench.closed(key, EDITS) == set(EDITS)
    await bench.secure(exclusionUsers=[])
    assert (await bench.ask(key, *USES["query"])).status_code == 200
