import pytest

from cloud_connect_relay.console.formats import Formats, count, duration, milliseconds, share, size

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (0, "just now"),
        (4.9, "just now"),
        (5, "5 seconds ago"),
        (60, "1 minute ago"),
        (7199, "1 hour ago"),
        (7200, "2 hours ago"),
        (86_400, "1 day ago"),
        (-120, "in 2 minutes"),
        (-86_400 * 3, "in 3 days"),
    ],
)
def test_time_is_told_relative_to_the_clock(before: float, words: str) -> None:
    assert Formats(lambda: NOW).ago(NOW - before) == words


def test_time_that_is_not_known_is_told_so() -> None:
    formats = Formats(lambda: NOW)
    assert formats.ago(None) == "never"
    assert formats.absolute(None) == "\N{EN DASH}"
    assert formats.iso(None) == ""
    assert formats.absolute(NOW) == "2026-09-21 14:13:20 UTC"
    assert formats.iso(NOW) == "2026-09-21T14:13:20+00:00"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "\N{EN DASH}"),
        (0.0381, "38 ms"),
        (8.2, "8.2 s"),
        (60, "1 min"),
        (245, "4 min 5 s"),
        (3600, "1 h"),
        (7260, "2 h 1 min"),
        (86_400, "1 d"),
        (183_600, "2 d 3 h"),
    ],
)
def test_duration_has_two_units_at_most(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_numbers_are_easy_to_read() -> None:
    assert milliseconds(1400) == "1.4 s"
    assert milliseconds(None) == "\N{EN DASH}"
    assert count(1234567) == "1,234,567"
    assert count(None) == "\N{EN DASH}"
    assert size(512) == "512 bytes"
    assert size(1536 * 1024) == "1.5 MiB"
    assert size(2**50) == "1024 TiB"
    assert size(None) == "\N{EN DASH}"
    assert share(0.0321) == "3.2 %"
    assert share(None) == "\N{EN DASH}"
