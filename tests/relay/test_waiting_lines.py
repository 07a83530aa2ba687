import contextlib

import pytest

from cloud_connect.errors import Outcome, QuotaExceededError
from cloud_connect_relay.waiting_lines import WaitingLines

MANY = 1024 * 1024


def test_place_is_free_again_when_the_wait_ends() -> None:
    lines = WaitingLines(max_calls=1, max_bytes=MANY)
    for _ in range(3):
        with lines.place(["con_a"], held_bytes=1):
            assert len(lines) == 1
        assert len(lines) == 0


def test_full_line_refuses_at_once_and_says_how_many_wait() -> None:
    lines = WaitingLines(max_calls=2, max_bytes=MANY)
    with (
        lines.place(["con_a"], held_bytes=0),
        lines.place(["con_a"], held_bytes=0),
        pytest.raises(QuotaExceededError, match="2 calls wait") as caught,
        lines.place(["con_a"], held_bytes=0),
    ):
        pass
    assert caught.value.outcome is Outcome.NOT_EXECUTED
    assert caught.value.retry_after is not None


def test_line_holds_its_limit_of_bytes_and_one_body() -> None:
    lines = WaitingLines(max_calls=MANY, max_bytes=1024 * 1024)
    with (
        lines.place(["con_a"], held_bytes=1024 * 1024 - 1),
        lines.place(["con_a"], held_bytes=5),
        lines.place(["con_a"], held_bytes=0),  # whoever brings no body takes nobody's room
        pytest.raises(QuotaExceededError, match="1 MiB"),
        lines.place(["con_a"], held_bytes=1),
    ):
        pass


def test_lines_of_two_connectors_do_not_fill_each_other() -> None:
    lines = WaitingLines(max_calls=1, max_bytes=MANY)
    with lines.place(["con_a"], held_bytes=0), lines.place(["con_b"], held_bytes=0):
        assert len(lines) == 2


def test_call_that_waits_for_several_takes_the_lines_that_have_room() -> None:
    lines = WaitingLines(max_calls=1, max_bytes=MANY)
    with lines.place(["con_a"], held_bytes=0):
        with (
            lines.place(["con_a", "con_b"], held_bytes=0),
            pytest.raises(QuotaExceededError),
            lines.place(["con_a", "con_b"], held_bytes=0),
        ):
            pass
        with lines.place(["con_b"], held_bytes=0):
            assert len(lines) == 2


def test_wait_that_fails_frees_its_place() -> None:
    lines = WaitingLines(max_calls=1, max_bytes=MANY)
    with contextlib.suppress(ValueError), lines.place(["con_a"], held_bytes=0):
        raise ValueError
    with lines.place(["con_a"], held_bytes=0):
        assert len(lines) == 1
