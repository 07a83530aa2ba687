"""The macros of ``templates/ui``, on the page that shows them all."""

import re
from collections import Counter
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cloud_connect_relay.passwords import Passwords
from doubles.console_browser import Browser, browser
from doubles.console_gallery import GalleryConsole
from doubles.relay_node import NOW, PASSWORD, Node, running_node


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def values(self, name: str) -> list[str]:
        return [value for _, attributes in self.found if (value := attributes.get(name))]


@pytest.fixture
async def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    monkeypatch.setattr("cloud_connect_relay.app.Console", GalleryConsole)
    async with running_node(tmp_path) as running:
        yield running


async def test_parts_belong_together(admin: Browser) -> None:
    answer = await admin.get("/gallery")
    assert answer.status_code == 200
    elements = Elements(answer.text)
    ids = elements.values("id")
    assert [name for name, times in Counter(ids).items() if times > 1 and name != "f-q"] == []
    referred = [
        name
        for attribute in ("for", "aria-describedby", "aria-controls", "data-copy")
        for value in elements.values(attribute)
        for name in value.split()
    ]
    assert set(referred) <= set(ids)
    labelled = set(elements.values("for"))
    for tag, attributes in elements.found:
        if tag in {"input", "select", "textarea"} and attributes.get("type") not in {
            *("hidden", "radio", "checkbox"),  # those stand in their label
        }:
            assert attributes.get("id") in labelled, attributes


async def test_status_is_told_in_words_and_shape_too(admin: Browser) -> None:
    text = (await admin.get("/gallery")).text
    states = re.findall(r'<span class="status (\w+)" data-state="(\w+)">(.+?)</span></span>', text)
    assert len(states) > 14
    for _, name, inside in states:
        assert "<svg" in inside, name
        assert re.search(r"<span>[A-Z][a-z ]+$", inside), name


async def test_what_is_wrong_with_a_field_stands_at_it_and_above_the_form(admin: Browser) -> None:
    text = (await admin.get("/gallery")).text
    assert '<a href="#f-name">Enter Datasource Name.</a>' in text
    field = re.search(r'<input id="f-name"[^>]*>', text)
    assert field is not None
    assert 'aria-invalid="true"' in field[0]
    assert 'aria-describedby="f-name-error f-name-help"' in field[0]


async def test_notice_is_said_once_by_the_page_after_the_redirect(
    node: Node, admin: Browser
) -> None:
    answer = await admin.post("/gallery")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/gallery")
    text = (await admin.get("/settings")).text
    assert 'class="notice success"' in text
    assert "Details saved successfully" in text
    assert "Details saved successfully" not in (await admin.get("/settings")).text
    async with browser(node) as other:  # nobody puts words into another session's pages
        await admin.post("/gallery")
        stolen = admin.client.cookies["cloud_connect_notice"]
        other.client.cookies.set("cloud_connect_notice", stolen)
        assert "Details saved" not in (await other.get("/settings")).text
        other.client.cookies.set("cloud_connect_notice", "x.y")
        assert (await other.get("/settings")).status_code == 200


async def test_notice_waits_while_parts_of_pages_load(admin: Browser) -> None:
    await admin.post("/gallery")
    part = await admin.get("/settings", **{"HX-Request": "true"})
    assert "Details saved" not in part.text
    assert "Details saved" in (await admin.get("/settings")).text


async def test_deletion_is_confirmed_on_a_page_or_in_a_dialog(admin: Browser) -> None:
    page = await admin.get("/gallery/delete")
    assert "<h1>Delete the data source?</h1>" in page.text
    assert "Sign out" in page.text
    part = await admin.get("/gallery/delete", **{"Console-Partial": "dialog"})
    assert part.headers["console-partial"] == "true"
    assert '<h2 id="dialog-title">Delete the data source?</h2>' in part.text
    assert "Sign out" not in part.text
    assert 'name="csrf"' in part.text


async def test_script_is_told_where_to_go_in_place_of_a_redirect(admin: Browser) -> None:
    answer = await admin.post("/gallery", headers={"HX-Request": "true"})
    assert answer.status_code == 204
    assert answer.headers["hx-redirect"] == "/console/gallery"


async def test_role_that_lacks_a_right_is_told_in_words(node: Node) -> None:
    users = node.store.storage.of(node.store.subscription_id).users
    hashed = await Passwords().hash(PASSWORD)
    await users.create("vic", password_hash=hashed, role="viewer", actor="test", at=NOW)
    async with browser(node, sign_in=False) as viewer:
        await viewer.sign_in("vic")
        page = await viewer.get("/gallery/fails")
        assert page.status_code == 403
        assert "Your role (viewer) does not include “Manage people”." in page.text
        part = await viewer.get("/gallery/fails", **{"HX-Request": "true"})
        assert (part.status_code, part.headers["hx-retarget"]) == (403, "#notices")
        assert part.text.strip().startswith('<div class="notice error"')
