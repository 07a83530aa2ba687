"""Data sources: the list and the details, with real forms and an agent on a session."""

import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud_connect_relay.passwords import Passwords
from doubles.call_relay import COMPANY, CallRelay, call_relay
from doubles.console_browser import Browser, browser_at
from doubles.reading_pages import console, stored, value_of, words
from doubles.relay_node import NOW, PASSWORD
from doubles.signing_agent import SigningAgent

pytestmark = pytest.mark.timeout(60)  # each founds a store and hashes passwords

PART = {"Console-Partial": "part"}
COMPLETE: dict[str, Any] = {
    "title": "RFIs",
    "company_id": COMPANY,
    "environment": "live",
    "use_connector": "on",
}


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[CallRelay]:
    async with call_relay(tmp_path) as running:
        yield running


@pytest.fixture
async def admin(relay: CallRelay) -> AsyncIterator[Browser]:
    async with at(relay) as opened:
        yield opened


def at(relay: CallRelay, username: str = "admin") -> AbstractAsyncContextManager[Browser]:
    return browser_at(relay.services.addresses.api_url, username=username)


async def person(relay: CallRelay, role: str, *, subscription_id: str | None = None) -> str:
    users = relay.store.storage.of(subscription_id or relay.store.subscription_id).users
    hashed = await Passwords().hash(PASSWORD)
    await users.create(role, password_hash=hashed, role=role, actor="test", at=NOW)
    return role


async def notice(visitor: Browser, answer: httpx.Response) -> str:
    """Return what the page says that a form led to."""
    assert answer.status_code == 303, words(answer)
    page = await visitor.get(answer.headers["location"].removeprefix("/console"))
    assert page.status_code == 200
    found = re.search(r'<div id="notices".*?</div></div>', page.text, re.DOTALL)
    return "" if found is None else " ".join(re.sub(r"<[^>]+>", " ", found[0]).split())


async def save(visitor: Browser, path: str, **changes: Any) -> httpx.Response:
    """Change fields of the page and send its form."""
    page = await visitor.get(path)
    return await visitor.post(path, **{"seen": value_of(page, "seen"), **changes})


async def test_the_list_shows_what_the_platform_lists(relay: CallRelay, admin: Browser) -> None:
    assert "There is no data source yet" in words(await admin.get("/datasources"))
    await relay.datasource(title="RFIs of London")
    await relay.datasource(title="Drawings", settings={})
    page = await admin.get("/datasources")
    heads = re.findall(r'<th scope="col"[^>]*>(?:<span[^>]*>)?([^<]+)', page.text)
    assert heads[:5] == ["Name", "Type", "Modified", "Modified By", "Status"]
    assert "Procore" in words(page)
    assert "API key initial" in words(page)
    assert "+ Add new" in words(page)
    assert page.text.index("Drawings") < page.text.index("RFIs of London")


async def test_search_is_by_name_or_type(relay: CallRelay, admin: Browser) -> None:
    await relay.datasource(title="RFIs of London")
    await relay.datasource(title="Drawings")
    found = words(await admin.get("/datasources?q=london"))
    assert "RFIs of London" in found
    assert "Drawings" not in found
    both = words(await admin.get("/datasources?q=procore"))
    assert "RFIs of London" in both
    assert "Drawings" in both
    assert "No data source has “<b>” in its name" in words(
        await admin.get("/datasources?q=%3Cb%3E")
    ).replace("&lt;b&gt;", "<b>")


async def test_an_empty_one_is_saved_and_told_so_word_by_word(
    relay: CallRelay, admin: Browser
) -> None:
    answer = await admin.post("/datasources/new", title="")
    assert (await notice(admin, answer)).endswith("Details saved successfully")
    source = await stored(relay, answer.headers["location"].replace("/console", "/api"))
    assert source["status"] == "incomplete"
    page = words(await admin.get(answer.headers["location"].removeprefix("/console")))
    assert "incomplete" in page
    assert "it lacks a name, the Procore company id and the Procore environment" in page


