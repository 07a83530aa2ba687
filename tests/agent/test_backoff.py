import random
from collections import Counter

import pytest

from cloud_connect_agent.backoff import Backoff


def highest(low: float, high: float) -> float:
    assert low <= high
    return high


def test_ceiling_doubles_up_to_the_cap() -> None:
    backoff = Backoff(uniform=highest)
    assert [backoff.after_failure() for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_delay_is_anything_up_to_its_ceiling_while_it_grows() -> None:
    backoff = Backoff(uniform=lambda low, _: low)
    assert [backoff.after_failure() for _ in range(9)] == [0, 0, 0, 0, 0, 0, 0, 52, 52]


def test_thousands_of_failures_do_not_overflow() -> None:
    backoff = Backoff(uniform=highest)
    assert {backoff.after_failure() for _ in range(3000)} == {1, 2, 4, 8, 16, 32, 60}


def test_lost_session_is_redialled_at_once() -> None:
    backoff = Backoff(uniform=highest)
    assert backoff.after_session(lived=2.0) <= 0.05
    assert backoff.after_session(lived=3600.0) <= 0.05


def test_only_a_healthy_session_is_a_fresh_start() -> None:
    backoff = Backoff(uniform=highest)
    for _ in range(5):
        backoff.after_failure()
    backoff.after_session(lived=59.0)
    assert backoff.after_failure() == 32
    backoff.after_session(lived=60.0)
    assert backoff.after_failure() == 1


def test_session_that_dies_at_birth_counts_as_a_failure() -> None:
    backoff = Backoff(uniform=highest)
    assert [backoff.after_session(lived=0.1) for _ in range(3)] == [1, 2, 4]


def test_session_that_broke_the_protocol_is_not_redialled_at_once() -> None:
    backoff = Backoff(uniform=highest)
    assert [backoff.after_session(lived=5.0, faulty=True) for _ in range(3)] == [1, 2, 4]
    assert backoff.after_session(lived=90.0, faulty=True) == 1


def test_sessions_that_keep_dying_are_not_redialled_at_once_for_ever() -> None:
    backoff = Backoff(uniform=highest)
    delays = [backoff.after_session(lived=2.0) for _ in range(70)]
    assert delays[:60] == [0.05] * 60
    assert delays[60:64] == [1, 2, 4, 8]


def test_refused_agent_waits_five_to_fifteen_minutes() -> None:
    for uniform in (highest, lambda low, _: low):
        backoff = Backoff(uniform=uniform)
        delays = [backoff.after_refusal() for _ in range(20)]
        assert all(300 <= delay <= 900 for delay in delays)
    assert Backoff(uniform=highest).after_refusal() > Backoff(uniform=min).after_refusal()


def test_success_forgets_earlier_refusals() -> None:
    backoff = Backoff(uniform=highest)
    first = backoff.after_refusal()
    backoff.after_refusal()
    backoff.after_session(lived=2.0)
    assert backoff.after_refusal() == first


@pytest.mark.catalogue("T33")
def test_revoked_agent_tries_at_most_four_times_an_hour() -> None:
    rng = random.Random(33)
    for _ in range(200):
        backoff = Backoff(uniform=rng.uniform)
        attempts, clock = 0, 0.0
        while clock < 3600:
            attempts += 1
            clock += backoff.after_revocation()
        assert attempts <= 4


def test_superseded_agent_returns_soon_but_not_in_a_race() -> None:
    rng = random.Random(70)
    delays = [Backoff(uniform=rng.uniform).after_supersession() for _ in range(200)]
    assert min(delays) >= 3
    assert max(delays) <= 10


def test_restart_spreads_over_the_window() -> None:
    rng = random.Random(1)
    delays = [Backoff(uniform=rng.uniform).after_restart(10.0, lived=5.0) for _ in range(1000)]
    assert 4 < sum(delays) / len(delays) < 6
    assert max(delays) <= 10


def test_healthy_session_that_a_restart_ends_is_worth_a_fresh_start() -> None:
    """Else each restart adds its failed dials to those before, up to the cap."""
    backoff = Backoff(uniform=lambda _, high: high)
    for _ in range(8):
        backoff.after_failure()
    backoff.after_restart(1.0, lived=59.0)
    assert backoff.after_failure() == 60
    backoff.after_restart(1.0, lived=60.0)
    assert backoff.after_failure() == 1


def test_window_of_days_keeps_no_agent_away_for_days() -> None:
    assert Backoff(uniform=lambda _, high: high).after_restart(4e6, lived=5.0) == 900


@pytest.mark.catalogue("T32")
@pytest.mark.parametrize("seed", range(3))
def test_thousand_agents_without_their_relay_for_half_an_hour_stay_few_and_spread(
    seed: int,
) -> None:
    rng = random.Random(seed)
    most, seconds = 0, Counter[int]()
    for _ in range(1000):
        backoff = Backoff(uniform=rng.uniform)
        attempts, clock = 0, backoff.after_session(lived=3600.0)
        while clock < 1800:
            attempts += 1
            seconds[int(clock)] += 1
            clock += backoff.after_failure()
        most = max(most, attempts)
    assert most <= 40
    mean = sum(seconds.values()) / 1800
    # The first redials are at once, for the calls that wait: the herd is spread half a minute on.
    spread = [count for second, count in seconds.items() if second >= 30]
    assert max(spread) <= 3 * mean
