import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from cloud_connect_relay.api.row_text import LineCounter, RowJoiner

ROWS = st.lists(st.dictionaries(st.sampled_from("abc"), st.text(max_size=5)), max_size=20)


def pieces_of(text: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(text) + 1) for cut in cuts} | {0, len(text)})
    return [text[start:end] for start, end in itertools.pairwise(places)]


@given(
    rows=ROWS,
    cuts=st.lists(st.integers(min_value=0, max_value=10_000), max_size=20),
    ended=st.booleans(),
)
def test_lines_become_an_array_wherever_they_are_cut(
    rows: list[dict[str, str]], cuts: list[int], *, ended: bool
) -> None:
    text = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    if not ended:
        text = text.removesuffix(b"\n")
    joiner, counter = RowJoiner(), LineCounter()
    pieces = pieces_of(text, cuts)
    joined = b"".join(joiner.feed(piece) for piece in pieces)
    assert json.loads(b"[" + joined + b"]") == rows
    assert joiner.total == len(rows)
    assert b"".join(counter.feed(piece) for piece in pieces if piece) == text
    assert counter.total == len(rows)


def test_empty_pieces_change_nothing() -> None:
    joiner = RowJoiner()
    assert [joiner.feed(piece) for piece in (b"", b"1\n", b"", b"2")] == [b"", b"1", b"", b",2"]
    assert joiner.total == 2
