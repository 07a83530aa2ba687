"""Partner default query parameters: what every query of a partner is bound to."""

import json
from typing import Any

import pytest

from cloud_connect.calls import Operation
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResponseHead
from doubles.security_bench import MAPPINGS, OF_PARTNERS, SELECT, USES, Bench, leaves, where


async def bound_partner(bench: Bench) -> dict[str, str]:
    await bench.secure(enableB2B=True, enableFiltering=True, b2bMappings=MAPPINGS)
    return await bench.session("Paula", "partner")


async def test_conditions_of_partners_take_precedence_in_queries(bench: Bench) -> None:
    partner = await bound_partner(bench)
    designed = where(("status", "eq", "closed"), ("subject", "contains", "door"))
    answer = await bench.ask(partner, "POST", "/query", {**SELECT, "conditions": designed})
    assert answer.status_code == 200, answer.text
    assert leaves(bench.heard().condition) == [
        ("subject", "contains", "door"),
        ("status", "eq", "open"),
    ]
    # An alternative cannot get around what must hold.
    widened = where(("status", "eq", "closed"), ("id", "gt", 0), group="or")
    await bench.ask(partner, "POST", "/query", {**SELECT, "conditions": widened})
    condition = bench.heard().condition
    assert condition is not None
    assert condition.group == "and"
    assert leaves(condition.conditions[-1]) == [("status", "eq", "open")]
    # A search box, a single group and no condition at all are bound alike.
    for more in ({"filter": "x", "filterBy": "subject"}, {"conditions": widened[0]}, {}):
        await bench.ask(partner, "POST", "/query", {**SELECT, **more})
        assert leaves(bench.heard().condition)[-1] == ("status", "eq", "open")
    # Members of the subscription are not bound.
    await bench.ask(await bench.session("Ann", "viewer"), "POST", "/query", SELECT)
    assert bench.heard().condition is None


async def test_what_no_mapping_is_about_is_closed_to_partners(bench: Bench) -> None:
    partner = await bound_partner(bench)
    for body in (
        {**SELECT, "info": {"name": "submittals"}},
        {**SELECT, "info": {"name": "RFIs"}},
        {**SELECT, "action": "delete", "conditions": where(("id", "eq", 1))},
    ):
        answer = await bench.ask(partner, "POST", "/query", body)
        assert answer.status_code == 403
        assert "default query parameters" in answer.json()["detail"]
    closed = {"show", "change", "delete"} | (set(USES) - OF_PARTNERS)
    assert await bench.closed(partner, USES) == closed
    listed = await bench.ask(partner, "GET", "/records/vendors")
    assert listed.status_code == 403, "alternatives cannot be told to a list"
    assert "send a query" in listed.json()["detail"]


async def test_lists_of_partners_are_filtered(bench: Bench) -> None:
    partner = await bound_partner(bench)
    path = "/records/rfis?filter[status]=closed&filter[subject]=x&project_id=5&limit=3"
    assert (await bench.ask(partner, "GET", path)).status_code == 200
    params = bench.agent.heard[-1].params
    assert params["filters"] == [
        {"field": "subject", "operator": "eq", "value": "x"},
        {"field": "status", "operator": "eq", "value": "open"},
    ]
    assert params["scope"] == {"project_id": "5"}


@pytest.mark.parametrize(
    "body",
    [
        {"mappings": {"subject": "x", "vendor": {"id": 8}, "Vendor.Id": 9}},
        {"mappings": [{"left": {"value": 8}, "right": {"name": "vendor.id"}}]},
        {"info": {"name": "rfis", "mappings": {"inputmappings": {"vendor": 8}}}},
        {"records": [{"vendor.id.x": 8}, {"subject": "x"}]},
    ],
)
async def test_new_records_of_partners_get_their_values(bench: Bench, body: dict[str, Any]) -> None:
    partner = await bound_partner(bench)
    await bench.ask(partner, "POST", "/query", {**SELECT, "action": "insert", **body})
    query = bench.heard()
    for record in query.records or (query.mappings,):
        assert record["vendor.id"] == 7
        assert not {name for name in record if name.casefold().startswith("vendor")} - {"vendor.id"}


