import re
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute

from cloud_connect_relay import console
from cloud_connect_relay.console import factory
from cloud_connect_relay.console.navigation import AREAS
from cloud_connect_relay.credentials import ROLES
from cloud_connect_relay.passwords import Passwords
from doubles.console_browser import Browser, browser
from doubles.relay_node import NOW, PASSWORD, Node

FOLDER = Path(console.__file__).parent
TEMPLATES = sorted((FOLDER / "templates").rglob("*.html"))
STATIC = re.compile(r'(?:href|src)="(/console/static/[^"]+)"')
OPEN = {"/console/sign-in", "/console/static/{version}/{name:path}"}


def entries(page: httpx.Response) -> list[str]:
    navigation = page.text.partition('id="navigation"')[2].partition("</nav>")[0]
    return re.findall(r"<span>([^<]+)</span>", navigation)


async def test_every_answer_carries_the_policy(admin: Browser, stranger: Browser) -> None:
    for answer in (
        await admin.get("/"),
        await admin.get("/nothing"),
        await stranger.get("/"),
        await stranger.get("/sign-in"),
        await stranger.get("/static/x/css/tokens.css"),
    ):
        assert answer.headers["content-security-policy"] == factory.CONTENT_SECURITY_POLICY
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers.get_list("referrer-policy") == ["same-origin"]


async def test_pages_are_kept_by_nobody(admin: Browser) -> None:
    assert (await admin.get("/")).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_no_template_holds_what_the_policy_forbids(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)", text), "inline script"
    assert not re.search(r"<style|\sstyle=", text), "inline style"
    assert not re.search(r"\son[a-z]+=|\bhx-on|javascript:", text), "inline handler"
    assert not re.search(r'(?:src|href|action)="https?:', text), "another origin"
    assert "|safe" not in text.replace(" ", ""), "escaping is never switched off"


async def test_every_file_that_a_page_names_exists_and_is_kept_for_long(admin: Browser) -> None:
    seen = set()
    for area in AREAS:
        page = await admin.get(area.path)
        assert page.status_code == 200, area.path
        assert "text/html" in page.headers["content-type"]
        seen |= set(STATIC.findall(page.text))
    assert len(seen) > len(AREAS)
    for address in seen:
        answer = await admin.client.get(address)
        assert answer.status_code == 200, address
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.content


async def test_scripts_and_styles_of_another_version_are_not_kept(stranger: Browser) -> None:
    answer = await stranger.get("/static/000000000000/css/tokens.css")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"
    for name in ("css/nothing.css", "../pages.py", "css/../../pages.py", "vendor/README.md"):
        assert (await stranger.get(f"/static/000000000000/{name}")).status_code == 404


def test_modules_import_only_files_that_exist() -> None:
    for module in (FOLDER / "static/js").glob("*.js"):
        for name in re.findall(r'(?:from|import) "(\./[^"]+)"', module.read_text()):
            assert (module.parent / name).exists(), f"{module.name} imports {name}"


def test_every_route_asks_who_it_is() -> None:
    for area in factory._AREAS:
        for route in area.router.routes:
            assert isinstance(route, APIRoute)
            if route.path in OPEN:
                continue
            asked = [
                dependency.call
                for dependency in route.dependant.dependencies
                if hasattr(dependency.call, "required_scope")
            ]
            assert asked, f"{route.path} is open to everybody"


@pytest.mark.slow
async def test_navigation_shows_what_the_role_may(node: Node) -> None:
    users = node.store.storage.of(node.store.subscription_id).users
    hashed = await Passwords().hash(PASSWORD)
    for role, scopes in sorted(ROLES.items()):
        await users.create(role, password_hash=hashed, role=role, actor="test", at=NOW)
        async with browser(node, sign_in=False) as somebody:
            assert (await somebody.sign_in(role)).status_code == 303
            shown = entries(await somebody.get("/"))
            assert shown == [
                area.title
                for area in AREAS
                if area.scope is None or area.scope in scopes or "all" in scopes
            ]
            for area in AREAS:
                answer = await somebody.get(area.path)
                assert answer.status_code == (200 if area.title in shown else 403), area.path


async def test_page_says_where_one_is(admin: Browser) -> None:
    page = (await admin.get("/connectors")).text
    assert page.count('aria-current="page"') == 1
    assert re.search(r'href="/console/connectors" aria-current="page"', page)
    assert page.count("<h1>") == 1
    assert '<a class="skip" href="#content">' in page


async def test_browser_at_the_root_is_led_to_the_console(node: Node, stranger: Browser) -> None:
    led = await stranger.client.get("/", headers={"Accept": "text/html,*/*"})
    assert (led.status_code, led.headers["location"]) == (303, "/console/")
    assert (await stranger.get("")).headers["location"] == "/console/"
    program = await node.api.get("/")
    assert program.status_code == 404
    assert program.headers["content-type"] == "application/problem+json"


async def test_unknown_page_is_told_of_in_words(admin: Browser, stranger: Browser) -> None:
    known = await admin.get("/nothing")
    assert known.status_code == 404
    assert "There is nothing here" in known.text
    assert "Sign out" in known.text
    unknown = await stranger.get("/nothing")
    assert unknown.status_code == 404
    assert "Sign out" not in unknown.text


async def test_head_is_answered_as_get_without_its_body(admin: Browser) -> None:
    answer = await admin.client.head("/console/connectors")
    assert answer.status_code == 200
    assert not answer.content


async def test_body_over_the_limit_is_refused_in_a_page(admin: Browser) -> None:
    answer = await admin.client.post("/console/sign-in", content=b"x" * (1024 * 1024 + 1))
    assert answer.status_code == 413
    assert "That is too large" in answer.text
    assert answer.headers["content-security-policy"] == factory.CONTENT_SECURITY_POLICY


async def test_fault_of_ours_is_a_page_without_details(
    admin: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("cloud_connect_relay.console.pages.areas_for", fail)
    answer = await admin.get("/connectors")
    assert answer.status_code == 500
    assert "Something went wrong" in answer.text
    assert "secret" not in answer.text


async def test_console_is_no_part_of_the_api_description(node: Node) -> None:
    document = (await node.api.get("/openapi.json")).json()
    assert not [path for path in document["paths"] if path.startswith("/console")]


async def test_theme_comes_with_the_page(admin: Browser) -> None:
    assert "data-theme=" not in (await admin.get("/")).text.partition("<head>")[0]
    admin.client.cookies.set("cloud_connect_theme", "dark")
    assert '<html lang="en" data-theme="dark">' in (await admin.get("/")).text
    admin.client.cookies.set("cloud_connect_theme", '"><script>')
    assert "<script>" not in (await admin.get("/")).text.partition("<head>")[0]
