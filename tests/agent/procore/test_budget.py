"""What a grant may still send: Procore's two windows, on Procore's clock."""

from email.utils import formatdate

import pytest

from cloud_connect_agent.procore.budget import RateBudget, ServerClock, WindowView, own_limit

EPOCH = 1_800_000_000  # what Procore's clock shows when ours shows 0


def headers(left: int, *, limit: int = 25, reset: float = 10.0, now: float = 0.0) -> dict[str, str]:
    """What Procore says at *now* of a window that ends at *reset*."""
    return {
        "date": formatdate(EPOCH + int(now), usegmt=True),
        "x-rate-limit-limit": str(limit),
        "x-rate-limit-remaining": str(left),
        "x-rate-limit-reset": str(int(EPOCH + reset)),
    }


def learned(budget: RateBudget, now: float, said: dict[str, str], status: int = 200) -> None:
    budget.sent(now)
    budget.answered(now, status, said, 0.0)


def alone() -> RateBudget:
    """Return a budget of somebody who sent everything that Procore counted."""
    budget = RateBudget()
    for moment in (-20.0, *(-1.0 for _ in range(25))):
        learned(budget, moment, {})
    return budget


def test_without_headers_nothing_holds() -> None:
    budget = RateBudget()
    learned(budget, 0.0, {})
    for _ in range(100):
        assert budget.hold(0.0, interactive=False) == 0.0
        budget.sent(0.0)


def test_before_the_first_answer_only_a_few_go() -> None:
    budget = RateBudget()
    for _ in range(4):
        assert budget.hold(0.0, interactive=True) == 0.0
        budget.sent(0.0)
    assert budget.hold(0.0, interactive=True) == pytest.approx(2.0)
    assert budget.limited(0.0, interactive=True) == 0.0
    assert budget.hold(2.0, interactive=True) == 0.0


def test_a_window_holds_until_its_reset_on_procores_clock() -> None:
    budget = RateBudget()
    learned(budget, 0.0, headers(0))
    assert budget.hold(0.0, interactive=True) == pytest.approx(10.0)
    assert budget.hold(9.0, interactive=True) == pytest.approx(1.0)
    assert budget.hold(10.0, interactive=True) == 0.0


def test_window_and_a_hold_end_while_the_machine_sleeps() -> None:
    budget = RateBudget()
    learned(budget, 0.0, headers(0, limit=3600, reset=3000.0))
    learned(budget, 0.0, {"retry-after": "600"}, status=429)
    assert budget.limited(0.0, interactive=True) == pytest.approx(600.0)
    budget.slept(500.0)
    assert budget.limited(0.0, interactive=True) == pytest.approx(100.0)
    budget.slept(500.0)
    assert budget.limited(0.0, interactive=True) == pytest.approx(2000.0)
    budget.slept(2000.0)
    assert budget.limited(0.0, interactive=True) == 0.0


def test_what_is_under_way_counts_as_used() -> None:
    budget = alone()
    learned(budget, 0.0, headers(4))
    for _ in range(4):
        assert budget.hold(0.0, interactive=True) == 0.0
        budget.sent(0.0)
    assert budget.hold(0.0, interactive=True) > 0


def test_an_answer_that_comes_late_gives_nothing_back() -> None:
    budget = alone()
    budget.sent(0.0)
    budget.sent(0.0)
    budget.answered(0.1, 200, headers(1), 0.0)
    budget.answered(0.1, 200, headers(2), 0.0)  # sent first, arrived second
    budget.sent(0.2)
    assert budget.hold(0.2, interactive=True) > 0
    budget.answered(0.3, 200, headers(20, reset=5.0), 0.0)  # of an older window
    budget.sent(0.4)
    assert budget.hold(0.4, interactive=True) > 0


def test_bulk_leaves_a_reserve_for_people() -> None:
    budget = RateBudget()
    learned(budget, 0.0, headers(60, limit=600, reset=1800.0))
    assert budget.hold(0.0, interactive=False) > 0
    assert budget.hold(0.0, interactive=True) == 0.0


def test_bulk_uses_a_short_window_up_unless_people_call() -> None:
    budget = RateBudget()
    learned(budget, 0.0, headers(2))
    assert budget.hold(0.0, interactive=False) == 0.0
    budget.rivalled(0.0)
    assert budget.hold(0.0, interactive=False) > 0
    assert budget.hold(0.0, interactive=True) == 0.0
    learned(budget, 61.0, headers(2, reset=70.0, now=61.0))
    assert budget.hold(61.0, interactive=False) == 0.0


def test_an_operations_own_limit_holds_nothing_else() -> None:
    budget = RateBudget()
    learned(budget, 0.0, {**headers(20), "retry-after": "3600"}, 429)
    assert budget.hold(0.0, interactive=True) == 0.0
    assert own_limit(429, headers(20))
    assert not own_limit(429, headers(0))
    assert not own_limit(429, {})
    assert not own_limit(200, headers(20))


def test_what_is_left_is_shown_with_the_tightest_window_first() -> None:
    budget = RateBudget()
    assert budget.view(0.0) == []
    learned(budget, 0.0, headers(500, limit=600, reset=1800.0))
    learned(budget, 0.0, headers(4))
    assert budget.view(1.0) == [
        WindowView(limit=25, remaining=4, resets_in=9.0),
        WindowView(limit=600, remaining=500, resets_in=1799.0),
    ]
    assert budget.view(11.0)[0] == WindowView(limit=25, remaining=25, resets_in=None)
    assert budget.hold(11.0, interactive=True) == 0.0
    assert budget.view(11.0)[0].remaining == 25
    assert [view.limit for view in budget.view(8000.0)] == [600]
    assert budget.view(9001.0) == []


