import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect.errors import (
    BodyTooLargeError,
    LocalProtocolError,
    Outcome,
    RemoteProtocolError,
)
from cloud_connect.tunnel.heads import (
    Problem,
    RequestHead,
    ResponseHead,
    Trailers,
    decode_request_head,
    decode_response_head,
    decode_trailers,
    encode_head,
)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
BASE = b'"operation":"tree","call_id":"call_1","deadline_ms":1'


def request(params: bytes) -> bytes:
    return b"{" + BASE + b',"params":{"x":' + params + b"}}"


@given(st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=3))
def test_request_head_comes_out_as_it_went_in(params: dict[str, object]) -> None:
    head = RequestHead(
        operation="records.list",
        call_id="call_1",
        deadline_ms=5,
        params=params,
        headers=(("accept", "text/plain"),),
    )
    assert decode_request_head(encode_head(head)) == head


@pytest.mark.parametrize("size", [0, 300])
def test_response_head_comes_out_as_it_went_in(size: int) -> None:
    head = ResponseHead(
        status=404,
        headers=(("etag", "x" * size),),
        outcome=Outcome.COMPLETED,
        problem=Problem(code="c", detail="d", outcome=Outcome.UNKNOWN, status=404, source=[1]),
    )
    assert decode_response_head(encode_head(head)) == head


def test_trailers_come_out_as_they_went_in() -> None:
    trailers = Trailers(total_items=3, paging="next", hops={"agent": 1.5})
    assert decode_trailers(encode_head(trailers)) == trailers


def test_fields_with_their_default_take_no_bytes() -> None:
    assert encode_head(ResponseHead(status=200)) == b'{"status":200}'


def test_unknown_fields_of_a_later_version_are_skipped() -> None:
    assert decode_response_head(b'{"status":200,"later":{"a":[1]}}') == ResponseHead(status=200)


def test_repeated_short_head_is_decoded_once() -> None:
    payload = b'{"status":299}'
    assert decode_response_head(payload) is decode_response_head(bytes(payload))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_a_protocol_error(payload: bytes) -> None:
    for decode in (decode_request_head, decode_response_head, decode_trailers):
        with contextlib.suppress(RemoteProtocolError):
            decode(payload)


@given(JSON_VALUES)
def test_any_json_is_a_head_or_a_protocol_error(value: object) -> None:
    payload = encode_head(
        RequestHead(operation="x", call_id="", deadline_ms=0, params={"v": value})
    )
    with contextlib.suppress(RemoteProtocolError):
        decode_response_head(payload)


@pytest.mark.parametrize(
    "params",
    [
        b"1" * 65,
        b"0." + b"1" * 65,
        b"1e999",
        b"NaN",
        b"-Infinity",
        b'{"a":1,"a":2}',
        b'[{"b":{"a":1,"a":2}}]',
        b'"\\ud800"',
        b'"\xff"',
        b"[" * 8000 + b"]" * 8000,
        b"[" * 64 + b"]" * 64,
        b"[1,]",
        b"1}",
        b"",
    ],
    ids=lambda params: params[:12].decode(errors="replace"),
)
def test_json_that_is_no_json_or_over_a_limit_is_refused(params: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="JSON"):
        decode_request_head(request(params))


def test_byte_order_mark_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        decode_request_head("\ufeff".encode() + request(b"1"))


@pytest.mark.parametrize(
    "params",
    [
        b"[" * 60 + b"]" * 60,
        b"[" + b",".join([b"[]"] * 200) + b"]",
        b"[" + b",".join([b'"[[\\"[["'] * 50) + b"]",
        b'"\\u00e9"',
        b"1" * 64,
        b"1.5",
    ],
    ids=lambda params: params[:12].decode(),
)
def test_json_within_the_limits_is_taken(params: bytes) -> None:
    assert "x" in decode_request_head(request(params)).params


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("operation", '""'),
        ("operation", "1"),
        ("call_id", '"' + "x" * 129 + '"'),
        ("deadline_ms", "-1"),
        ("deadline_ms", "2147483648"),
        ("params", "[]"),
        ("headers", '[["a"]]'),
        ("headers", '[["a b","c"]]'),
        ("headers", '[["a","c\\r\\nx: y"]]'),
        ("headers", '[["a","\\u0000"]]'),
        ("headers", '[["a","\\u0100"]]'),
        ("headers", "[" + ",".join(['["a","b"]'] * 257) + "]"),
    ],
)
def test_request_head_with_a_bad_field_names_it(field: str, value: str) -> None:
    fields = {"operation": '"x"', "call_id": '"c"', "deadline_ms": "1"} | {field: value}
    payload = "{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}"
    with pytest.raises(RemoteProtocolError, match=field):
        decode_request_head(payload.encode())


def test_text_of_a_refused_head_stands_in_no_message() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_request_head(b'{"operation":["secret-value"]}')
    assert "secret-value" not in caught.value.message


def test_head_over_the_limit_is_not_sent() -> None:
    with pytest.raises(BodyTooLargeError, match="16384"):
        encode_head(
            RequestHead(operation="x", call_id="c", deadline_ms=1, params={"a": "x" * 16384})
        )


def test_head_that_json_cannot_hold_is_not_sent() -> None:
    head = RequestHead(operation="x", call_id="c", deadline_ms=1, params={"a": object()})
    with pytest.raises(LocalProtocolError, match="JSON"):
        encode_head(head)
