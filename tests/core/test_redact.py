"""Tests of ``cloud_connect.redact``."""

import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect.redact import (
    MASK,
    is_secret_name,
    may_hold_secret,
    redact,
    redact_facts,
    redact_text,
)

SECRET_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
secrets = st.text(SECRET_CHARACTERS, min_size=20, max_size=60)
# Prose that cannot itself end in the beginning of a secret.
prose = st.text("abc ,.\n{}()", max_size=40)

SHAPES = (
    "cck_live_{}",
    "cct_{}",
    "ccj1.tok_1.{}.fingerprint.sum",
    "Authorization: Bearer {}",
    "authorization: Basic {}",
    "Bearer {}",
    "bearer%20{}",
    '{{"client_secret": "{}"}}',
    '{{"access_token":"{}"}}',
    "{{'refresh_token': '{}'}}",
    '{{\\"password\\": \\"{}\\"}}',
    "grant_type=client_credentials&client_secret={}&x=1",
    "client_secret%3D{}",
    "password = {}",
    'client_secret = "{}',
    "api-key: {}",
    "Cookie: session={}; other=1",
    "https://user:{}@proxy.example.com/",
    "https://relay.example.com/oauth/callback?state=1&code={}",
    "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
    "-----BEGIN EC PRIVATE KEY-----\n{}",
    "code_verifier={}",
)


@pytest.mark.parametrize("shape", SHAPES)
@given(secret=secrets, before=prose, after=prose)
def test_no_secret_survives_in_text(shape: str, secret: str, before: str, after: str) -> None:
    masked = redact_text(f"{before} {shape.format(secret)} {after}")
    assert secret.strip("-_") not in masked
    assert MASK in masked


@pytest.mark.parametrize("shape", SHAPES)
@given(secret=secrets, upper=st.booleans())
def test_a_line_with_a_secret_is_never_taken_for_plain(
    shape: str, secret: str, *, upper: bool
) -> None:
    text = shape.format(secret)
    text = text.upper() if upper else text
    assert may_hold_secret(orjson.dumps({"note": text})) or redact_text(text) == text


@given(
    st.lists(
        st.sampled_from(
            (
                "cck_",
                "eyJ",
                "ccj1.",
                "bearer ",
                "Basic ",
                "://",
                ":",
                "@",
                "?code=",
                "token",
                "=",
                "api_key",
                "-----BEGIN ",
                "PRIVATE KEY",
                "-----",
                "a1b2c3d4e5f6",
                ".",
                '"',
                " ",
            )
        ),
        max_size=12,
    ).map("".join)
)
def test_what_is_masked_in_a_text_is_told_from_its_line(text: str) -> None:
    assert may_hold_secret(orjson.dumps([text])) or redact_text(text) == text


def test_an_ordinary_line_is_told_quickly_to_be_plain() -> None:
    line = {"event": "request_finished", "call_id": "call_k3n2", "path": "/rest/v1.0/projects"}
    assert not may_hold_secret(orjson.dumps(line))


@given(st.text(max_size=300))
def test_masking_twice_is_masking_once(text: str) -> None:
    once = redact_text(text)
    assert redact_text(once) == once


@given(
    st.text("abcdefgh ,.;0123456789", max_size=100).filter(
        lambda text: "password" not in text and "secret" not in text
    )
)
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert redact_text(text) == text


def test_a_signed_token_is_masked_wherever_it_stands() -> None:
    token = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxMjM0NTYifQ.c2lnbmF0dXJl"
    assert redact_text(f"got {token} from login") == f"got {MASK} from login"


def test_what_only_looks_similar_is_left_readable() -> None:
    text = 'token_type "Bearer", expires_in=5400, https://relay.example.com:8080/tunnel'
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Client-Secret",
        "clientSecret",
        "access_token",
        "X-Api-Key",
        "Authorization",
        "Set-Cookie",
        "private_key",
        "credentials",
    ],
)
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["token_id", "expires_in", "code", "company_id", "event"])
def test_other_names_are_no_secrets(name: str) -> None:
    assert not is_secret_name(name)


def test_mappings_are_masked_at_any_depth() -> None:
    value = {
        "event": "request_sent",
        "headers": [("accept", "application/json"), {"Authorization": "Bearer abcdefghijkl"}],
        "body": b"client_secret=abc",
        "nested": {"token": None, "password": False, "secret": ["a", "b"], "count": 3},
        7: 1.5,
    }
    assert redact(value) == {
        "event": "request_sent",
        "headers": [["accept", "application/json"], {"Authorization": MASK}],
        "body": "<17 bytes>",
        "nested": {"token": None, "password": False, "secret": MASK, "count": 3},
        "7": 1.5,
    }


def test_other_objects_are_masked_as_text() -> None:
    assert redact(ValueError("password=hunter22")) == f"password={MASK}"


def test_a_value_without_end_is_cut_off() -> None:
    endless: dict[str, object] = {}
    endless["again"] = endless
    assert "…" in str(redact(endless))


@pytest.mark.parametrize(
    "piece",
    [
        "secret",
        'secret="',
        "secret='",
        "token\\",
        "eyJ",
        "eyJ-",
        "-----BEGIN PRIVATE KEY-----",
        "://a:",
        "bearer ",
        "authorization:",
        "?code=",
        "ccj1.",
        "cck_",
        "aaaaaaaa",
        " ",
        '\\"',
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    start = time.process_time()
    redact_text(text)
    assert time.process_time() - start < 0.5  # linear is a hundredth of that


def test_facts_stay_a_mapping() -> None:
    assert redact_facts({"token": "x", "n": 1}) == {"token": MASK, "n": 1}
