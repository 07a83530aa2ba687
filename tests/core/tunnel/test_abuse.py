import pytest

from cloud_connect.errors import RemoteProtocolError
from cloud_connect.tunnel.abuse import CancelGuard, FloodGuard
from cloud_connect.tunnel.pacing import CancelPacer


def test_flood_is_refused_after_the_burst() -> None:
    guard = FloodGuard(3, 1.0)
    for _ in range(3):
        guard.charge(10.0)
    with pytest.raises(RemoteProtocolError, match="rate_abuse"):
        guard.charge(10.0)


def test_time_forgives_up_to_the_burst() -> None:
    guard = FloodGuard(3, 1.0)
    for _ in range(3):
        guard.charge(10.0)
    for _ in range(3):
        guard.charge(1000.0)
    with pytest.raises(RemoteProtocolError):
        guard.charge(1000.5)


def cancel_storm(*, opens: int, cancels: int) -> CancelGuard:
    guard = CancelGuard(100, 0.5, 10.0)
    for _ in range(opens):
        guard.opened(50.0)
    for _ in range(cancels):
        guard.cancelled(50.0)
    return guard


@pytest.mark.parametrize(
    ("opens", "cancels", "exceeded"),
    [(100, 100, False), (101, 101, True), (202, 101, False), (201, 101, True), (0, 101, True)],
)
def test_cancels_over_the_burst_are_judged_by_their_share(
    opens: int, cancels: int, *, exceeded: bool
) -> None:
    assert cancel_storm(opens=opens, cancels=cancels).exceeded(50.0) is exceeded


def test_cancels_are_forgotten_after_the_period() -> None:
    guard = cancel_storm(opens=101, cancels=101)
    assert guard.exceeded(58.9)
    assert not guard.exceeded(60.0)


def test_clock_that_steps_back_a_little_counts_in_the_last_slice() -> None:
    guard = cancel_storm(opens=101, cancels=100)
    guard.cancelled(49.0)
    assert guard.exceeded(50.0)


def test_pacer_stays_below_what_a_guard_tolerates() -> None:
    pacer = CancelPacer()
    guard = CancelGuard(100, 0.5, 10.0)
    sent = 0
    for tick in range(4000):
        now = tick / 100
        pacer.opened(now)
        guard.opened(now)
        if pacer.may_cancel(now):
            pacer.cancelled()
            pacer.confirmed(now)
            guard.cancelled(now)
            sent += 1
        assert not guard.exceeded(now)
    assert sent > 300


def test_pacer_waits_for_confirmations() -> None:
    pacer = CancelPacer()
    while pacer.may_cancel(0.0):
        pacer.cancelled()
    assert not pacer.may_cancel(1000.0)
    for _ in range(80):
        pacer.confirmed(1000.0)
    assert not pacer.may_cancel(1009.0)
    assert pacer.may_cancel(1013.0)
    assert not pacer.withheld
