import time

import pytest

from cloud_connect_relay.console.history import Day, History, history_of
from cloud_connect_relay.storage.presence import Span
from cloud_connect_relay.uptime import DAY, HISTORY_DAYS
from doubles.machine_speed import slowness

NOW = 10 * DAY
HOUR = 3600.0


def history(
    relays: list[Span],
    connected: list[Span],
    *,
    enrolled_at: float = 0.0,
    is_connected: bool = False,
) -> History:
    return history_of(
        relays=relays,
        connected=connected,
        enrolled_at=enrolled_at,
        is_connected=is_connected,
        now=NOW,
    )


def states(day: Day) -> list[tuple[str, float]]:
    return [(one.state, round((one.ended - one.began) / HOUR, 1)) for one in day.stretches]


def test_time_without_a_relay_is_unknown_and_not_offline() -> None:
    found = history([Span(NOW - 6 * HOUR, NOW)], [])
    assert states(found.days[0]) == [("unknown", 18.0), ("offline", 6.0)]
    assert found.days[0].share == 0.0
    assert len(found.days) == HISTORY_DAYS
    assert states(found.days[1]) == [("unknown", 24.0)]
    assert found.days[1].share is None


def test_time_before_it_was_enrolled_is_unknown_and_counts_neither_way() -> None:
    began = NOW - 2 * HOUR
    found = history([Span(0.0, NOW)], [Span(began, NOW)], enrolled_at=began, is_connected=True)
    assert states(found.days[0]) == [("unknown", 22.0), ("online", 2.0)]
    assert found.days[0].share == 1.0
    assert found.days[1].share is None


def test_stretches_leave_no_gap_and_share_counts_what_is_known() -> None:
    found = history(
        [Span(NOW - 12 * HOUR, NOW)],
        [Span(NOW - 12 * HOUR, NOW - 9 * HOUR), Span(NOW - 3 * HOUR, NOW)],
    )
    day = found.days[0]
    assert states(day) == [("unknown", 12.0), ("online", 3.0), ("offline", 6.0), ("online", 3.0)]
    assert day.share == 0.5
    assert [(one.x, one.width) for one in day.stretches] == [
        (0.0, 500.0),
        (500.0, 125.0),
        (625.0, 250.0),
        (875.0, 125.0),
    ]


def test_who_is_connected_is_there_however_long_ago_that_was_noted() -> None:
    relays, sessions = [Span(0.0, NOW - 60)], [Span(NOW - HOUR, NOW - 60)]
    found = history(relays, sessions, is_connected=True)
    assert found.sessions == ((NOW - HOUR, None),)
    assert states(found.days[0])[-1] == ("online", 1.0)
    found = history(relays, sessions)  # it went a moment ago
    assert found.sessions == ((NOW - HOUR, NOW - 60),)
    assert found.days[0].stretches[-1].state == "offline"


def test_session_over_midnight_is_in_both_days() -> None:
    found = history([Span(0.0, NOW)], [Span(NOW - 30 * HOUR, NOW - 20 * HOUR)])
    assert states(found.days[0]) == [("online", 4.0), ("offline", 20.0)]
    assert states(found.days[1]) == [("offline", 18.0), ("online", 6.0)]
    assert found.sessions == ((NOW - 30 * HOUR, NOW - 20 * HOUR),)


def test_newest_sessions_come_first_and_are_few() -> None:
    found = history([], [Span(NOW - n * HOUR, NOW - n * HOUR + 60) for n in range(1, 30)])
    assert len(found.sessions) == 10
    assert found.sessions[0] == (NOW - HOUR, NOW - HOUR + 60)


@pytest.mark.usefixtures("untraced")
def test_connector_that_comes_and_goes_all_week_makes_no_endless_page() -> None:
    spans = [Span(NOW - n * 10, NOW - n * 10 + 5) for n in range(60_000)]
    began = time.thread_time()
    found = history([Span(0.0, NOW)], spans)
    assert time.thread_time() - began < slowness()
    assert sum(len(day.stretches) for day in found.days) < HISTORY_DAYS * 1100
    assert found.days[0].share == pytest.approx(0.5, abs=0.01)
