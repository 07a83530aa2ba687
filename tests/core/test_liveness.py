import pytest

from cloud_connect.liveness import Liveness, SessionSettings

SETTINGS = SessionSettings()


@pytest.fixture
def liveness() -> Liveness:
    liveness = Liveness(SETTINGS, now=0.0)
    liveness.ready = True
    return liveness


def test_link_with_news_is_alive(liveness: Liveness) -> None:
    liveness.last_received = 100.0
    assert liveness.verdict(123.9) is None


def test_silent_link_is_dead(liveness: Liveness) -> None:
    assert liveness.verdict(24.0) == "silent: nothing was received for 24 s"


def test_link_that_takes_nothing_is_slow(liveness: Liveness) -> None:
    liveness.sending_since = 60.0
    liveness.last_received = 89.0
    assert liveness.verdict(84.9) is None
    assert liveness.verdict(85.0) == "slow: the peer took nothing for 25 s"


def test_silent_link_that_takes_nothing_either_is_slow(liveness: Liveness) -> None:
    liveness.sending_since = 12.0
    assert liveness.verdict(25.0) == "slow: the peer took nothing for 13 s"


def test_peer_without_settings_is_dead() -> None:
    liveness = Liveness(SETTINGS, now=0.0)
    liveness.last_received = 9.0
    assert liveness.verdict(9.9) is None
    assert liveness.verdict(10.0) == "silent: no SETTINGS within 10 s"


def test_ping_is_due_at_each_interval(liveness: Liveness) -> None:
    assert [liveness.ping_due(now) for now in (14.9, 15.0, 16.0, 30.0)] == [
        False,
        True,
        False,
        True,
    ]


def test_next_check_is_when_something_is_due(liveness: Liveness) -> None:
    assert liveness.delay(0.0) == 15.0
    liveness.last_received = -12.0
    assert liveness.delay(0.0) == 12.0
    liveness.sending_since = -15.0
    assert liveness.delay(0.0) == 10.0
    liveness.ready = False
    assert liveness.delay(5.0) == 5.0
    assert 0 < liveness.delay(99.0) < 0.01


def test_link_that_breaks_was_suspected_of_what_it_did_last(liveness: Liveness) -> None:
    assert liveness.suspicion(17.9) is None
    assert liveness.suspicion(18.0) == "silent: nothing was received for 18 s"
    liveness.sending_since = 1.0
    assert liveness.suspicion(17.0) == "slow: the peer took nothing for 16 s"
    assert liveness.suspicion(21.0) == "slow: the peer took nothing for 20 s"
