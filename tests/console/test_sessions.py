import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from cloud_connect_relay.addresses import Addresses
from cloud_connect_relay.authentication import Authenticator
from cloud_connect_relay.console.addresses import ConsoleAddresses
from cloud_connect_relay.console.sessions import Session, Sessions
from cloud_connect_relay.metrics import Metrics
from cloud_connect_relay.settings import AuthSettings
from cloud_connect_relay.storage.users import find_login
from doubles.canaries import remember
from doubles.console_browser import Browser, browser
from doubles.relay_node import NOW, PASSWORD, Founded, Node, founded, running_node

if TYPE_CHECKING:
    from doubles.postgres import PostgresServer


async def test_stranger_is_sent_to_the_sign_in_and_back(stranger: Browser) -> None:
    asked = await stranger.get("/calls?outcome=unknown")
    assert asked.status_code == 303
    form = await stranger.client.get(asked.headers["location"])
    assert form.status_code == 200
    back = re.search(r'name="next" value="([^"]*)"', form.text)
    assert back is not None
    signed_in = await stranger.sign_in(back=back[1])
    assert signed_in.headers["location"] == "/console/calls?outcome=unknown"
    assert (await stranger.get("/calls")).status_code == 200


ELSEWHERE = [
    "https://evil.example/",
    "//evil.example/console/",
    "/console//evil.example",
    "/\\evil.example",
    "/console/\\evil.example",
    "/console/../api/audit",
    "/api/audit",
    "javascript:alert(1)",
    "/console/x\r\nSet-Cookie: a=b",
    "/consolex/",
    "/console/" + "x" * 3000,
    "",
]


@pytest.mark.parametrize("back", ELSEWHERE)
def test_address_elsewhere_is_none_to_come_back_to(back: str) -> None:
    assert ConsoleAddresses(Addresses(host="127.0.0.1")).own(back) is None


@pytest.mark.slow
async def test_sign_in_leads_to_pages_of_its_own_only(stranger: Browser) -> None:
    for back in (*ELSEWHERE[:4], "/console/sign-out"):
        answer = await stranger.sign_in(back=back)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/")


async def test_cookie_is_out_of_reach_of_scripts_and_other_sites(stranger: Browser) -> None:
    answer = await stranger.sign_in()
    cookie = answer.headers["set-cookie"]
    remember("session", stranger.cookie or "")
    assert cookie.startswith("cloud_connect_session=ccs_")
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert "Secure" not in cookie  # this relay is reached by http, on this machine


def test_cookie_of_a_relay_behind_https_is_bound_to_its_host() -> None:
    addresses = Addresses(host="127.0.0.1", public_url="https://relay.example.com/cc")
    found = ConsoleAddresses(addresses)
    assert found.secure
    assert found.url("/calls") == "/cc/console/calls"
    assert found.own("/cc/console/calls?x=1") == "/calls?x=1"
    assert found.own("/console/calls") is None
    assert found.origin == "https://relay.example.com"


async def test_wrong_password_is_told_without_saying_which(stranger: Browser) -> None:
    for username, password in (("admin", "wrong"), ("nobody", PASSWORD), ("", ""), ("admin", "")):
        refused = await stranger.sign_in(username, password)
        assert refused.status_code == 401
        assert "The user name or the password is not right." in refused.text
        assert stranger.cookie is None
        assert f'name="username" value="{username}"' in refused.text


async def test_what_was_typed_is_escaped(stranger: Browser) -> None:
    refused = await stranger.sign_in('"><script>alert(1)</script>', "x")
    assert "<script>alert" not in refused.text


async def test_guessing_is_slowed_and_told_how_long_to_wait(tmp_path: Path) -> None:
    async with (
        running_node(tmp_path, auth={"failures_per_minute": 2}) as node,
        browser(node, sign_in=False) as stranger,
    ):
        for _ in range(2):
            assert (await stranger.sign_in(password="wrong")).status_code == 401
        refused = await stranger.sign_in()
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert re.search(r"Wait (\d+ seconds?|1 minute), then try again", refused.text)
        assert stranger.cookie is None


async def test_signing_out_ends_the_session_for_good(admin: Browser) -> None:
    cookie = admin.cookie
    assert cookie is not None
    answer = await admin.post("/sign-out")
    assert (await admin.client.get(answer.headers["location"])).text.count("You are signed out.")
    assert admin.cookie is None
    admin.client.cookies.set("cloud_connect_session", cookie)
    assert (await admin.get("/")).status_code == 303