async def test_records_that_partners_create_get_their_values(bench: Bench) -> None:
    partner = await bound_partner(bench)
    for sent in ({"subject": "x", "vendor": {"id": 8}}, [{"vendor.id": 8}, {"subject": "y"}]):
        answer = await bench.ask(partner, "POST", "/records/rfis?dryRun=true", sent)
        assert answer.status_code == 200, answer.text
        heard = json.loads(bench.agent.heard[-1].body)
        for record in heard if isinstance(heard, list) else [heard]:
            assert record["vendor.id"] == 7
            assert "vendor" not in record


async def test_updates_of_partners_stay_within_and_move_nothing_out(bench: Bench) -> None:
    partner = await bound_partner(bench)
    update = {**SELECT, "action": "update", "conditions": where(("vendor.id", "eq", 8))}
    await bench.ask(partner, "POST", "/query", {**update, "mappings": {"subject": "x"}})
    assert leaves(bench.heard().condition) == [("vendor.id", "eq", 8), ("vendor.id", "eq", 7)]
    for name in ("vendor.id", "vendor", "VENDOR.ID"):
        answer = await bench.ask(partner, "POST", "/query", {**update, "mappings": {name: 9}})
        assert answer.status_code == 403
        assert name in answer.json()["detail"]


async def test_partners_see_the_tables_that_a_mapping_is_about(bench: Bench) -> None:
    def table(name: str) -> dict[str, Any]:
        return {"name": name, "selectable": True, "nodes": [{"name": "id"}]}

    async def tree(exchange: Exchange, _: bytes) -> None:
        nodes = [
            {"name": "company", "selectable": False, "nodes": [table("vendors"), table("users")]},
            {"name": "project", "selectable": False, "nodes": [table("submittals")]},
            table("rfis"),
        ]
        await exchange.send_head(ResponseHead(status=200))
        await exchange.send(json.dumps({"items": nodes}).encode(), end_stream=True)

    bench.agent.script[Operation.TREE] = tree
    partner = await bound_partner(bench)
    told = (await bench.ask(partner, "POST", "/tree")).json()
    assert told["items"] == [
        {"name": "company", "selectable": False, "nodes": [table("vendors")]},
        table("rfis"),
    ]


async def test_conditions_with_members_that_are_empty_are_bound_like_others(bench: Bench) -> None:
    partner = await bound_partner(bench)
    (one,) = where(("status", "eq", "closed"))[0]["conditions"]
    nothing: tuple[object, ...] = (None, [])
    for empty in nothing:
        written = {**SELECT, "conditions": [{**one, "conditions": empty}]}
        answer = await bench.ask(partner, "POST", "/query", written)
        assert answer.json()["success"], answer.text
        assert leaves(bench.heard().condition) == [("status", "eq", "open")]


async def test_numbers_of_more_than_64_bits_go_on_as_they_came(bench: Bench) -> None:
    partner = await bound_partner(bench)
    asked = {**SELECT, "conditions": where(("id", "eq", 10**30))}
    answer = await bench.ask(partner, "POST", "/query", asked)
    assert answer.json()["success"], answer.text
    assert b'"value":1000000000000000000000000000000}' in bench.agent.heard[-1].body


async def test_query_that_cannot_be_carried_out_says_so_to_programs_too(bench: Bench) -> None:
    viewer = await bench.session("Ann", "viewer")
    answer = await bench.ask(viewer, "POST", "/query", {**SELECT, "action": "zap"})
    told = answer.json()
    assert (answer.status_code, told["success"]) == (200, False)
    assert (told["data"]["code"], told["data"]["outcome"]) == ("invalid_request", "not_executed")
