"""Tests of ``cloud_connect_agent.foreign_answers``."""

import pytest

from cloud_connect_agent.foreign_answers import explain_refusal, page_in_between, schemes_in
from cloud_connect_agent.proxies import Proxy

SETTING = Proxy(url="http://proxy:3128", source="proxy.url")
SIGNED = Proxy(url="http://proxy:3128", source="proxy.url", username="pc", password="canary")
VARIABLE = Proxy(url="http://proxy:3128", source="HTTPS_PROXY", username="pc", password="canary")
PORTAL = "https://portal.example/login?token=canary"


@pytest.mark.parametrize(
    ("status", "proxy", "offers", "says"),
    [
        (407, SETTING, (), "set proxy.username and proxy.password_file"),
        (407, SETTING, ("basic", "ntlm"), "set proxy.username and proxy.password_file"),
        (407, SETTING, ("ntlm",), "offers only NTLM to sign in"),
        (407, SIGNED, ("negotiate", "ntlm"), "offers only Kerberos (Negotiate) and NTLM"),
        (407, SIGNED, ("basic",), "check proxy.username and proxy.password_file"),
        (401, SIGNED, (), "does not accept the user name or password (status 401)"),
        (407, VARIABLE, (), "check HTTPS_PROXY"),
        (403, SETTING, (), "does not allow relay.example.com (status 403)"),
        (502, SETTING, (), "the proxy itself does not reach it"),
        (302, SETTING, (), "answers with a sign-in page"),
        (511, SETTING, (), "answers with a sign-in page"),
        (418, SETTING, (), "could not connect to relay.example.com (status 418)"),
    ],
)
def test_refusal_of_a_proxy_says_why_and_what_to_do(
    status: int, proxy: Proxy, offers: tuple[str, ...], says: str
) -> None:
    told = explain_refusal(status, proxy, host="relay.example.com", offers=offers)
    assert says in told
    assert told.startswith("The proxy http://proxy:3128 ")
    assert "canary" not in told
    assert told.endswith(".")


def test_ways_to_sign_in_are_read_from_what_the_proxy_offers() -> None:
    challenges = ['Basic realm="a"', " NTLM", "Negotiate x", "basic", "<script>", ""]
    assert schemes_in(challenges) == ("basic", "ntlm", "negotiate")


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (302, {"location": PORTAL}, "a redirect to portal.example (status 302)"),
        (307, {"location": "http://p\u001bortal/"}, "a redirect to another host"),
        (307, {"location": "https://[broken"}, "a redirect to another host"),
        (511, {}, "wants a sign-in before it lets relay.example.com answer"),
        (200, {"content-type": "text/HTML"}, "a web page answers (status 200)"),
    ],
)
def test_page_in_between_is_named(status: int, headers: dict[str, str], says: str) -> None:
    told = page_in_between(status, headers, host="relay.example.com")
    assert told is not None
    assert says in told
    assert "canary" not in told
    assert told.isprintable()


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {"content-type": "application/json"}),
        (301, {"location": "https://Relay.example.com/"}),
        (302, {"location": "/elsewhere"}),
        (302, {}),
        (404, {"content-type": "text/html"}),  # a web server of the relay's own may stand there
        (503, {"content-type": "text/html"}),
    ],
)
def test_what_the_relay_may_well_have_said_itself_is_no_page_in_between(
    status: int, headers: dict[str, str]
) -> None:
    assert page_in_between(status, headers, host="relay.example.com") is None
