"""Sealed requests and answers: who can open them, and what is noticed of a change."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect.errors import InvalidRequestError, RemoteProtocolError
from cloud_connect.sealing import (
    MAX_PIECE_BYTES,
    AnswerOpener,
    AnswerSealer,
    Part,
    SealedHead,
    SealingKey,
    open_request,
    seal_request,
)

CONNECTOR = SealingKey(bytes(range(32)))
CALLER = SealingKey(bytes(range(1, 33)))
SECRET = bytes(range(2, 34))
HEAD = SealedHead(
    operation="records.get",
    params={"resource": "rfis"},
    answer_key=CALLER.public_key,
    secret=SECRET,
    expires_at=1000,
)


def sealed(head: SealedHead = HEAD, *, writes: bool = False) -> bytes:
    return seal_request(
        head,
        b"body",
        connector_id="conn_a",
        connector_key=CONNECTOR.public_key,
        writes=writes,
    )


def answer(*pieces: bytes, end: bool = True) -> bytes:
    sealer = AnswerSealer(HEAD, connector_id="conn_a")
    out = sealer.prelude + sealer.seal(Part.HEAD, b"{}")
    for piece in pieces:
        out += b"".join(sealer.seal_body(piece))
    return out + (sealer.seal(Part.END, b"{}") if end else b"")


def opener(secret: bytes = SECRET, connector_id: str = "conn_a") -> AnswerOpener:
    return AnswerOpener(CALLER, secret, connector_id=connector_id)


def test_only_the_connector_can_open_a_request() -> None:
    request = sealed()
    opened = open_request(request, CONNECTOR, connector_id="conn_a", writes=False)
    assert (opened.head, opened.body) == (HEAD, b"body")
    assert b"rfis" not in request
    with pytest.raises(InvalidRequestError, match="cannot be opened"):
        open_request(request, CALLER, connector_id="conn_a", writes=False)


def test_a_request_is_bound_to_what_stands_outside() -> None:
    for connector_id, writes in (("conn_b", False), ("conn_a", True)):
        with pytest.raises(InvalidRequestError, match="cannot be opened"):
            open_request(sealed(), CONNECTOR, connector_id=connector_id, writes=writes)


def test_a_request_of_another_version_or_without_a_head_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="in a way"):
        open_request(b"\x02" + sealed()[1:], CONNECTOR, connector_id="conn_a", writes=False)
    with pytest.raises(InvalidRequestError, match="cannot be opened"):
        open_request(b"\x01", CONNECTOR, connector_id="conn_a", writes=False)
    odd = HEAD.model_copy(update={"operation": ""})
    with pytest.raises(InvalidRequestError, match="proper head"):
        open_request(sealed(odd), CONNECTOR, connector_id="conn_a", writes=False)


@pytest.mark.parametrize("key", [b"short", bytes(32)])
def test_a_key_that_is_none_is_refused(key: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="no X25519"):
        seal_request(HEAD, b"", connector_id="conn_a", connector_key=key, writes=False)


def test_keys_and_secrets_do_not_show() -> None:
    assert repr(CONNECTOR) == "SealingKey()"
    assert "secret" not in repr(HEAD)
    assert SealingKey(CONNECTOR.seed()).public_key == CONNECTOR.public_key
    assert SealingKey.generate().public_key != SealingKey.generate().public_key


@given(st.sets(st.integers(1, 99_000), max_size=12))
def test_an_answer_may_come_in_any_pieces(cuts: set[int]) -> None:
    whole = answer(b"x" * 100_000, b"end")
    reader, body = opener(), b""
    places = [0, *sorted(cuts), len(whole)]
    for start, stop in pairwise(places):
        parts = reader.feed(whole[start:stop])
        body += b"".join(text for part, text in parts if part is Part.DATA)
    reader.close()
    assert body == b"x" * 100_000 + b"end"


def test_only_the_caller_who_knows_the_secret_can_open_an_answer() -> None:
    for other in (opener(secret=bytes(32)), opener(connector_id="conn_b")):
        with pytest.raises(RemoteProtocolError):
            other.feed(answer())
    with pytest.raises(RemoteProtocolError, match="not sealed to this call"):
        AnswerOpener(CONNECTOR, SECRET, connector_id="conn_a").feed(answer())


def test_a_part_that_is_lost_swapped_or_cut_is_noticed() -> None:
    sealer = AnswerSealer(HEAD, connector_id="conn_a")
    parts = [sealer.seal(Part.HEAD, b"{}"), sealer.seal(Part.DATA, b"1")]
    parts += [sealer.seal(Part.DATA, b"2"), sealer.seal(Part.END, b"{}")]
    for order in ((0, 2, 1, 3), (0, 2, 3), (0, 1, 3), (1,), (0, 0)):
        with pytest.raises(RemoteProtocolError, match="in its place"):
            opener().feed(sealer.prelude + b"".join(parts[one] for one in order))
    cut = opener()
    cut.feed(sealer.prelude + b"".join(parts[:3]))
    with pytest.raises(RemoteProtocolError, match="cut off"):
        cut.close()


def test_a_part_of_another_kind_or_length_is_noticed() -> None:
    whole = bytearray(answer(b"x"))
    place = len(AnswerSealer(HEAD, connector_id="conn_a").prelude)
    for kind in (Part.DATA, 9):
        changed = whole[:]
        changed[place] = kind
        with pytest.raises(RemoteProtocolError, match="in its place"):
            opener().feed(bytes(changed))
    whole[place + 1 : place + 4] = (MAX_PIECE_BYTES + 17).to_bytes(3)
    with pytest.raises(RemoteProtocolError, match="too long"):
        opener().feed(bytes(whole))


def test_nothing_may_come_behind_the_end() -> None:
    reader = opener()
    with pytest.raises(RemoteProtocolError, match="behind its end"):
        reader.feed(answer() + b"more")
    other = opener()
    other.feed(answer())
    with pytest.raises(RemoteProtocolError, match="behind its end"):
        other.feed(b"x")


def test_an_unknown_kind_that_is_sealed_well_is_refused() -> None:
    sealer = AnswerSealer(HEAD, connector_id="conn_a")
    odd = sealer.seal(9, b"{}")  # type: ignore[arg-type]  # what a later version may know
    with pytest.raises(RemoteProtocolError):
        opener().feed(sealer.prelude + odd)
