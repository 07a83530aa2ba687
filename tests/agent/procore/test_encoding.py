"""Requests as bytes, and answers from bytes."""

import pytest

from cloud_connect.errors import OutcomeUnknownError, SourceUnavailableError
from cloud_connect_agent.procore.encoding import Answer, decode

JSON = {"content-type": "application/json; charset=utf-8"}


def test_what_is_read_ahead_is_decoded_at_its_first_use() -> None:
    response = decode(Answer(200, JSON, b'[{"id": 5}]'), write=False, later=True)
    assert response._json is None
    assert response.json == [{"id": 5}]
    assert response.json is response.json


def test_what_was_read_ahead_and_is_no_json_fails_at_each_use() -> None:
    response = decode(Answer(200, JSON, b"{no"), write=False, later=True)
    for _ in range(2):
        with pytest.raises(SourceUnavailableError, match="not the JSON"):
            response.api_json()


def test_what_does_not_wait_is_decoded_at_once() -> None:
    with pytest.raises(SourceUnavailableError, match="not the JSON"):
        decode(Answer(200, JSON, b"{no"), write=False)


def test_a_write_was_carried_out_whatever_its_answer_looks_like() -> None:
    assert decode(Answer(201, JSON, b"{no"), write=True).text == "{no"
    plain = Answer(200, {"content-type": "text/plain"}, b"OK")
    assert decode(plain, write=True).text == "OK"


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_a_page_says_nothing_of_a_write(kind: str) -> None:
    with pytest.raises(OutcomeUnknownError, match="not its API"):
        decode(Answer(200, {"content-type": kind}, b" <html>Sign in</html>"), write=True)


@pytest.mark.parametrize("later", [False, True])
def test_a_page_of_a_proxy_is_text(*, later: bool) -> None:
    html = Answer(200, {"content-type": "text/html"}, b"<html>Sign in</html>")
    response = decode(html, write=False, later=later)
    assert (response.json, response.text) == (None, "<html>Sign in</html>")