async def test_details_are_saved_and_shown_again(relay: CallRelay, admin: Browser) -> None:
    connector_id = await relay.enrol(name="Site office", group="London")
    answer = await admin.post(
        "/datasources/new", **COMPLETE, connectors=[connector_id], group="London", project_id="7"
    )
    path = answer.headers["location"].removeprefix("/console")
    source = await stored(relay, f"/api{path}")
    assert source["title"] == "RFIs"
    assert source["settings"] == {"companyId": COMPANY, "environment": "live", "projectId": "7"}
    assert source["useConnector"] is True
    assert source["connectorId"] == connector_id
    assert source["connectorGroup"] == "London"
    page = await admin.get(path)
    assert value_of(page, "company_id") == COMPANY
    assert re.search(rf'value="{connector_id}" checked', page.text)
    assert "Offline" in words(page)
    assert re.search(r'value="live" checked', page.text)
    assert "Live Monthly Sandbox Developer Sandbox" in words(page)


async def test_a_company_id_that_is_none_is_refused_beside_its_field(admin: Browser) -> None:
    answer = await admin.post("/datasources/new", title="RFIs", company_id="12 ab")
    assert answer.status_code == 422
    assert value_of(answer, "title") == "RFIs"
    assert value_of(answer, "company_id") == "12 ab"
    assert "Procore Company Id is a whole number" in words(answer)
    assert 'id="f-company_id-error"' in answer.text


async def test_a_connector_of_nobody_is_refused(relay: CallRelay, admin: Browser) -> None:
    theirs = await relay.enrol(subscription_id=await relay.store.subscription("Other"))
    answer = await admin.post("/datasources/new", **COMPLETE, connectors=[theirs])
    assert answer.status_code == 422
    assert "choose among those that are left" in words(answer)


async def test_connectors_are_those_of_the_subscription(relay: CallRelay, admin: Browser) -> None:
    await relay.enrol(name="ours")
    await relay.enrol(name="theirs", subscription_id=await relay.store.subscription("Other"))
    await relay.enrol(name="gone", status_flag="revoked")
    page = words(await admin.get("/datasources/new"))
    assert "ours" in page
    assert "theirs" not in page
    assert "gone" not in page


@pytest.mark.parametrize("script", [True, False])
async def test_a_test_saves_runs_and_tells(relay: CallRelay, admin: Browser, script: bool) -> None:  # noqa: FBT001  a parameter of the test
    agent = SigningAgent()
    _, api = await relay.ready(agent)
    path = console(api)
    page = await admin.get(path)
    fields = {
        **COMPLETE,
        "title": "Renamed",
        "connectors": [relay.connected[0].live.connector_id],
        "seen": value_of(page, "seen"),
    }
    answer = await admin.post(f"{path}/test", headers=PART if script else None, **fields)
    text = words(answer) if script else await notice(admin, answer)
    assert "Connection test succeeded" in text
    source = await stored(relay, api)
    assert (source["title"], source["status"]) == ("Renamed", "ready")
    assert ("About Company." in text) is script


async def test_a_failed_test_tells_the_step(relay: CallRelay, admin: Browser) -> None:
    agent = SigningAgent()
    agent.passes = False
    _, api = await relay.ready(agent)
    path = console(api)
    await save(admin, path, **COMPLETE, connectors=[relay.connected[0].live.connector_id])
    page = await admin.get(path)
    answer = await admin.post(
        f"{path}/test",
        headers=PART,
        seen=value_of(page, "seen"),
        **COMPLETE,
        connectors=[relay.connected[0].live.connector_id],
    )
    assert "Connection test failed at step 3 (Company)" in words(answer)
    assert re.search(r'<li class="bad">.*?aria-label="Failed".*?<strong>Company', answer.text)
    assert (await stored(relay, api))["status"] == "test failed"


