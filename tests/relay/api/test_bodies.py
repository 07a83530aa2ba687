import pytest

from cloud_connect.errors import InvalidRequestError
from cloud_connect_relay.api.bodies import MAX_DEPTH, check_json, to_json


def test_plain_json_passes() -> None:
    assert check_json(b'{"a":[1,-2.5,"x",null,true]}') == {"a": [1, -2.5, "x", None, True]}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"a":1,}', "line 1, column"),
        (b"", "not valid JSON"),
        (b"\xff", "not UTF-8"),
        (b'\xef\xbb\xbf{"a":1}', "not valid JSON"),
        (b'{"a":1,"a":2}', "repeats a member"),
        (b'{"a":NaN}', "NaN is no number"),
        (b"-Infinity", "-Infinity is no number"),
        (b"1" * 65, "more than 64 digits"),
        (b"0." + b"1" * 65, "more than 64 digits"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nests deeper"),
        (b"[" * 100_000, "nests deeper"),
        (b'{"a":[' * 33 + b"]}" * 33, "nests deeper"),
    ],
)
def test_what_parsers_disagree_about_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequestError, match=reason):
        check_json(body)


def test_nesting_at_the_limit_passes() -> None:
    check_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


def test_brackets_inside_strings_and_beside_each_other_do_not_nest() -> None:
    text = b'["' + b"[{" * 100 + b'\\"[", {}' + b", []" * 100 + b"]"
    assert len(check_json(text)) == 102


def test_what_goes_out_is_compact() -> None:
    assert to_json({"a": ["é", None]}) == '{"a":["é",null]}'.encode()
