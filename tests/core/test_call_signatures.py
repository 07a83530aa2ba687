"""What a caller signs of a call, and what a connector makes of it."""

from dataclasses import replace

import pytest

from cloud_connect.call_signatures import (
    LIFETIME_SECONDS,
    CallSignature,
    SignableCall,
    sign_call,
)
from cloud_connect.errors import InvalidRequestError
from cloud_connect.signing import SigningKey

KEY = SigningKey(bytes(range(32)))
SOURCE = {"company_id": 12, "environment": "live"}
CALL = SignableCall(
    operation="records.update",
    params={"source": SOURCE, "resource": "rfis", "record_id": "7", "scope": {"project_id": "3"}},
    body=b'{"subject":"x"}',
)
RAW = SignableCall(
    operation="passthrough",
    params={"source": SOURCE, "method": "PATCH", "target": "rest/v1.0/rfis/7"},
    headers=(("Content-Type", "application/json"), ("Accept", "*/*"), ("If-Match", '"1"')),
)


def signed(call: SignableCall = CALL, connector_id: str = "conn_a") -> CallSignature:
    return sign_call(KEY, call, connector_id=connector_id, wall_clock=lambda: 1000.0)


def fits(signature: CallSignature, call: SignableCall, connector_id: str = "conn_a") -> bool:
    return signature.fits(call, connector_id=connector_id, public_key=KEY.public_key)


def test_a_signature_survives_its_header() -> None:
    signature = signed()
    assert CallSignature.parse(signature.header()) == signature
    assert fits(CallSignature.parse(signature.header()), CALL)
    assert signature.expires_at == 1000 + LIFETIME_SECONDS


def test_each_call_has_a_number_of_its_own_unless_one_is_given() -> None:
    assert signed().nonce != signed().nonce
    given = sign_call(KEY, CALL, connector_id="conn_a", nonce=bytes(16), lifetime=9999)
    assert given.nonce == bytes(16)


@pytest.mark.parametrize(
    "other",
    [
        replace(CALL, body=b'{"subject":"y"}'),
        replace(CALL, operation="records.create"),
        replace(CALL, params={**CALL.params, "record_id": "8"}),
        replace(CALL, params={**CALL.params, "scope": {"project_id": "4"}}),
        replace(CALL, params={**CALL.params, "source": {**SOURCE, "company_id": 13}}),
        replace(CALL, params={**CALL.params, "source": {**SOURCE, "project_id": 3}}),
    ],
)
def test_whatever_decides_the_effect_is_signed(other: SignableCall) -> None:
    assert not fits(signed(), other)


def test_connector_number_time_and_key_are_signed() -> None:
    signature = signed()
    assert not fits(signature, CALL, "conn_b")
    assert not fits(replace(signature, nonce=bytes(16)), CALL)
    assert not fits(replace(signature, expires_at=9999), CALL)
    other = SigningKey(bytes(32))
    assert not signature.fits(CALL, connector_id="conn_a", public_key=other.public_key)


def test_what_the_relay_adds_and_a_default_that_is_spelt_out_change_nothing() -> None:
    added = {"again": True, "seed": "0" * 16, "interactive": False, "replay_only": True}
    spelt: dict[str, object] = {"filters": [], "limit": None, "unknown": 1}
    assert fits(signed(), replace(CALL, params={**CALL.params, **added, **spelt}))


def test_of_a_raw_call_the_headers_that_steer_procore_are_signed() -> None:
    signature = signed(RAW)
    kinds = tuple(RAW.headers)
    assert fits(signature, replace(RAW, headers=(*kinds[::-1], ("Accept-Language", "de"))))
    assert not fits(signature, replace(RAW, headers=kinds[:2]))
    assert fits(signed(), replace(CALL, headers=kinds))  # others go nowhere


@pytest.mark.parametrize(
    "header",
    [
        "",
        "v1",
        "v1.a.b.c.d.e",
        signed().header()[1:],
        signed().header() + "=",
        signed().header().replace("v1.", "v2."),
        signed().header().replace(".1300.", ".01300."),
        signed().header().replace(".1300.", ".x."),
        ".".join((*signed().header().split(".")[:2], "AA", "1300", "AA")),
        "v1." + "x" * 10_000,
    ],
)
def test_a_header_that_is_no_signature_is_refused(header: str) -> None:
    with pytest.raises(InvalidRequestError, match="malformed"):
        CallSignature.parse(header)


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (replace(CALL, operation="journal"), "operation"),
        (replace(CALL, operation="nonsense"), "operation"),
        (replace(CALL, params={}), "parameters"),
    ],
)
def test_what_is_no_call_cannot_be_signed(call: SignableCall, what: str) -> None:
    with pytest.raises(InvalidRequestError, match=what):
        signed(call)