async def test_a_test_of_something_incomplete_says_what_it_lacks(admin: Browser) -> None:
    answer = await admin.post("/datasources/new/test", title="RFIs", headers=PART)
    assert answer.status_code == 200
    assert "it lacks the Procore company id" in words(answer)
    assert answer.headers["console-location"].startswith("/console/datasources/ds_")


async def test_authorize_begins_a_sign_in_and_notices_its_end(
    relay: CallRelay, admin: Browser
) -> None:
    _, api = await relay.ready(SigningAgent())
    path = console(api)
    connector_id = relay.connected[0].live.connector_id
    page = await admin.get(path)
    answer = await admin.post(
        f"{path}/authorize", seen=value_of(page, "seen"), **COMPLETE, connectors=[connector_id]
    )
    address = re.search(r'data-address="([^"]+)"', answer.text)
    attempt = re.search(r'data-attempt="([^"]+)"', answer.text)
    assert address is not None
    assert attempt is not None
    assert unescape(address[1]).startswith("https://login.procore.com/oauth/authorize?")
    follow = f"{path}/sign-in?attempt={attempt[1]}"
    assert (await admin.get(follow)).json()["state"] == "waiting"
    async with httpx.AsyncClient(base_url=relay.services.addresses.api_url) as window:
        await window.get("/oauth/callback", params={"code": "c0de", "state": "state-0"})
    assert (await admin.get(follow)).json() == {
        "state": "done",
        "text": "Signed in: pc now acts in Procore as ann@example.com.",
    }
    assert "now acts in Procore as" in words(await admin.get(f"{path}?attempt={attempt[1]}"))
    relay.clock.ahead = 700
    assert (await admin.get(f"{path}/sign-in?attempt=other")).json()["state"] == "failed"


async def test_a_refused_sign_in_is_told(relay: CallRelay, admin: Browser) -> None:
    _, api = await relay.ready(SigningAgent())
    path = console(api)
    page = await admin.get(path)
    answer = await admin.post(
        f"{path}/authorize",
        seen=value_of(page, "seen"),
        **COMPLETE,
        connectors=[relay.connected[0].live.connector_id],
    )
    attempt = re.search(r'data-attempt="([^"]+)"', answer.text)
    assert attempt is not None
    async with httpx.AsyncClient(base_url=relay.services.addresses.api_url) as window:
        await window.get("/oauth/callback", params={"error": "access_denied", "state": "state-0"})
    told = (await admin.get(f"{path}/sign-in?attempt={attempt[1]}")).json()
    assert told["state"] == "failed"
    assert "access was refused" in told["text"]


async def test_authorize_without_a_connector_says_what_is_in_the_way(
    relay: CallRelay, admin: Browser
) -> None:
    path = console(await relay.datasource(await relay.enrol()))
    page = await admin.get(path)
    answer = await admin.post(
        f"{path}/authorize", headers=PART, seen=value_of(page, "seen"), **COMPLETE
    )
    assert 'data-sign-in="failed"' in answer.text
    assert "it lacks a connector" in words(answer)


async def test_what_somebody_else_saved_is_not_overwritten(
    relay: CallRelay, admin: Browser
) -> None:
    api = await relay.datasource(title="RFIs")
    path = console(api)
    mine = await admin.get(path)
    await relay.api.put(api, json={"title": "Theirs"})
    answer = await admin.post(path, title="Mine", seen=value_of(mine, "seen"))
    assert answer.status_code == 409
    assert "Nothing was saved: API key initial changed this data source" in words(answer)
    assert "Theirs Mine" in words(answer)
    assert value_of(answer, "title") == "Mine"
    assert (await stored(relay, api))["title"] == "Theirs"
    again = await admin.post(path, title="Mine", seen=value_of(answer, "seen"))
    assert again.status_code == 303
    assert (await stored(relay, api))["title"] == "Mine"


