from datetime import timedelta

import pytest

from cloud_connect_agent.durations import ago, lasting


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h 0 min"),
        (86399, "23 h 59 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_duration_is_told_in_the_largest_units(seconds: float, words: str) -> None:
    assert lasting(seconds) == words


def test_what_happened_a_moment_ago_has_no_number() -> None:
    assert ago(timedelta(seconds=1.5)) == "just now"
    assert ago(timedelta(seconds=-30)) == "just now"
    assert ago(timedelta(seconds=2)) == "2 s ago"
