"""Records: forms that create, change and delete, with dry runs, keys and refusals in words."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResponseHead, Trailers
from doubles.call_relay import CallRelay, call_relay
from doubles.exploring import Explorer, exploring
from doubles.scripted_agent import problem

ROW = {"id": 7, "subject": "Old door", "private": True, "due_date": None, "project_id": 101}
PLACE = "?table=rfis&project_id=101"
SENT: dict[str, Any] = {"table": "rfis", "nonce": "a-nonce-of-a-form"}
NEW: dict[str, Any] = {**SENT, "v.project_id": "101", "v.subject": "New door"}
EDITED: dict[str, Any] = {
    **SENT,
    "project_id": "101",
    "v.project_id": "101",
    "was.project_id": "101",
    "v.subject": "Wide door",
    "was.subject": "Old door",
    "v.private": "false",
    "was.private": "true",
    "v.due_date": "",
    "was.due_date": "",
}


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[CallRelay]:
    async with call_relay(tmp_path, connector_wait=2) as running:
        yield running


@pytest.fixture
async def explorer(relay: CallRelay) -> AsyncIterator[Explorer]:
    async with exploring(relay) as opened:
        yield opened


async def _rehearse(exchange: Exchange, _: bytes) -> None:
    message = "1 record would be deleted; nothing was written."
    await exchange.send_head(
        ResponseHead(status=200, outcome=Outcome.COMPLETED, message=message, total_items=1)
    )
    await exchange.send(orjson.dumps(ROW) + b"\n")
    await exchange.send_trailers(Trailers(outcome=Outcome.COMPLETED, total_items=1))


def _conditions(sent: dict[str, Any]) -> dict[str, Any]:
    (group,) = sent["conditions"]
    return {one["arg1"]["name"]: one["arg2"]["value"] for one in group["conditions"]}


async def test_a_dry_run_creates_nothing_and_tells_what_would_be(explorer: Explorer) -> None:
    page = await explorer.browser.post(f"{explorer.path}/records/new", do="dry", **NEW)
    assert "Dry run." in page.text
    assert 'value="New door"' in page.text
    (sent,) = explorer.asked(Operation.QUERY_DRY_RUN)
    assert sent["dryRun"] is True
    assert explorer.agent.executed == {}


async def test_what_was_filled_in_is_created_with_the_forms_own_key(explorer: Explorer) -> None:
    page = await explorer.browser.post(f"{explorer.path}/records/new", do="save", **NEW)
    assert "The record was created." in page.text
    (sent,) = explorer.asked(Operation.QUERY)
    assert sent["mappings"] == {"project_id": "101", "subject": "New door"}
    again = await explorer.browser.post(f"{explorer.path}/records/new", do="save", **NEW)
    assert "it was not written again" in again.text
    corrected = {**NEW, "v.subject": "Red door"}
    await explorer.browser.post(f"{explorer.path}/records/new", do="save", **corrected)
    assert sorted(explorer.agent.executed.values()) == [1, 1]


async def test_an_edit_sends_only_what_was_changed(explorer: Explorer) -> None:
    path = f"{explorer.path}/records/7/edit"
    page = await explorer.browser.post(path, do="save", **EDITED)
    assert "The record was changed." in page.text
    (sent,) = explorer.asked(Operation.QUERY)
    assert sent["mappings"] == {"subject": "Wide door", "private": False}
    assert _conditions(sent) == {"id": "7", "project_id": "101"}


async def test_an_edit_without_a_change_is_not_sent(explorer: Explorer) -> None:
    path = f"{explorer.path}/records/7/edit"
    same = {**EDITED, "v.subject": "Old door", "v.private": "true"}
    page = await explorer.browser.post(path, do="save", **same)
    assert page.status_code == 422
    assert "there is nothing to write" in page.text
    assert explorer.asked(Operation.QUERY) == []


async def test_the_form_of_a_record_shows_what_it_holds(explorer: Explorer) -> None:
    async def tell(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200, outcome=Outcome.COMPLETED))
        await exchange.send(orjson.dumps(ROW) + b"\n", end_stream=True)

    explorer.agent.script[Operation.QUERY] = tell
    page = (await explorer.browser.get(f"{explorer.path}/records/7/edit{PLACE}")).text
    assert 'name="v.subject" type="text" value="Old door"' in page
    assert '<option value="true" selected>' in page
    assert 'name="was.subject" value="Old door"' in page


async def test_a_deletion_is_rehearsed_before_it_is_asked_for(explorer: Explorer) -> None:
    explorer.agent.script[Operation.QUERY_DRY_RUN] = _rehearse
    path = f"{explorer.path}/records/7/delete"
    page = (await explorer.browser.get(f"{path}{PLACE}")).text
    assert "1 record would be deleted; nothing was written." in page
    assert "Delete the record" in page
    assert explorer.agent.executed == {}
    done = await explorer.browser.post(path, project_id="101", **SENT)
    assert "The record was deleted." in done.text
    (sent,) = explorer.asked(Operation.QUERY)
    assert _conditions(sent) == {"id": "7", "project_id": "101"}


async def test_a_refusal_of_the_policy_is_a_sentence_and_leaves_no_button(
    explorer: Explorer,
) -> None:
    async def refuse(exchange: Exchange, _: bytes) -> None:
        head = problem("policy_denied", "The policy “read-only” allows no deletions.", status=403)
        await exchange.send_head(head, end_stream=True)

    explorer.agent.script[Operation.QUERY_DRY_RUN] = refuse
    page = await explorer.browser.get(f"{explorer.path}/records/7/delete{PLACE}")
    assert page.status_code == 200
    assert "The policy “read-only” allows no deletions." in page.text
    assert "Delete the record" not in page.text


async def test_a_write_of_unknown_outcome_keeps_its_key(explorer: Explorer) -> None:
    async def doubt(exchange: Exchange, _: bytes) -> None:
        head = problem("outcome_unknown", "The line broke.", outcome=Outcome.UNKNOWN)
        await exchange.send_head(head, end_stream=True)

    explorer.agent.script[Operation.QUERY] = doubt
    page = (await explorer.browser.post(f"{explorer.path}/records/new", do="save", **NEW)).text
    assert "It is not known whether it was written." in page
    assert 'name="nonce" value="a-nonce-of-a-form"' in page


async def test_a_write_that_was_refused_gets_another_key(explorer: Explorer) -> None:
    async def refuse(exchange: Exchange, _: bytes) -> None:
        head = problem("policy_denied", "Not allowed.", status=403)
        await exchange.send_head(head, end_stream=True)

    explorer.agent.script[Operation.QUERY] = refuse
    page = (await explorer.browser.post(f"{explorer.path}/records/new", do="save", **NEW)).text
    assert "Not allowed." in page
    assert "Nothing was written." in page
    found = re.search(r'name="nonce" value="([^"]+)"', page)
    assert found is not None
    assert found[1] != NEW["nonce"]


async def test_a_dialog_gets_the_form_alone(explorer: Explorer) -> None:
    headers = {"Console-Partial": "dialog"}
    page = await explorer.browser.get(f"{explorer.path}/records/new{PLACE}", **headers)
    assert "<html" not in page.text
    assert 'id="dialog-title"' in page.text
    assert 'value="101"' in page.text


@pytest.mark.parametrize("role", ["viewer", "data-source-manager"])
async def test_who_may_not_write_is_refused(relay: CallRelay, role: str) -> None:
    async with exploring(relay, role) as explorer:
        for deed in ("new", "7/edit", "7/delete"):
            path = f"{explorer.path}/records/{deed}"
            assert (await explorer.browser.get(f"{path}{PLACE}")).status_code == 403
            assert (await explorer.browser.post(path, do="save", **NEW)).status_code == 403
        assert explorer.agent.executed == {}


async def test_writes_need_the_sessions_token(explorer: Explorer) -> None:
    path = f"{explorer.path}/records/new"
    answer = await explorer.browser.post(path, token="wrong", do="save", **NEW)
    assert answer.status_code == 403
    assert explorer.agent.executed == {}


async def test_a_record_of_another_subscription_is_not_there(explorer: Explorer) -> None:
    path = "/datasources/ds_0000000000000000/records/new"
    assert (await explorer.browser.get(f"{path}?table=rfis")).status_code == 404
    assert (await explorer.browser.post(path, do="save", **NEW)).status_code == 404