def test_after_a_rest_a_few_ask_at_once() -> None:
    budget = RateBudget()
    learned(budget, 0.0, headers(20))
    for _ in range(4):
        assert budget.hold(30.0, interactive=True) == 0.0
        budget.sent(30.0)
    assert budget.hold(30.0, interactive=True) > 0


def test_a_window_that_lasts_longer_than_thought_holds_again() -> None:
    budget = RateBudget()
    learned(budget, 0.0, headers(0))
    assert budget.hold(10.0, interactive=True) == 0.0
    learned(budget, 10.0, headers(0, reset=11.0, now=10.0))
    assert budget.hold(10.0, interactive=True) == pytest.approx(1.0)


def test_small_limits_are_used_up() -> None:
    budget = RateBudget()
    learned(budget, 0.0, headers(1, limit=5))
    assert budget.hold(0.0, interactive=False) == 0.0
    learned(budget, 0.0, headers(0, limit=5))
    assert budget.hold(0.0, interactive=True) > 0


def test_the_window_that_is_not_reported_still_holds() -> None:
    budget = RateBudget()
    learned(budget, 0.0, headers(4))
    learned(budget, 0.0, headers(3, limit=600, reset=1800.0))
    learned(budget, 0.0, headers(0))
    assert budget.hold(0.0, interactive=True) == pytest.approx(10.0)
    assert budget.hold(10.0, interactive=True) == 0.0


def test_after_a_reset_one_request_asks_first() -> None:
    budget = alone()
    learned(budget, 0.0, headers(0))
    assert budget.hold(10.5, interactive=True) == 0.0
    budget.sent(10.5)
    assert budget.hold(10.5, interactive=True) == pytest.approx(2.0)
    budget.answered(10.6, 200, headers(24, reset=20.0, now=10.6), 0.0)
    assert budget.hold(10.6, interactive=True) == 0.0


@pytest.mark.parametrize(
    ("status", "said", "wait"),
    [
        (429, {"retry-after": "7"}, 7.0),
        (503, {"retry-after": "7"}, 7.0),
        (429, {"retry-after": "0"}, 1.0),
        (429, {"retry-after": "86400"}, 3600.0),
        (429, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, 1.0),
        (429, {}, 1.0),
        (429, headers(0, reset=6.0), 6.0),
    ],
)
def test_a_throttled_answer_holds_everything(
    status: int, said: dict[str, str], wait: float
) -> None:
    budget = RateBudget()
    learned(budget, 0.0, said, status)
    assert budget.hold(0.0, interactive=True) == pytest.approx(wait)
    assert budget.hold(wait + 0.01, interactive=True) == 0.0


def test_the_wait_is_spread() -> None:
    budget = RateBudget()
    budget.sent(0.0)
    budget.answered(0.0, 429, {"retry-after": "5"}, 1.0)
    assert budget.hold(0.0, interactive=True) == pytest.approx(5.5)


def test_a_refused_token_says_nothing_about_limits() -> None:
    budget = RateBudget()
    learned(budget, 0.0, headers(0), 401)
    assert budget.hold(0.0, interactive=True) == 0.0


@pytest.mark.parametrize("broken", ["", "x", "-5", "1e99", "9" * 50, "nan"])
def test_broken_headers_are_ignored(broken: str) -> None:
    budget = RateBudget()
    for name in ("x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"):
        learned(budget, 0.0, {**headers(0), name: broken})
    assert budget.hold(0.0, interactive=True) == 0.0


def test_limits_that_keep_changing_cost_no_memory() -> None:
    budget = RateBudget()
    for limit in range(20, 1000):
        learned(budget, 0.0, headers(limit - 1, limit=limit))
    assert len(budget._windows) <= 8


def test_procores_clock_is_read_from_many_dates() -> None:
    clock = ServerClock()
    assert clock.seconds_until(5.0, 0.0) is None
    clock.observe("no date", 0.0)
    clock.observe(None, 0.0)
    assert clock.seconds_until(5.0, 0.0) is None
    clock.observe(formatdate(EPOCH, usegmt=True), 0.9)  # cut to the second
    assert clock.seconds_until(EPOCH + 10, 0.9) == pytest.approx(10.0)
    clock.observe(formatdate(EPOCH + 1, usegmt=True), 1.0)  # the second has just begun
    assert clock.seconds_until(EPOCH + 10, 1.0) == pytest.approx(9.0)
    clock.observe(formatdate(EPOCH + 2, usegmt=True), 2.8)  # worse samples change nothing
    assert clock.seconds_until(EPOCH + 10, 2.0) == pytest.approx(8.0)
    clock.observe(formatdate(EPOCH - 3600, usegmt=True), 3.0)  # it was set back
    assert clock.seconds_until(EPOCH, 3.0) == pytest.approx(3600.0)


def test_throttled_grant_is_idle_once_its_wait_and_window_are_over() -> None:
    budget = RateBudget()
    learned(budget, 0.0, {**headers(0), "retry-after": "5"}, 429)
    assert not budget.idle(4.0)
    assert not budget.idle(9.0)  # the window still holds
    assert budget.idle(10.0)
    budget.sent(11.0)
    assert not budget.idle(11.0)
