"""Procore parameters: tables, fields, queries that stream, and what each role may do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import Problem, ResponseHead, Trailers
from doubles.call_relay import CallRelay, call_relay
from doubles.exploring import Explorer, exploring
from doubles.scripted_agent import problem, row_lines

TABLE: dict[str, Any] = {"table": "rfis"}
QUESTION: dict[str, Any] = {
    **TABLE,
    "display": "subject",
    "value": "id",
    "sort": "due_date",
    "direction": "desc",
    "fields": "pair",
    "limit": "50",
    "project": "101",
    "typed": "door",
    "mode": "startswith",
    "group-0": "or",
    "c-0-0-field": "due_date",
    "c-0-0-operator": "isbetween",
    "c-0-0-value": "2026-01-01",
    "c-0-0-until": "2026-02-01",
    "c-0-1-field": "private",
    "c-0-1-operator": "eq",
    "c-0-1-value": "true",
}


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[CallRelay]:
    async with call_relay(tmp_path, connector_wait=2) as running:
        yield running


@pytest.fixture
async def explorer(relay: CallRelay) -> AsyncIterator[Explorer]:
    async with exploring(relay) as opened:
        yield opened


async def test_tables_and_fields_are_listed_with_type_and_direction(explorer: Explorer) -> None:
    page = await explorer.browser.get(f"{explorer.path}/explore?table=rfis")
    assert page.status_code == 200
    assert "Company level" in page.text
    assert "Vendors" in page.text
    row = page.text.partition('<th scope="row">Subject</th>')[2].partition("</tr>")[0]
    assert ">In<" in row
    assert ">Out<" in row
    assert "string" in row
    assert ">Needed<" in row


async def test_whoever_looks_around_asks_the_connector_once(explorer: Explorer) -> None:
    for query in ("", "?table=rfis", "?table=vendors"):
        await explorer.browser.get(f"{explorer.path}/explore{query}")
    trees = [one for one in explorer.agent.calls if one.head.operation == Operation.TREE]
    assert [one.params for one in trees if "refresh" in one.params] == []
    assert len(trees) == 1
    await explorer.browser.get(f"{explorer.path}/explore?refresh=on")
    assert explorer.agent.calls[-1].params["refresh"] is True


async def test_search_finds_tables_without_script(explorer: Explorer) -> None:
    page = (await explorer.browser.get(f"{explorer.path}/explore?find=vend")).text
    assert "Vendors" in page
    assert "RFIs" not in page


async def test_a_question_is_the_query_that_the_platform_would_send(explorer: Explorer) -> None:
    answer = await explorer.browser.post(f"{explorer.path}/explore/rows", **QUESTION)
    assert answer.status_code == 200
    (sent,) = explorer.asked(Operation.QUERY)
    due = {"name": "due_date", "text": "Due date", "type": "date"}
    private = {"name": "private", "text": "Private", "type": "boolean"}
    project = {"name": "project_id", "text": "Project", "type": "number"}
    assert sent == {
        "action": "select",
        "info": {"name": "rfis", "text": "RFIs", "type": "STRUCTURE"},
        "fields": ["subject", "id"],
        "conditions": [
            {
                "group": "and",
                "conditions": [{"operator": "eq", "arg1": project, "arg2": {"value": "101"}}],
            },
            {
                "group": "or",
                "conditions": [
                    {
                        "operator": "isbetween",
                        "arg1": due,
                        "arg2": {"date1": "2026-01-01", "date2": "2026-02-01"},
                    },
                    {"operator": "eq", "arg1": private, "arg2": {"value": "true"}},
                ],
            },
        ],
        "filter": "door",
        "filterBy": "subject",
        "filterMode": "startswith",
        "orderBy": "due_date",
        "orderAscending": False,
        "rowLimit": 50,
    }


async def test_rows_stream_and_the_last_line_tells_how_it_ended(explorer: Explorer) -> None:
    answer = await explorer.browser.post(f"{explorer.path}/explore/rows", **TABLE)
    lines = [orjson.loads(line) for line in answer.text.splitlines() if line]
    assert [row["id"] for row in lines[:-1]] == [0, 1, 2]
    (ending,) = lines[-1]
    assert ending["rows"] == 3
    assert ending["total"] == 3
    assert ending["call_id"] == answer.headers["cloud-connect-call-id"]
    assert "agent" in [hop["name"] for hop in ending["hops"]]


async def test_rows_come_before_the_last_one_is_there(explorer: Explorer) -> None:
    release = asyncio.Event()

    async def slowly(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200, outcome=Outcome.COMPLETED))
        await exchange.send(row_lines(2))
        await release.wait()
        await exchange.send(row_lines(1, start=2), end_stream=True)

    explorer.agent.script[Operation.QUERY] = slowly
    data = {**TABLE, "csrf": await explorer.browser.csrf()}
    place = f"/console{explorer.path}/explore/rows"
    async with explorer.browser.client.stream("POST", place, data=data) as answer:
        lines = answer.aiter_lines()
        assert orjson.loads(await anext(lines))["id"] == 0
        assert orjson.loads(await anext(lines))["id"] == 1
        release.set()
        assert orjson.loads(await anext(lines))["id"] == 2


async def test_hanging_up_cancels_the_call_at_the_connector(explorer: Explorer) -> None:
    async def endless(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200, outcome=Outcome.COMPLETED))
        await exchange.send(row_lines(1))
        await asyncio.Event().wait()

    explorer.agent.script[Operation.QUERY] = endless
    data = {**TABLE, "csrf": await explorer.browser.csrf()}
    place = f"/console{explorer.path}/explore/rows"
    async with explorer.browser.client.stream("POST", place, data=data) as answer:
        await anext(answer.aiter_lines())
        call_id = answer.headers["cloud-connect-call-id"]
    await explorer.relay.quiet()
    async with asyncio.timeout(10):  # the cancel is on its way to the agent
        while not explorer.agent.cancelled:
            await asyncio.sleep(0.01)
    assert explorer.agent.cancelled == [call_id]


async def test_a_stream_that_fails_keeps_its_rows_and_says_why(explorer: Explorer) -> None:
    async def fails(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200, outcome=Outcome.COMPLETED))
        await exchange.send(row_lines(2) + b'{"id":')
        told = Problem(
            code="source_unavailable",
            detail="Procore broke off.",
            status=502,
            outcome=Outcome.NOT_EXECUTED,
        )
        await exchange.send_trailers(Trailers(problem=told))

    explorer.agent.script[Operation.QUERY] = fails
    answer = await explorer.browser.post(f"{explorer.path}/explore/rows", **TABLE)
    lines = [line for line in answer.text.splitlines() if line]
    assert [orjson.loads(line)["id"] for line in lines[:2]] == [0, 1]
    (ending,) = orjson.loads(lines[-1])
    assert ending["rows"] == 2
    assert ending["problem"] == {"message": "Procore broke off.", "code": "source_unavailable"}


async def test_a_refusal_before_the_first_row_is_a_problem_in_words(explorer: Explorer) -> None:
    async def refuse(exchange: Exchange, _: bytes) -> None:
        head = problem("policy_denied", "The policy of this PC does not allow RFIs.", status=403)
        await exchange.send_head(head, end_stream=True)

    explorer.agent.script[Operation.QUERY] = refuse
    answer = await explorer.browser.post(f"{explorer.path}/explore/rows", **TABLE)
    assert answer.status_code == 403
    assert answer.json()["detail"] == "The policy of this PC does not allow RFIs."
    page = await explorer.browser.post(f"{explorer.path}/explore", do="try", **TABLE)
    assert "The policy of this PC does not allow RFIs." in page.text


async def test_without_script_the_first_rows_are_on_the_page(explorer: Explorer) -> None:
    asked = {**QUESTION, "limit": "5000"}
    page = await explorer.browser.post(f"{explorer.path}/explore", do="try", **asked)
    assert page.status_code == 200
    assert "<td>Row 2</td>" in page.text
    assert '<option value="2">Row 2</option>' in page.text
    assert explorer.asked(Operation.QUERY)[0]["rowLimit"] == 100
    assert 'value="2026-02-01"' in page.text


async def test_buttons_of_the_form_add_and_remove_conditions(explorer: Explorer) -> None:
    path = f"{explorer.path}/explore"
    more = (await explorer.browser.post(path, do="add-0", **QUESTION)).text
    assert "c-0-2-field" in more
    grown = (await explorer.browser.post(path, do="add", **QUESTION)).text
    assert 'name="group-1"' in grown
    less = (await explorer.browser.post(path, do="drop-0-0", **QUESTION)).text
    assert "c-0-1-field" not in less
    assert "isbetween" not in less
    assert explorer.asked(Operation.QUERY) == []


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("limit", "many", "Row limit is a whole number."),
        ("project", "5 or 6", "The id of a project is a number"),
        ("c-0-1-field", "subject", "Enter what to compare with"),
    ],
)
async def test_what_is_wrong_stands_beside_what_was_typed(
    explorer: Explorer, field: str, value: str, sentence: str
) -> None:
    asked = {**QUESTION, "c-0-1-value": "", field: value}
    if not field.startswith("c-"):
        asked["c-0-1-value"] = "true"
    page = await explorer.browser.post(f"{explorer.path}/explore", do="try", **asked)
    assert page.status_code == 422
    assert sentence in page.text
    assert value in page.text
    rows = await explorer.browser.post(f"{explorer.path}/explore/rows", **asked)
    assert rows.status_code == 422
    assert explorer.asked(Operation.QUERY) == []


async def test_texts_to_copy_hold_the_query_and_no_secret(explorer: Explorer) -> None:
    asked = {**QUESTION, "typed": "it's"}
    text = (await explorer.browser.post(f"{explorer.path}/explore/snippets", **asked)).text
    assert "$CLOUD_CONNECT_KEY" in text
    assert "CloudConnect.open" in text
    assert "isbetween" in text
    assert "cck_" not in text


async def test_a_tree_that_cannot_be_read_is_said_with_the_next_step(relay: CallRelay) -> None:
    async with exploring(relay) as explorer:
        for one in relay.connected:
            await one.lose()
        page = await explorer.browser.get(f"{explorer.path}/explore")
    assert page.status_code == 200
    assert "The tables cannot be read." in page.text
    assert "Try again" in page.text


async def test_a_viewer_reads_and_sees_nothing_to_write(relay: CallRelay) -> None:
    async with exploring(relay, "viewer") as explorer:
        page = await explorer.browser.post(f"{explorer.path}/explore", do="try", **TABLE)
        assert page.status_code == 200
        assert "<td>Row 2</td>" in page.text
        assert "/records/" not in page.text
        assert "data-records=" not in page.text
        refused = await explorer.browser.get(f"{explorer.path}/records/new?table=rfis")
        assert refused.status_code == 403


async def test_another_subscriptions_data_source_is_not_there(explorer: Explorer) -> None:
    other = "/datasources/ds_0000000000000000"
    assert (await explorer.browser.get(f"{other}/explore")).status_code == 404
    answer = await explorer.browser.post(f"{other}/explore/rows", **TABLE)
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


async def test_rows_need_the_sessions_token(explorer: Explorer) -> None:
    place = f"{explorer.path}/explore/rows"
    assert (await explorer.browser.post(place, token="wrong", **TABLE)).status_code == 403
    header = {"X-CSRF-Token": await explorer.browser.csrf()}
    assert (
        await explorer.browser.post(place, token="", headers=header, **TABLE)
    ).status_code == 200
