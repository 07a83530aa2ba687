"""Tests of ``cloud_connect_agent.health``."""

import pytest

from cloud_connect.echo import EchoParams
from cloud_connect_agent.health import Clocks, Health, HealthState


class FakeSession:
    """What health reads of a session."""

    def __init__(self) -> None:
        self.round_trip: float | None = None
        self.last_received = 100.0
        self.in_flight = 3


class Time:
    def __init__(self) -> None:
        self.monotonic = 100.0
        self.wall = 1_700_000_000.25


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def health(time: Time) -> Health:
    return Health(clocks=Clocks(monotonic=lambda: time.monotonic, wall=lambda: time.wall))


def test_an_agent_begins_by_connecting(health: Health) -> None:
    snapshot = health.snapshot()
    assert snapshot.state is HealthState.CONNECTING
    assert not snapshot.connected
    assert snapshot.last_round_trip_ms is None
    assert snapshot.last_round_trip_at is None
    assert snapshot.since == "2023-11-14T22:13:20.250Z"
    assert snapshot.in_flight == 0


def test_a_round_trip_is_shown_with_its_time(health: Health) -> None:
    session = FakeSession()
    health.connected(session)
    health.round_trip(0.0123)
    snapshot = health.snapshot()
    assert health.session is session
    assert snapshot.connected
    assert snapshot.in_flight == 3
    assert snapshot.last_round_trip_ms == 12.3
    assert snapshot.last_round_trip_at == "2023-11-14T22:13:20.250Z"


def test_calls_that_outlive_their_session_are_under_way_still(health: Health) -> None:
    running = 2
    health.counts(lambda: running)
    assert health.snapshot().in_flight == 2
    health.connected(FakeSession())
    assert health.snapshot().in_flight == 3
    health.connecting()
    running = 0
    assert health.snapshot().in_flight == 0


def test_a_clock_that_is_off_is_shown(health: Health) -> None:
    assert health.snapshot().clock_skew_seconds is None
    health.clock_skew(-90.04)
    assert health.snapshot().clock_skew_seconds == -90.0


def test_a_silent_session_is_not_called_connected(health: Health, time: Time) -> None:
    health.connected(FakeSession())
    time.monotonic += 34.0
    assert health.snapshot().connected
    time.monotonic += 2.0
    snapshot = health.snapshot()
    assert snapshot.state is HealthState.OFFLINE
    assert "silent for 36 seconds" in str(snapshot.error)


def test_the_reason_stays_visible_while_it_dials_again(health: Health, time: Time) -> None:
    health.connected(FakeSession())
    time.wall += 60
    health.offline("The relay restarts.")
    assert health.session is None
    assert health.snapshot().since.endswith("22:14:20.250Z")
    health.connecting()
    snapshot = health.snapshot()
    assert (snapshot.state, snapshot.error) == (HealthState.CONNECTING, "The relay restarts.")
    health.connected(FakeSession())
    assert health.snapshot().error is None


def test_a_state_that_repeats_keeps_its_beginning(health: Health, time: Time) -> None:
    health.offline("a")
    since = health.snapshot().since
    time.wall += 5
    health.offline("b")
    assert health.snapshot().since == since


def test_a_revoked_connector_says_so(health: Health) -> None:
    health.revoked("Revoked.")
    assert health.snapshot().state is HealthState.REVOKED


def test_a_pause_ends_by_itself_or_by_word(health: Health, time: Time) -> None:
    health.pause(10)
    assert health.snapshot().paused
    time.monotonic += 10
    assert not health.snapshot().paused
    health.pause()
    time.monotonic += 1e9
    assert health.snapshot().paused
    health.resume()
    assert not health.snapshot().paused


def test_a_pause_made_at_the_relay_is_known_while_connected(health: Health, time: Time) -> None:
    session = FakeSession()
    health.connected(session)
    health.echoed(EchoParams(held_seconds=90.0))
    time.monotonic += 30
    assert health.snapshot().held_seconds_left == 60.0
    assert not health.snapshot().paused
    time.monotonic += 60
    assert health.snapshot().held_seconds_left is None
    health.echoed(EchoParams(held_seconds=90.0))
    health.echoed(EchoParams())
    assert health.snapshot().held_seconds_left is None
    health.echoed(EchoParams(held_seconds=90.0))
    health.offline("The relay is away.")
    assert health.snapshot().held_seconds_left is None
    health.connected(session)
    assert health.snapshot().held_seconds_left is None


def test_being_drained_at_the_relay_is_known_while_connected(health: Health) -> None:
    session = FakeSession()
    health.connected(session)
    assert not health.snapshot().drained_by_relay
    health.echoed(EchoParams(draining=True))
    assert health.snapshot().drained_by_relay
    assert not health.snapshot().draining
    health.echoed(EchoParams())
    assert not health.snapshot().drained_by_relay
    health.echoed(EchoParams(draining=True))
    health.offline("The relay is away.")
    assert not health.snapshot().drained_by_relay
    health.connected(session)
    assert not health.snapshot().drained_by_relay


def test_draining_is_shown(health: Health) -> None:
    assert not health.snapshot().draining
    health.drain()
    assert health.snapshot().draining


@pytest.mark.parametrize(("seconds", "stuck"), [(1100.0, False), (1300.0, True)])
def test_an_agent_that_does_not_even_dial_is_stuck(
    health: Health, time: Time, seconds: float, *, stuck: bool
) -> None:
    health.offline("The relay is away.")
    assert health.summary == "Offline: The relay is away."
    time.monotonic += seconds
    assert health.is_stuck is stuck


@pytest.mark.parametrize(("seconds", "stuck"), [(59.0, False), (61.0, True)])
def test_an_agent_that_is_connected_and_deaf_is_stuck(
    health: Health, time: Time, seconds: float, *, stuck: bool
) -> None:
    health.connected(FakeSession())
    health.pause()
    assert health.summary == "Connected, paused"
    time.monotonic += seconds
    assert health.is_stuck is stuck
