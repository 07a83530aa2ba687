import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect.errors import IdempotencyKeyRequiredError, InvalidRequestError
from cloud_connect_relay.calls.idempotency import (
    Verdict,
    checked_key,
    fingerprint,
    judge,
    required_key,
)
from cloud_connect_relay.storage.calls import CallRecord, CallState

PARTS = st.lists(st.one_of(st.none(), st.text(), st.binary()), max_size=5)


def earlier(state: CallState, digest: str | None = "same") -> CallRecord:
    return CallRecord(
        id="call_1",
        subscription_id="sub_1",
        operation="records.create",
        fingerprint=digest,
        state=state,
        started_at=1.0,
    )


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        (CallState.ACCEPTED, Verdict.RUNNING),
        (CallState.DISPATCHED, Verdict.RUNNING),
        (CallState.COMPLETED, Verdict.REPLAY),
        (CallState.UNKNOWN, Verdict.UNKNOWN),
        (CallState.NOT_EXECUTED, Verdict.RELEASED),
    ],
)
def test_repeat_is_judged_by_how_the_first_attempt_ended(
    state: CallState, verdict: Verdict
) -> None:
    assert judge(earlier(state), digest="same") is verdict


@pytest.mark.parametrize(
    "state", [state for state in CallState if state is not CallState.NOT_EXECUTED]
)
def test_another_request_with_the_key_is_a_mismatch(state: CallState) -> None:
    assert judge(earlier(state), digest="other") is Verdict.MISMATCH


def test_released_key_takes_any_request() -> None:
    assert judge(earlier(CallState.NOT_EXECUTED), digest="other") is Verdict.RELEASED


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "é", "new\nline", "\x7f"])
def test_unfit_keys_are_refused(key: str) -> None:
    with pytest.raises(InvalidRequestError, match="Idempotency-Key"):
        checked_key(key)


@pytest.mark.parametrize("key", ["a", "x" * 255, "with spaces, and {signs}"])
def test_printable_keys_are_taken(key: str) -> None:
    assert required_key(key) == key


def test_missing_key_is_told_how_to_make_one() -> None:
    assert checked_key(None) is None
    with pytest.raises(IdempotencyKeyRequiredError, match="repeat"):
        required_key(None)


@given(PARTS, PARTS)
def test_fingerprints_are_equal_only_for_equal_parts(
    one: list[str | bytes | None], other: list[str | bytes | None]
) -> None:
    def plain(parts: list[str | bytes | None]) -> list[bytes | None]:
        return [
            part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
            for part in parts
        ]

    assert (fingerprint(*plain(one)) == fingerprint(*plain(other))) == (plain(one) == plain(other))
