import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect.join_token import JoinToken, JoinTokenError, fingerprint_of

RELAY_KEY = bytes(range(32))


def make() -> JoinToken:
    return JoinToken.make(token_id="jt_0123456789abcdef", relay_public_key=RELAY_KEY)


def test_token_survives_the_way_through_a_clipboard() -> None:
    token = make()
    text = token.reveal()
    assert text.startswith("ccj1.jt_0123456789abcdef.")
    assert JoinToken.parse(f"  {text}\r\n") == token


def test_secret_has_160_random_bits_and_is_not_shown_by_accident() -> None:
    first, second = make(), make()
    assert first.secret != second.secret
    assert len(first.secret) == 27
    assert first.secret not in repr(first)
    assert first.secret not in str(first)


def test_relay_keeps_only_a_digest_of_the_secret() -> None:
    token = make()
    assert len(token.secret_hash()) == 32
    assert token.secret.encode() not in token.secret_hash()
    assert token.secret_hash() == JoinToken.parse(token.reveal()).secret_hash()


def test_token_knows_the_relay_that_issued_it() -> None:
    token = make()
    assert token.matches(RELAY_KEY)
    assert not token.matches(bytes(32))
    assert token.fingerprint == fingerprint_of(RELAY_KEY)


def test_every_truncation_is_recognised_as_one_or_as_mistyped() -> None:
    text = make().reveal()
    for length in range(len(text)):
        with pytest.raises(JoinTokenError, match=r"empty|no join token|cut off|mistyped"):
            JoinToken.parse(text[:length])
    with pytest.raises(JoinTokenError, match="cut off"):
        JoinToken.parse(text[:-3])


@given(st.data())
def test_any_other_character_anywhere_is_noticed(data: st.DataObject) -> None:
    text = make().reveal()
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters().filter(lambda character: character != text[at]))
    changed = text[:at] + other + text[at + 1 :]
    if changed.strip() == text:
        return
    with pytest.raises(JoinTokenError):
        JoinToken.parse(changed)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("   \n", "empty"),
        ("cck_live_abc", "no join token"),
        ("ccj1.not.a.token", "cut off"),
        ("ccj1." + "a" * 500, "too long"),
        ("ccj1.a.b.c.d.e", "too long"),
        ("ccj1.jt_a.short.fingerprint.AAAAAA", "mistyped"),
        ("ccj1.jt_ä.AAAAAAAAAAAAAAAAAAAAAAAAAAA.fingerprint.AAAAAA", "mistyped"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(text: str, says: str) -> None:
    with pytest.raises(JoinTokenError, match=says) as caught:
        JoinToken.parse(text)
    assert caught.value.message.endswith(".")
    assert caught.value.status == 400


@given(st.text())
def test_any_text_is_a_token_or_an_error(text: str) -> None:
    with pytest.raises(JoinTokenError):
        JoinToken.parse(text)
