"""Which stage a call's time is put down to."""

import pytest

from cloud_connect.errors import DeadlineExceededError, NotFoundError
from cloud_connect_agent.stages import Stage, Stages, call_stages, spent
from cloud_connect_agent.write_answers import failed


class Clock:
    """Seconds that a test counts."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_work_at_once_in_one_stage_counts_once(clock: Clock) -> None:
    stages = Stages(clock=clock)
    stages.enter(Stage.PROCORE)
    clock.now += 1
    stages.enter(Stage.PROCORE)
    clock.now += 1
    stages.leave(Stage.PROCORE)
    clock.now += 1
    stages.leave(Stage.PROCORE)
    clock.now += 5
    assert stages.milliseconds() == {"procore": 3000.0}


def test_what_goes_on_counts_until_now(clock: Clock) -> None:
    stages = Stages(clock=clock)
    stages.enter(Stage.LIMIT)
    clock.now += 8.2
    assert stages.sentence() == "The agent waited 8.2 s on Procore (rate limited)."


@pytest.mark.parametrize(
    ("connecting", "words"), [(4.5, "no connection"), (0.5, "no answer")], ids=["slow", "quick"]
)
def test_a_connection_is_blamed_only_if_it_was_slow(
    clock: Clock, connecting: float, words: str
) -> None:
    stages = Stages(clock=clock)
    stages.enter(Stage.PROCORE)
    stages.enter(Stage.CONNECT)
    clock.now += connecting
    stages.leave(Stage.CONNECT)
    clock.now += 5 - connecting
    stages.leave(Stage.PROCORE)
    said = stages.sentence()
    assert said is not None
    assert words in said


def test_nobody_is_blamed_for_moments(clock: Clock) -> None:
    stages = Stages(clock=clock)
    assert stages.sentence() is None
    stages.enter(Stage.JOURNAL)
    clock.now += 0.01
    assert stages.sentence() is None


def test_a_call_that_has_hardly_any_time_left_does_not_begin_but_goes_on(clock: Clock) -> None:
    late = Stages(deadline=clock.now + 0.9, least=1.0, clock=clock)
    assert not late.worth_sending()
    begun = Stages(deadline=clock.now + 1.1, least=1.0, clock=clock)
    assert begun.worth_sending()
    clock.now += 1
    assert begun.worth_sending()


def test_time_is_the_current_calls_and_nobodys_without_one(clock: Clock) -> None:
    with spent(Stage.BODY):
        clock.now += 1
    stages = Stages(clock=clock)
    token = call_stages.set(stages)
    try:
        with spent(Stage.BODY):
            clock.now += 2
    finally:
        call_stages.reset(token)
    assert stages.milliseconds() == {"body": 2000.0}


def test_stored_failure_of_a_late_write_says_what_took_so_long(clock: Clock) -> None:
    stages = Stages(clock=clock)
    stages.enter(Stage.SIGNIN)
    clock.now += 9
    stages.leave(Stage.SIGNIN)
    before = call_stages.set(stages)
    try:
        late = failed(DeadlineExceededError("So little of the deadline was left.")).head.problem
        other = failed(NotFoundError("It is not there.")).head.problem
    finally:
        call_stages.reset(before)
    assert late is not None
    assert late.detail.endswith("was left. The agent waited 9.0 s on Procore (sign-in).")
    assert other is not None
    assert other.detail == "It is not there."
