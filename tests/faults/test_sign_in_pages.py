"""A guest network's sign-in page answers for every host: recognised, named, and never followed."""

from collections.abc import Awaitable
from pathlib import Path
from typing import Final

import pytest

from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.dialling import dial
from cloud_connect_agent.enrol import Enroller
from cloud_connect_agent.procore.transport import Origin, Timeouts, describe_failure
from cloud_connect_agent.settings import TunnelSettings
from cloud_connect_agent.tls import client_context
from cloud_connect_relay.gateway.certificates import server_context
from doubles.certificates import Authority
from doubles.enrolling_pc import MACHINE, FakeRelay, Pc
from doubles.fake_procore import FakeHost, Reply

PASSWORD: Final = "canary-7f19c4e2b8d05a63"  # no word, as the whole worker masks it from here on
HTML: Final = {"Content-Type": "text/html; charset=utf-8"}
PAGES: Final = {
    "redirect": (
        Reply(status=302, headers={"Location": "https://portal.hotel.example/?u=1"}),
        "a redirect to portal.hotel.example (status 302), which is not followed",
    ),
    "page": (Reply(body=b"<html>Welcome, guest", headers=HTML), "a web page answers (status 200)"),
    "511": (Reply(status=511, headers=HTML), "wants a sign-in before it lets 127.0.0.1 answer"),
}


async def refusal(attempt: Awaitable[object]) -> str:
    with pytest.raises(CloudConnectError) as caught:
        await attempt
    return caught.value.message


async def dialled(url: str, ca: Path) -> None:
    place = url.replace("https", "wss") + "/tunnel"
    async with dial(place, tls=client_context(ca), settings=TunnelSettings()):
        pass


@pytest.mark.parametrize("kind", PAGES)
async def test_sign_in_page_is_named_and_shown_no_secret(tmp_path: Path, kind: str) -> None:
    page, says = PAGES[kind]
    authority = Authority.make()
    context = server_context(*authority.issue(tmp_path, "localhost"))
    ca = authority.trusted(tmp_path)
    token = FakeRelay().token
    async with FakeHost(lambda _: page).serve(ssl=context) as portal:

        def enroller() -> Enroller:
            return Pc(tmp_path).enroller(portal.url, tls=client_context(ca))

        told = [
            await refusal(dialled(portal.url, ca)),
            await refusal(enroller().enrol(token.reveal(), MACHINE)),
            await refusal(enroller().request_token("admin", PASSWORD, group=None)),
        ]
        for sentence in told:
            assert says in sentence
            assert "sign in with a browser on this PC" in sentence
        assert [one.method for one in portal.seen] == ["GET", "POST", "POST"], "nobody followed it"
        for one in portal.seen:
            shown = f"{one.target} {one.headers} {one.body!r}"
            assert token.secret not in shown
            assert PASSWORD not in shown
            assert "authorization" not in one.headers


async def test_page_with_a_certificate_of_its_own_name_hears_nothing(tmp_path: Path) -> None:
    authority = Authority.make()
    context = server_context(*authority.issue(tmp_path, "portal.hotel.example"))
    ca = authority.trusted(tmp_path)
    async with FakeHost(lambda _: PAGES["page"][0]).serve(ssl=context) as portal:
        enroller = Pc(tmp_path).enroller(portal.url, tls=client_context(ca))
        origin = Origin(portal.url, client_context(ca), timeouts=Timeouts())
        told = [
            await refusal(dialled(portal.url, ca)),
            await refusal(enroller.enrol(FakeRelay().token.reveal(), MACHINE)),
        ]
        for method in ("GET", "POST"):
            with pytest.raises(Exception, match="certificate") as failed:
                await origin.send(method, b"/x", headers=(), reuse=method == "GET")
            told.append(describe_failure(failed.value, origin.host))
        await origin.aclose()
        for sentence in told:
            assert "another name's certificate" in sentence
            assert "sign-in page (guest Wi-Fi, hotel)" in sentence
        assert not portal.seen
