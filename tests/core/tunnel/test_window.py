import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect.errors import FlowControlError, LocalProtocolError
from cloud_connect.tunnel.window import ReceiveWindow, SendWindow

KIB = 1024


def test_credit_that_was_taken_is_outstanding() -> None:
    window = SendWindow(100)
    window.take(30)
    assert (window.credit, window.outstanding) == (70, 30)


def test_more_than_the_credit_is_not_taken() -> None:
    with pytest.raises(LocalProtocolError, match="credit"):
        SendWindow(10).take(11)


def test_window_that_grew_gives_the_growth_as_credit() -> None:
    window = SendWindow(100)
    window.take(100)
    window.grant(150, 200)
    assert (window.credit, window.size, window.outstanding) == (150, 200, 50)


@pytest.mark.parametrize(
    ("increment", "size", "reason"),
    [(10, 99, "set to"), (10, 2**31, "set to"), (0, 100, "without"), (51, 100, "overflows")],
)
def test_grant_that_does_not_add_up_is_refused(increment: int, size: int, reason: str) -> None:
    window = SendWindow(100)
    window.take(50)
    with pytest.raises(FlowControlError, match=reason):
        window.grant(increment, size)


def test_peer_without_credit_is_refused() -> None:
    window = ReceiveWindow(100, 100)
    window.receive(100)
    with pytest.raises(FlowControlError, match="allowed 0"):
        window.receive(1)


def test_more_than_was_received_is_not_consumed() -> None:
    with pytest.raises(LocalProtocolError, match="buffered"):
        ReceiveWindow(100, 100).consume(1, now=0, round_trip=None)


def test_credit_goes_back_by_the_quarter() -> None:
    window = ReceiveWindow(64 * KIB, 64 * KIB)
    window.receive(32 * KIB)
    assert not window.consume(16 * KIB - 1, now=0, round_trip=None)
    assert window.consume(1, now=0, round_trip=None)
    assert window.give_back() == 16 * KIB
    assert not window.is_due()


def test_credit_goes_back_early_to_a_peer_that_has_little_left() -> None:
    window = ReceiveWindow(64 * KIB, 64 * KIB)
    window.receive(62 * KIB)
    assert not window.consume(1 * KIB, now=0, round_trip=None)
    assert window.consume(1 * KIB, now=0, round_trip=None)


def test_unread_bytes_give_no_credit() -> None:
    window = ReceiveWindow(64 * KIB, 64 * KIB)
    window.receive(64 * KIB)
    assert not window.is_due()


def read_whole(window: ReceiveWindow, *, begin: float, end: float) -> None:
    half = window.size // 2
    for now, size in ((begin, 0), (begin, half), (end, window.size - half)):
        window.receive(size)
        window.consume(size, now=now, round_trip=0.1)
        window.give_back()


def test_window_read_within_two_round_trips_doubles_up_to_its_maximum() -> None:
    window = ReceiveWindow(64 * KIB, 200 * KIB)
    read_whole(window, begin=0, end=0.1)
    assert window.size == window.credit == 128 * KIB
    read_whole(window, begin=0.1, end=0.2)
    assert window.size == 200 * KIB
    read_whole(window, begin=0.3, end=0.35)
    assert window.size == 200 * KIB


def test_window_of_a_slow_reader_stays() -> None:
    window = ReceiveWindow(64 * KIB, 200 * KIB)
    read_whole(window, begin=0, end=0.3)
    assert window.size == 64 * KIB


def test_window_without_a_measured_round_trip_stays() -> None:
    window = ReceiveWindow(64 * KIB, 200 * KIB)
    for _ in range(2):
        window.receive(64 * KIB)
        window.consume(64 * KIB, now=0, round_trip=None)
        window.give_back()
    assert window.size == 64 * KIB


def test_gulp_after_a_pause_is_no_fast_reader() -> None:
    window = ReceiveWindow(64 * KIB, 200 * KIB)
    for now in (0.0, 10.0, 20.0):
        window.receive(64 * KIB)
        window.consume(64 * KIB, now=now, round_trip=0.1)
        window.give_back()
    assert window.size == 64 * KIB


def test_credit_goes_back_in_small_steps_when_asked_to() -> None:
    window = ReceiveWindow(64 * KIB, 64 * KIB)
    window.receive(2 * KIB)
    assert not window.consume(KIB - 1, now=0, round_trip=None, eager=True)
    assert window.consume(1, now=0, round_trip=None, eager=True)


def test_window_that_is_mostly_unread_is_short() -> None:
    window = ReceiveWindow(64 * KIB, 128 * KIB)
    window.receive(32 * KIB)
    before = window.is_short
    window.receive(1)
    assert (before, window.is_short) == (False, True)
    assert window.grow(256 * KIB)
    assert not window.grow(256 * KIB)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 100 * KIB), st.floats(0, 1))))
def test_both_ends_of_a_window_agree(steps: list[tuple[bool, int, float]]) -> None:
    receiver = ReceiveWindow(64 * KIB, 512 * KIB)
    sender = SendWindow(64 * KIB)
    now = 0.0
    for sends, size, pause in steps:
        now += pause
        if sends:
            piece = min(size, sender.credit)
            sender.take(piece)
            receiver.receive(piece)
        elif receiver.consume(min(size, receiver.buffered), now=now, round_trip=0.3):
            sender.grant(receiver.give_back(), receiver.size)
        assert sender.credit == receiver.credit
        assert receiver.buffered <= receiver.size
    receiver.consume(receiver.buffered, now=now, round_trip=None)
    assert sender.credit + receiver.size - receiver.credit >= 64 * KIB
