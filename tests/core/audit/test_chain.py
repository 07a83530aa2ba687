import hashlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect.audit import (
    BrokenRecordError,
    ChainedRecord,
    canonical,
    chained,
    genesis,
    parse_moment,
    record_time,
)

RECORD = chained(1, canonical({"seq": 1, "action": "key.create"}), genesis("log"))
FACTS = st.dictionaries(
    st.text(max_size=8), st.none() | st.integers(-(2**53), 2**53) | st.text(max_size=20), max_size=4
)


def test_hash_covers_the_record_and_the_hash_before_it() -> None:
    assert RECORD.data == b'{"action":"key.create","seq":1}'
    assert RECORD.hash == hashlib.sha256(RECORD.data + RECORD.prev).digest()
    assert RECORD.is_sound()


def test_line_is_the_record_with_both_hashes() -> None:
    assert orjson.loads(RECORD.line()) == {
        "seq": 1,
        "action": "key.create",
        "prev": RECORD.prev.hex(),
        "hash": RECORD.hash.hex(),
    }
    assert RECORD.fields() == {"seq": 1, "action": "key.create"}


@given(FACTS)
def test_every_record_is_read_as_it_was_written(detail: dict[str, object]) -> None:
    record = chained(7, canonical({"seq": 7, "detail": detail}), RECORD.hash)
    assert ChainedRecord.of_line(record.line()) == record


@given(st.data())
def test_no_byte_of_a_line_can_be_changed_unseen(data: st.DataObject) -> None:
    line = bytearray(RECORD.line())
    position = data.draw(st.integers(0, len(line) - 1))
    line[position] ^= data.draw(st.integers(1, 255))
    try:
        found = ChainedRecord.of_line(bytes(line))
    except BrokenRecordError:
        return
    assert not found.is_sound()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        RECORD.line()[:-1],
        RECORD.line().replace(b'"seq":1', b'"seq": 1'),
        RECORD.line().replace(b'"seq":1', b'"seq":"1"'),
        RECORD.line().replace(b'"seq":1', b'"seq":true'),
        RECORD.line().replace(b'"seq":1', b'"sex":1'),
        RECORD.line().replace(b'{"action":"key.create","seq":1', b"[1"),
    ],
)
def test_what_is_no_record_in_its_one_form_is_refused(line: bytes) -> None:
    with pytest.raises(BrokenRecordError):
        ChainedRecord.of_line(line)


def test_logs_begin_at_hashes_of_their_own() -> None:
    assert genesis("one") != genesis("other")


def test_times_are_written_in_milliseconds() -> None:
    assert record_time(0.0) == "1970-01-01T00:00:00.000Z"
    assert record_time(1_764_179_137.4996) == "2025-11-26T17:45:37.500Z"


def test_moments_are_dates_or_how_long_ago() -> None:
    assert parse_moment("2h", now=10_000.0) == 2800.0
    assert parse_moment("1970-01-02", now=0.0) == 86_400.0
    assert parse_moment("1970-01-01T01:00:00+01:00", now=0.0) == 0.0
    for wrong in ("", "yesterday", "2h ago", "0000-01-01"):
        with pytest.raises(ValueError, match="2026-11-24"):
            parse_moment(wrong, now=0.0)
