import time

import pytest

from cloud_connect_relay.console.history import Stretch, history_of
from cloud_connect_relay.storage.presence import Span
from cloud_connect_relay.uptime import DAY, HISTORY_DAYS
from doubles.machine_speed import slowness

NOW = 10 * DAY
HOUR = 3600.0


def states(day: tuple[float, float | None, tuple[Stretch, ...]]) -> list[tuple[str, float]]:
    return [(one.state, round((one.ended - one.began) / HOUR, 1)) for one in day[2]]


def test_time_without_a_relay_is_unknown_and_not_offline() -> None:
    history = history_of(relays=[Span(NOW - 6 * HOUR, NOW)], connected=[], now=NOW)
    assert states(history.days[0]) == [("unknown", 18.0), ("offline", 6.0)]
    assert history.days[0][1] == 0.0
    assert len(history.days) == HISTORY_DAYS
    assert states(history.days[1]) == [("unknown", 24.0)]
    assert history.days[1][1] is None


def test_stretches_leave_no_gap_and_share_counts_what_is_known() -> None:
    history = history_of(
        relays=[Span(NOW - 12 * HOUR, NOW)],
        connected=[Span(NOW - 12 * HOUR, NOW - 9 * HOUR), Span(NOW - 3 * HOUR, NOW)],
        now=NOW,
    )
    day = history.days[0]
    assert states(day) == [("unknown", 12.0), ("online", 3.0), ("offline", 6.0), ("online", 3.0)]
    assert day[1] == 0.5
    assert [(one.x, one.width) for one in day[2]] == [
        (0.0, 500.0),
        (500.0, 125.0),
        (625.0, 250.0),
        (875.0, 125.0),
    ]


def test_who_was_seen_a_moment_ago_is_still_there() -> None:
    history = history_of(
        relays=[Span(0.0, NOW - 20)], connected=[Span(NOW - HOUR, NOW - 20)], now=NOW
    )
    assert history.sessions == ((NOW - HOUR, None),)
    assert states(history.days[0])[-1] == ("online", 1.0)


def test_session_over_midnight_is_in_both_days() -> None:
    history = history_of(
        relays=[Span(0.0, NOW)], connected=[Span(NOW - 30 * HOUR, NOW - 20 * HOUR)], now=NOW
    )
    assert states(history.days[0]) == [("online", 4.0), ("offline", 20.0)]
    assert states(history.days[1]) == [("offline", 18.0), ("online", 6.0)]
    assert history.sessions == ((NOW - 30 * HOUR, NOW - 20 * HOUR),)


def test_newest_sessions_come_first_and_are_few() -> None:
    spans = [Span(NOW - n * HOUR, NOW - n * HOUR + 60) for n in range(1, 30)]
    history = history_of(relays=[], connected=spans, now=NOW)
    assert len(history.sessions) == 10
    assert history.sessions[0] == (NOW - HOUR, NOW - HOUR + 60)


@pytest.mark.usefixtures("untraced")
def test_connector_that_comes_and_goes_all_week_makes_no_endless_page() -> None:
    spans = [Span(NOW - n * 10, NOW - n * 10 + 5) for n in range(60_000)]
    began = time.thread_time()
    history = history_of(relays=[Span(0.0, NOW)], connected=spans, now=NOW)
    assert time.thread_time() - began < slowness()
    assert sum(len(day[2]) for day in history.days) < HISTORY_DAYS * 1100
    assert history.days[0][1] == pytest.approx(0.5, abs=0.01)
