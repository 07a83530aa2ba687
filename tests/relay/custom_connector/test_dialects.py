import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect.errors import InvalidRequestError
from cloud_connect.live_secrets import mask_live_text
from cloud_connect_relay.custom_connector.dialects import Dialect, SharedSecret
from doubles import kianda

# The platform's contract, section 8.
TEXT = b'{"clientID":"demo","environment":"live"}'
REQUEST_ID = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
A = SharedSecret.parse(Dialect.CURRENT, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
A_IV = base64.b64decode("EBESExQVFhcYGRobHB0eHw==")
A_BAG = base64.b64decode("GFfVYQP0hgW/msnyvsND+YzEYzaPfSQ3KHGxTdWhaBiOeHYXsyUi2/g5uGveccsK")
A_SIGNATURE = "t8QVg1EIlcMbY9WcuaAtKyPEUzmgRJzpIMginzgr+0g="
B = SharedSecret.parse(Dialect.OLDER, "0123456789abcdef0123456789abcdef")
B_BAG = base64.b64decode("2vwpFM6LWEWkg/XIFtcZSYma5j9weKAVG1wzPsaemH+EZ2WtQJcqcKZ2c128CAsb")
B_SIGNATURE = "QiVGnnvapgg7eAlp2S2O4781WMVgegF9dg8IGANwNZ0="


@pytest.mark.parametrize(
    ("secret", "iv", "bag", "signature"),
    [(A, A_IV, A_BAG, A_SIGNATURE), (B, None, B_BAG, B_SIGNATURE)],
)
def test_vectors_of_the_contract_hold(
    secret: SharedSecret, iv: bytes | None, bag: bytes, signature: str
) -> None:
    opened = secret.decrypt(bag, iv)
    assert (opened.text, opened.is_padded) == (TEXT, True)
    assert secret.sign(REQUEST_ID) == signature


def test_older_dialect_encrypts_to_its_vector_without_an_iv() -> None:
    assert B.encrypt(TEXT) == (B_BAG, None)


def test_current_dialect_takes_a_fresh_iv_for_each_message() -> None:
    (first, first_iv), (second, second_iv) = A.encrypt(TEXT), A.encrypt(TEXT)
    assert first_iv is not None
    assert second_iv is not None
    assert first != second
    assert first_iv != second_iv
    assert A.decrypt(first, first_iv).text == A.decrypt(second, second_iv).text == TEXT


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 100])
def test_another_implementation_agrees(dialect: Dialect, length: int) -> None:
    secret = SharedSecret.new(dialect)
    key = base64.b64decode(secret.text) if dialect is Dialect.CURRENT else secret.text.encode()
    text = os.urandom(length)
    bag, iv = secret.encrypt(text)
    assert kianda.decrypted(key, iv or kianda.ZERO_IV, bag) == text
    theirs = kianda.encrypted(key, iv or kianda.ZERO_IV, text)
    assert theirs == bag
    assert secret.sign("an id") == kianda.signature(key, "an id")


@given(st.binary(min_size=1, max_size=8).map(lambda blocks: blocks * 16))
def test_any_blocks_decrypt_to_something_and_never_fail(bag: bytes) -> None:
    for secret in (A, B):
        opened = secret.decrypt(bag, A_IV)
        assert len(bag) - 16 <= len(opened.text) < len(bag)


@pytest.mark.parametrize("last", [b"\x00", b"\x11", b"\xff", b"\x01\x02", b"\x02\x03\x03"])
def test_wrong_padding_is_noticed(last: bytes) -> None:
    block = bytes(16 - len(last)) + last
    # CBC of one block with a key of ours: what decrypts to exactly *block*.
    bag = kianda.encrypted(base64.b64decode(A.text), A_IV, block)[:16]
    assert not A.decrypt(bag, A_IV).is_padded


def test_fresh_secrets_are_keys_of_their_dialect_and_differ() -> None:
    for dialect in Dialect:
        first, second = SharedSecret.new(dialect), SharedSecret.new(dialect)
        assert first.text != second.text
        assert SharedSecret.parse(dialect, first.text) == first
    assert len(base64.b64decode(SharedSecret.new(Dialect.CURRENT).text)) == 32


@pytest.mark.parametrize("dialect", Dialect)
def test_secret_of_nobody_takes_no_place_among_those_that_are_masked(dialect: Dialect) -> None:
    secret, others = SharedSecret.new(dialect), SharedSecret.of_nobody(dialect)
    assert secret.text not in mask_live_text(f"log of {secret.text}")
    assert others.text in mask_live_text(f"log of {others.text}")
    assert not others.decrypt(*secret.encrypt(TEXT)).text.startswith(TEXT)


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        (Dialect.CURRENT, ""),
        (Dialect.CURRENT, "AAEC"),
        (Dialect.CURRENT, "not base64!" * 4),
        (Dialect.CURRENT, "0123456789abcdef0123456789abcdef"),
        (Dialect.OLDER, ""),
        (Dialect.OLDER, "0123456789abcdef"),
        (Dialect.OLDER, "ü" * 32),
    ],
)
def test_what_is_no_key_is_refused_without_repeating_it(dialect: Dialect, text: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        SharedSecret.parse(dialect, text)
    assert not text or text not in str(refused.value)


def test_secret_does_not_show_itself() -> None:
    assert A.text not in repr(A)
    assert "demo" not in repr(A.decrypt(A_BAG, A_IV))