async def test_a_refused_form_keeps_the_version_that_it_began_with(
    relay: CallRelay, admin: Browser
) -> None:
    api = await relay.datasource(title="RFIs")
    path = console(api)
    mine = await admin.get(path)
    await relay.api.put(api, json={"title": "Theirs"})
    wrong = await admin.post(path, title="Mine", company_id="x", seen=value_of(mine, "seen"))
    assert wrong.status_code == 422
    corrected = await admin.post(path, title="Mine", seen=value_of(wrong, "seen"))
    assert corrected.status_code == 409


async def test_security_saved_meanwhile_is_no_conflict(relay: CallRelay, admin: Browser) -> None:
    api = await relay.datasource(title="RFIs")
    path = console(api)
    mine = await admin.get(path)
    await relay.api.put(f"{api}/security", json={"enableB2B": True})
    assert (await admin.post(path, title="Mine", seen=value_of(mine, "seen"))).status_code == 303
    assert (await stored(relay, api))["enableB2B"] is True


async def test_deleting_asks_ok_or_cancel(relay: CallRelay, admin: Browser) -> None:
    api = await relay.datasource(title="RFIs")
    asked = await admin.get(f"{console(api)}/delete")
    assert re.search(r"<a[^>]*data-close>Cancel</a>\s*<button[^>]*>OK</button>", asked.text)
    answer = await admin.post(f"{console(api)}/delete")
    assert (await notice(admin, answer)).endswith("RFIs was deleted.")
    assert (await relay.api.get(api)).status_code == 404


async def test_a_viewer_looks_and_changes_nothing(relay: CallRelay) -> None:
    api = await relay.datasource(title="RFIs")
    async with at(relay, await person(relay, "viewer")) as viewer:
        listed = words(await viewer.get("/datasources"))
        assert "+ Add new" not in listed
        assert "Delete" not in listed
        page = await viewer.get(console(api))
        assert "Your role may look at data sources, but not change them" in words(page)
        assert '<fieldset class="plain-set" disabled>' in page.text
        for word in ("Save", "Test connection", "Security", "Authorize"):
            assert word not in re.findall(r"<span>([^<]+)</span>", page.text)
        for path in ("", "/test", "/authorize", "/delete", "/security"):
            answer = await viewer.post(f"{console(api)}{path}", title="x")
            assert answer.status_code == 403, path
        assert (await viewer.get("/datasources/new")).status_code == 403
        assert (await viewer.post("/datasources/new")).status_code == 403
    assert (await stored(relay, api))["title"] == "RFIs"


async def test_only_connection_administrators_may_change(relay: CallRelay) -> None:
    api = await relay.datasource(title="RFIs", admins=["somebody-else"])
    async with at(relay, await person(relay, "operator")) as operator:
        page = await operator.get(console(api))
        assert "you are none of them" in words(page)
        assert "Delete" not in words(await operator.get("/datasources"))
        assert (await operator.post(console(api), title="x")).status_code == 403
        assert (await operator.post(f"{console(api)}/delete")).status_code == 403


async def test_another_subscription_s_is_not_there(relay: CallRelay) -> None:
    api = await relay.datasource(title="RFIs")
    other = await relay.store.subscription("Other")
    async with at(relay, await person(relay, "administrator", subscription_id=other)) as theirs:
        assert "RFIs" not in words(await theirs.get("/datasources"))
        for path in ("", "/delete", "/security", "/sign-in?attempt=x"):
            assert (await theirs.get(f"{console(api)}{path}")).status_code == 404, path
        for path in ("", "/test", "/authorize", "/delete", "/security"):
            assert (await theirs.post(f"{console(api)}{path}")).status_code == 404, path


async def test_a_form_without_the_session_s_token_changes_nothing(
    relay: CallRelay, admin: Browser
) -> None:
    api = await relay.datasource(title="RFIs")
    for path in ("", "/test", "/authorize", "/delete", "/security"):
        answer = await admin.post(f"{console(api)}{path}", token="forged", title="x")
        assert answer.status_code == 403, path
    assert (await stored(relay, api))["title"] == "RFIs"
