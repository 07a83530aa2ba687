"""Targets of raw calls: what goes through, and what is refused."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect.errors import InvalidRequestError
from cloud_connect_agent.procore.target import parse_target


@pytest.mark.parametrize(
    "target",
    [
        "rest/v1.0/me",
        "rest/v2.1/companies/8089/projects/12/uploads",
        "rest/v1.0/rfis?filters[id][]=2&filters[id][]=1",
        "rest/v1.0/rfis?filters[updated_at]=2026-01-01T00:00:00Z...2026-01-31T23:59:59Z",
        'rest/v1.0/rfis?filters[q]="a"',
        "rest/v1.0/users?filters[email]=a@b.c",
        "rest/v1.0/files/plan%20A.pdf",
        "rest/v1.0/rfis/5.pdf",
        "rest/v1.0/rfis?",
        "rest/v1.0/rfis?a%2Fb=%252F",
        "rest/v1/rfis",
    ],
)
def test_what_procore_understands_goes_through_to_the_byte(target: str) -> None:
    assert parse_target(target).raw == f"/{target}"


TRICKS = [
    "",
    "/",
    "/rest/v1.0/me",
    "//evil.example/rest/v1.0/me",
    "https://evil.example/rest/v1.0/me",
    "http:rest/v1.0/me",
    "vapid/projects",
    "oauth/token",
    "rest",
    "rest/",
    "rest/v1.0",
    "rest/me",
    "rest/v1.0/",
    "REST/v1.0/me",
    "rest/vX/me",
    "rest/v1.0/../../oauth/token",
    "rest/v1.0/..",
    "rest/v1.0/./me",
    "rest/v1.0//me",
    "rest/v1.0/me//",
    "rest/v1.0/%2e%2e/oauth",
    "rest/v1.0/%2E%2E/oauth",
    "rest/v1.0/.%2e/oauth",
    "rest/v1.0/%2f..",
    "rest/v1.0/a%2fb",
    "rest/v1.0/a%2Fb",
    "rest/v1.0/a%5cb",
    "rest/v1.0/a%5Cb",
    "rest/v1.0/a\\b",
    "rest/v1.0/%252e%252e/oauth",
    "rest/v1.0/%25252e",
    "rest/v1.0/a%00b",
    "rest/v1.0/a%0d%0ab",
    "rest/v1.0/a%7fb",
    "rest/v1.0/me;a=b",
    "rest/v1.0/me%3ba",
    "rest/v1.0/a@b",
    "rest/v1.0/a%40b",
    "rest/v1.0/me#x",
    "rest/v1.0/me?a=b#x",
    "rest/v1.0/me%23x",
    "rest/v1.0/me%3fx",
    "rest/v1.0/me x",
    "rest/v1.0/me\tx",
    "rest/v1.0/me\r\nHost: evil",
    "rest/v1.0/me\x00",
    "rest/v1.0/mé",
    "rest/v1.0/\uff0e\uff0e/x",
    "rest/v1.0/\u2025/x",
    "rest/v1.0/%c0%ae%c0%ae/x",
    "rest/v1.0/%ef%bc%8e/x",
    "rest/v1.0/%",
    "rest/v1.0/%2",
    "rest/v1.0/%zz",
    "rest/v1.0/me?a=%zz",
    "rest/v1.0/me?_method=delete",
    "rest/v1.0/me?%5fmethod=delete",
    "rest/v1.0/me?[_method]=delete",
    "rest/v1.0/me?a=b;_METHOD=delete",
    "rest/v1.0/" + "a" * 9000,
]


@pytest.mark.parametrize("target", TRICKS)
def test_a_trick_is_refused(target: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_target(target)


PIECES = [
    "..",
    ".",
    "/",
    "%2e",
    "%2f",
    "%5c",
    "%25",
    "\\",
    ";",
    "@",
    "#",
    "?",
    "a",
    "companies",
    "1",
    "%00",
    "%c3",
    "é",
    ":",
    "//",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_no_mixture_of_tricks_leaves_the_api(tail: str) -> None:
    try:
        target = parse_target(f"rest/v1.0/{tail}")
    except InvalidRequestError:
        return
    url = httpx.URL("https://api.procore.com").join(target.raw)
    assert url.host == "api.procore.com"
    assert url.path.startswith("/rest/v1.0/")
    assert not {".", ".."} & set(target.path.split("/"))
    assert not set(target.path) & set("\\;@#%?")
