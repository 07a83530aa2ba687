"""The security settings of a data source: lists, switches, mappings."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from doubles.call_relay import CallRelay, call_relay
from doubles.console_browser import Browser, browser_at
from doubles.reading_pages import console, stored, value_of, words

pytestmark = pytest.mark.timeout(60)  # each founds a store and hashes a password

MAPPING: dict[str, Any] = {
    "mapping": ["m0"],
    "m0-type": "Read",
    "m0-table": "rfis",
    "m0-field": ["status", ""],
    "m0-operator": ["eq", "eq"],
    "m0-value": ["open", ""],
}


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[CallRelay]:
    async with call_relay(tmp_path) as running:
        yield running


@pytest.fixture
async def admin(relay: CallRelay) -> AsyncIterator[Browser]:
    async with browser_at(relay.services.addresses.api_url) as opened:
        yield opened


async def test_all_settings_are_saved_and_shown_again(relay: CallRelay, admin: Browser) -> None:
    api = await relay.datasource(title="RFIs")
    path = f"{console(api)}/security"
    shown = await admin.get(path)
    for word in (
        "Connection administrators",
        "Connection users",
        "Enable B2B",
        "Enable partner default query parameters",
    ):
        assert word in words(shown)
    answer = await admin.post(
        path,
        seen=value_of(shown, "seen"),
        admins="admin\ngroup:operator",
        allowedUsers="group:member",
        enableB2B="on",
        enableFiltering="on",
        **MAPPING,
    )
    assert answer.status_code == 303
    source = await stored(relay, api)
    assert source["admins"] == ["admin", "group:operator"]
    assert source["allowedUsers"] == ["group:member"]
    assert source["enableB2B"] is True
    assert source["enableFiltering"] is True
    condition = {"operator": "eq", "arg1": {"name": "status"}, "arg2": {"value": "open"}}
    assert source["b2bMappings"] == [
        {"queryType": "Read", "table": "rfis", "conditions": [condition]}
    ]
    again = await admin.get(path)
    assert value_of(again, "m0-table") == "rfis"
    assert value_of(again, "m0-value") == "open"


async def test_what_a_platform_wrote_stays_as_it_is(relay: CallRelay, admin: Browser) -> None:
    written = {
        "type": "select",
        "table": {"name": "rfis"},
        "conditions": [
            {
                "group": "or",
                "conditions": [
                    {"id": "1", "operator": "eq", "arg1": {"name": "a"}, "arg2": {"value": 1}},
                    {"id": "2", "operator": "eq", "arg1": {"name": "b"}, "arg2": {"value": 2}},
                ],
            }
        ],
    }
    plain = {
        "queryType": "Update",
        "table": "rfis",
        "conditions": [
            {"id": "3", "operator": "in", "arg1": {"name": "c"}, "arg2": {"value": [1, 2]}}
        ],
    }
    people = [{"name": "Admin", "id": ""}, {"name": "operator", "type": "group"}]
    api = await relay.datasource(title="RFIs", b2bMappings=[written, plain], admins=people)
    path = f"{console(api)}/security"
    shown = await admin.get(path)
    fields: dict[str, Any] = {
        "seen": value_of(shown, "seen"),
        "admins": "admin\ngroup:operator",
        "mapping": ["m0", "m1"],
        "m0-type": "Read",
        "m0-table": "rfis",
        "m0-json": '[{"group": "or", "conditions": [{"operator": "eq", "arg1": {"name": "a"},'
        ' "arg2": {"value": 1}}, {"operator": "eq", "arg1": {"name": "b"}}]}]',
        "m1-type": "Update",
        "m1-table": "rfis",
        "m1-field": "c",
        "m1-operator": "in",
        "m1-value": "1, 2",
    }
    answer = await admin.post(path, **fields)
    assert answer.status_code == 303, words(answer)
    source = await stored(relay, api)
    assert source["admins"] == people
    assert source["b2bMappings"][0]["conditions"][0]["group"] == "or"
    assert source["b2bMappings"][1] == plain


async def test_mappings_come_and_go_without_a_script(relay: CallRelay, admin: Browser) -> None:
    path = f"{console(await relay.datasource(title='RFIs'))}/security"
    added = await admin.post(path, do="add", enableFiltering="on", **MAPPING)
    assert "Mapping 2" in words(added)
    assert value_of(added, "m0-table") == "rfis"
    longer = await admin.post(path, do="line:0", **MAPPING)
    assert longer.text.count('name="m0-field"') == 3
    less = await admin.post(path, do="remove:0", **MAPPING)
    assert "Mapping 1" not in words(less)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({**MAPPING, "m0-table": ""}, "Mapping 1: name the table"),
        ({**MAPPING, "m0-field": ["", ""]}, "a condition has a value, but names no field"),
        ({**MAPPING, "m0-type": "Create", "m0-operator": ["gt", "eq"]}, "each must be 'eq'"),
        ({**MAPPING, "m0-json": "{"}, "the conditions are no JSON"),
        ({"admins": "x" * 300}, "Connection administrators, “xxx"),
    ],
)
async def test_bad_input_is_told_and_kept(
    relay: CallRelay, admin: Browser, fields: dict[str, Any], sentence: str
) -> None:
    api = await relay.datasource(title="RFIs")
    path = f"{console(api)}/security"
    shown = await admin.get(path)
    answer = await admin.post(
        path, seen=value_of(shown, "seen"), allowedUsers="kept-name", enableFiltering="on", **fields
    )
    assert answer.status_code == 422
    assert sentence in words(answer)
    assert "kept-name" in answer.text
    assert (await stored(relay, api))["allowedUsers"] == []


async def test_settings_of_somebody_else_are_not_overwritten(
    relay: CallRelay, admin: Browser
) -> None:
    api = await relay.datasource(title="RFIs")
    path = f"{console(api)}/security"
    shown = await admin.get(path)
    await relay.api.put(f"{api}/security", json={"allowedUsers": ["ann"]})
    answer = await admin.post(path, seen=value_of(shown, "seen"), enableB2B="on")
    assert answer.status_code == 409
    assert "Somebody else changed the security settings" in words(answer)
    assert (await stored(relay, api))["allowedUsers"] == ["ann"]
