import contextlib
import gc
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from cloud_connect.strict_json import (
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_MEMBERS,
    MAX_VALUES,
    StrictJsonError,
    is_deep,
    parse,
    read,
)


class Named(BaseModel):
    name: str


def test_plain_json_is_read() -> None:
    assert parse('{"a":[1,-2.5,"é\\ud83d\\ude00",null,true]}'.encode()) == {
        "a": [1, -2.5, "é😀", None, True]
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a":1,}', "line 1, column"),
        (b"", "not valid JSON"),
        (b"\xff", "not UTF-8"),
        (b'\xef\xbb\xbf{"a":1}', "not valid JSON"),
        (b'{"a":1,"a":2}', "repeats a member"),
        (b'{"a":1,"\\u0061":2}', "repeats a member"),
        (b'{"a":NaN}', "NaN is no number"),
        (b"-Infinity", "-Infinity is no number"),
        (b"1e999", "out of range"),
        (b"1" * (MAX_DIGITS + 1), "more than 64 digits"),
        (b'{"a":"1","b":-' + b"1" * (MAX_DIGITS + 1) + b"}", "more than 64 digits"),
        (b"0." + b"1" * MAX_DIGITS, "more than 64 digits"),
        (b'"\\ud800"', "not valid JSON"),
        (b'{"\\udfff":1}', "not valid JSON"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nests deeper"),
        (b"[" * 100_000, "nests deeper"),
        (b'{"a":[' * 33 + b"]}" * 33, "nests deeper"),
        (
            b"{" + b",".join(b'"%d":0' % n for n in range(MAX_MEMBERS + 1)) + b"}",
            "more than 10000 members",
        ),
        (
            b"{"
            + b",".join(b'"%d":%s' % (n, b"[{}]" if n % 9 else b"1") for n in range(20_000))
            + b"}",
            "more than 10000 members",
        ),
        (b"[" + b"0," * (MAX_VALUES + 1) + b"0]", "more than 100000 values"),
        (b"[" + b",".join([b"[" * 60 + b"]" * 60] * 2000) + b"]", "more than 100000 values"),
    ],
)
def test_what_parsers_disagree_about_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(StrictJsonError, match=reason):
        parse(text)


@pytest.mark.parametrize("sign", ["", "-"])
def test_numbers_at_the_limit_are_read(sign: str) -> None:
    digits = sign + "9" * MAX_DIGITS
    assert parse(f"[{digits},0.25]".encode()) == [int(digits), 0.25]


def test_digits_inside_strings_are_no_number() -> None:
    text = '"' + "1" * 1000
    assert parse(f'{{{text}":[1,{text}"]}}'.encode()) == {"1" * 1000: [1, "1" * 1000]}


def test_objects_at_the_limit_are_read_side_by_side() -> None:
    one = b"{" + b",".join(b'"%d":":"' % n for n in range(MAX_MEMBERS)) + b"}"
    assert [len(read) for read in parse(b"[" + b",".join([one] * 3) + b"]")] == [MAX_MEMBERS] * 3


def test_nesting_at_the_limit_is_read() -> None:
    parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


def test_brackets_inside_strings_and_beside_each_other_do_not_nest() -> None:
    text = b'["' + b"[{" * 100 + b'\\"[", {}' + b", []" * 100 + b"]"
    assert len(parse(text)) == 102
    assert parse(b'"' + b"," * (MAX_VALUES + 1) + b'"') == "," * (MAX_VALUES + 1)


@pytest.mark.parametrize("before", range(64 * 1024 - 5, 64 * 1024 + 3))
def test_strings_are_known_across_the_pieces_that_are_looked_at(before: int) -> None:
    tail = b'\\"' + b"[" * 100
    text = b'["' + b"a" * before + tail
    assert len(parse(text + b'",{}]')) == 2
    with pytest.raises(StrictJsonError, match="nests deeper"):
        parse(text + b'",' + tail[2:] + b"]" * 101)


@pytest.mark.parametrize(("depth", "deep"), [(1, False), (MAX_DEPTH, False), (MAX_DEPTH + 1, True)])
def test_depth_of_what_another_parser_made_is_told(depth: int, *, deep: bool) -> None:
    lists: Any = []
    mixed: Any = [{}]
    for level in range(depth - 1):
        lists = [1, lists]
        if level:
            mixed = {"a": mixed, "b": None} if level % 2 else [mixed]
    assert is_deep(lists) is deep
    assert is_deep(mixed) is (deep and depth > 1)
    assert not is_deep("text")


def test_model_is_read_from_what_is_strict_json_only() -> None:
    assert read(Named, b'{"name":"Dent"}').name == "Dent"
    with pytest.raises(ValidationError):
        read(Named, b'{"name":1}')
    with pytest.raises(StrictJsonError):
        read(Named, b'{"name":"Dent","name":"Prefect"}')


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)


@given(st.binary(max_size=200) | st.text(alphabet='[]{}",:\\u0d8f1e-. ', max_size=80))
def test_any_bytes_are_json_or_refused(text: bytes | str) -> None:
    try:
        parse(text if isinstance(text, bytes) else text.encode())
    except StrictJsonError:
        return


@given(documents)
def test_any_document_comes_out_as_it_went_in(document: Any) -> None:
    import orjson

    try:
        text = orjson.dumps(document)
    except TypeError:  # an integer over 64 bits, half a character
        return
    assert parse(text) == document


MEBIBYTE = 1024 * 1024


@pytest.mark.parametrize(
    "text",
    [
        b'"' + b'\\"' * (MEBIBYTE // 2),
        b"[" + b'"' * MEBIBYTE,
        b"[" * 65 + b'"\\' * (MEBIBYTE // 2),
        b"[" * 65 + b'"' * MEBIBYTE,
        b"[" * 65 + b"\\" * MEBIBYTE,
        b'["' + b'","' * (MEBIBYTE // 3) + b'"]',
        (b"[" * 64 + b"]" * 64 + b",") * (MEBIBYTE // 129),
        b"[" + b"[]," * (MEBIBYTE // 3) + b"1]",
        b"[" + b"{}," * (MEBIBYTE // 3) + b"1]",
        b"1" * MEBIBYTE,
        b"[" + b"1," * (MEBIBYTE // 2) + b"1]",
    ],
    ids=lambda text: f"{text[:8]!r}",
)
def test_no_text_takes_longer_than_its_length_is_worth(text: bytes) -> None:
    gc.disable()  # the relay looks for cycles far less often than a test's process does
    try:
        began = time.thread_time()  # of this thread: what else the machine does is not its fault
        with contextlib.suppress(StrictJsonError):
            parse(text)
        took = time.thread_time() - began
    finally:
        gc.enable()
    assert took < 0.5