async def test_another_sign_in_gets_another_session_and_ends_the_one_before(
    node: Node, admin: Browser
) -> None:
    before = admin.cookie
    assert before is not None
    await admin.sign_in()
    assert admin.cookie != before
    async with browser(node, sign_in=False) as other:
        other.client.cookies.set("cloud_connect_session", before)
        assert (await other.get("/")).status_code == 303


async def test_session_opens_no_api_and_no_key_opens_the_console(
    node: Node, admin: Browser, stranger: Browser
) -> None:
    cookie = admin.cookie
    assert cookie is not None
    for text in (cookie, "cct" + cookie[3:], "ccr" + cookie[3:]):
        refused = await node.api.get("/api/connectors", headers=node.auth(text))
        assert refused.status_code == 401
    by_cookie = await admin.client.get("/api/connectors")
    assert by_cookie.status_code == 401
    token: dict[str, Any] = (
        await node.api.post(
            "/Token", data={"grant_type": "password", "username": "admin", "password": PASSWORD}
        )
    ).json()
    bearer = token["access_token"]
    for text in (node.store.api_key, bearer, "ccs" + bearer[3:], "ccs_x", "é"):
        stranger.client.cookies.clear()
        headers = {b"Cookie": f"cloud_connect_session={text}".encode()}
        asked = await stranger.client.get("/console/", headers=headers)
        assert asked.status_code == 303, text


async def test_new_role_or_password_ends_the_sessions(node: Node, admin: Browser) -> None:
    users = node.store.storage.of(node.store.subscription_id).users
    await users.set_password("admin", "x", actor="test", at=NOW)
    asked = await admin.get("/connectors")
    assert asked.status_code == 303
    assert admin.cookie is None, "a cookie that is worth nothing is dropped"


async def test_part_of_a_page_asks_the_whole_page_to_sign_in(stranger: Browser) -> None:
    asked = await stranger.get(
        "/connectors", **{"HX-Request": "true", "HX-Current-URL": "http://x/console/calls?a=b"}
    )
    assert asked.status_code == 401
    assert asked.headers["hx-redirect"] == "/console/sign-in?next=/console/calls%3Fa%3Db"


async def test_sign_in_that_is_not_needed_goes_on(admin: Browser) -> None:
    answer = await admin.get("/sign-in?next=/console/keys")
    assert answer.headers["location"] == "/console/keys"


class Clocked:
    """Sessions whose clock a test sets."""

    def __init__(self, store: Founded) -> None:
        self.now = NOW
        settings = AuthSettings(session_idle_timeout=100, session_lifetime=250)
        services: Any = SimpleNamespace(
            storage=store.storage,
            clock=lambda: self.now,
            settings=SimpleNamespace(auth=settings),
            authenticator=Authenticator(
                store.storage,
                pepper=store.identity.pepper,
                settings=settings,
                metrics=Metrics(),
                clock=lambda: self.now,
            ),
        )
        self.store = store
        self.sessions = Sessions(services, ConsoleAddresses(Addresses(host="127.0.0.1")))
        self.cookie = ""

    async def begin(self) -> None:
        user = await find_login(self.store.storage, "admin")
        assert user is not None
        response: Any = SimpleNamespace(set_cookie=lambda _name, text, **_: self.keep(text))
        await self.sessions.begin(user, response)

    def keep(self, text: str) -> None:
        self.cookie = text

    async def find(self, **headers: str) -> Session | None:
        request: Any = SimpleNamespace(
            cookies={"cloud_connect_session": self.cookie}, headers=httpx.Headers(headers)
        )
        return await self.sessions.find(request)


@pytest.fixture(params=["sqlite", "postgresql"])
async def clocked(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    url = None
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.database()
    async with founded(tmp_path, url) as store:
        made = Clocked(store)
        await made.begin()
        yield made


async def test_session_ends_when_nobody_uses_it(clocked: Clocked) -> None:
    clocked.now += 99
    assert await clocked.find() is not None
    clocked.now += 99
    assert await clocked.find() is not None
    clocked.now += 101
    assert await clocked.find() is None


async def test_session_ends_some_day_however_it_is_used(clocked: Clocked) -> None:
    for _ in range(5):
        clocked.now += 49
        assert await clocked.find() is not None
    clocked.now += 6
    assert await clocked.find() is None


async def test_what_a_page_asks_by_itself_prolongs_nothing(clocked: Clocked) -> None:
    clocked.now += 60
    assert await clocked.find(**{"Console-Background": "true"}) is not None
    clocked.now += 60
    assert await clocked.find() is None
