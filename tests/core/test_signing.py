import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from cloud_connect.signing import (
    Nonce,
    SigningKey,
    is_sound_public_key,
    key_id_of,
    pack_fields,
    to_bytes,
    to_text,
    verify_signature,
)

KEY = SigningKey(bytes(range(32)))
ORDER = 2**252 + 27742317777372353535851937790883648493
PRIME = 2**255 - 19
SMALL_ORDER = [
    0,
    1,
    PRIME - 1,
    int.from_bytes(
        bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"
    ),
    int.from_bytes(
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
    ),
]


def test_signature_of_a_message_verifies_and_of_another_does_not() -> None:
    signature = KEY.sign(b"message")
    assert verify_signature(KEY.public_key, signature, b"message")
    assert not verify_signature(KEY.public_key, signature, b"messagE")
    assert not verify_signature(SigningKey.generate().public_key, signature, b"message")
    assert not verify_signature(KEY.public_key, signature[:-1], b"message")


def test_second_encoding_of_a_signature_is_refused() -> None:
    signature = KEY.sign(b"message")
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    other = signature[:32] + scalar.to_bytes(32, "little")
    assert not verify_signature(KEY.public_key, other, b"message")


@pytest.mark.parametrize("y", SMALL_ORDER)
@pytest.mark.parametrize("sign", [0, 1 << 255])
def test_key_of_small_order_is_refused(y: int, sign: int) -> None:
    public_key = (y | sign).to_bytes(32, "little")
    assert not is_sound_public_key(public_key)
    # The identity point with a zero scalar is a "signature" of everything by such keys.
    assert not verify_signature(public_key, (1).to_bytes(32, "little") + bytes(32), b"anything")


def test_key_that_is_not_canonical_or_no_point_is_refused() -> None:
    assert not is_sound_public_key((PRIME + 3).to_bytes(32, "little"))
    assert not is_sound_public_key(b"short")
    no_point = (2).to_bytes(32, "little")
    assert not verify_signature(no_point, KEY.sign(b"message"), b"message")


def test_private_key_is_not_shown_by_accident() -> None:
    assert to_text(KEY.seed()) not in repr(KEY)
    assert KEY.key_id in repr(KEY)
    assert SigningKey(KEY.seed()).public_key == KEY.public_key


def test_key_id_is_bound_to_the_key() -> None:
    assert KEY.key_id == key_id_of(KEY.public_key)
    assert KEY.key_id != key_id_of(bytes(32))


_FIELDS = st.lists(st.one_of(st.binary(max_size=9), st.text(max_size=5)), max_size=4)


def _meaning(field: bytes | str) -> bytes:
    return field.encode() if isinstance(field, str) else field


@given(_FIELDS, _FIELDS)
def test_other_fields_never_pack_to_the_same_bytes(
    first: list[bytes | str], second: list[bytes | str]
) -> None:
    same = [_meaning(field) for field in first] == [_meaning(field) for field in second]
    assert (pack_fields("label", *first) == pack_fields("label", *second)) is same


def test_packing_is_lengths_and_bytes() -> None:
    assert pack_fields("ab", "c", b"\xff", 1) == bytes.fromhex(
        "00000002 6162 00000001 63 00000001 ff 00000008 0000000000000001"
    )


@given(st.binary())
def test_text_of_bytes_is_unique(data: bytes) -> None:
    assert to_bytes(to_text(data)) == data


@pytest.mark.parametrize("text", ["A", "AB", "A===", "AA==", "A A", "A+", "Ä", "AA\n"])
def test_other_spellings_of_bytes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64url"):
        to_bytes(text)


class Model(BaseModel):
    nonce: Nonce


def test_models_carry_bytes_as_text_of_the_right_length() -> None:
    model = Model(nonce=bytes(32))
    assert Model.model_validate_json(model.model_dump_json()) == model
    for wrong in ("AAAA", "!" * 43, 7):
        with pytest.raises(ValidationError):
            Model.model_validate({"nonce": wrong})
