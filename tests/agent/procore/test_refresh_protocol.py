"""The refresh protocol's tables, and what they promise in any order of events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect_agent.procore.grants.refresh import (
    Age,
    Move,
    Phase,
    Signal,
    next_move,
    next_phase,
)


def test_every_phase_and_age_has_a_move() -> None:
    assert {next_move(phase, age) for phase in Phase for age in Age} == set(Move)


@pytest.mark.parametrize(
    ("phase", "signal"),
    [
        (Phase.SETTLED, Signal.GRANTED),
        (Phase.LAST_ATTEMPT, Signal.PRESENT),
        (Phase.ENDED, Signal.PRESENT),
        (Phase.ENDED, Signal.GRANTED),
    ],
)
def test_what_cannot_happen_is_refused(phase: Phase, signal: Signal) -> None:
    with pytest.raises(ValueError, match=f"{signal} cannot follow {phase}"):
        next_phase(phase, signal)


class World:
    """One grant: a process that may die at any point, and what Procore saw of its tokens."""

    def __init__(self) -> None:
        self.phase = Phase.SETTLED
        self.ended = False
        self.presented = 0
        self.granted = 0

    def need(self, verdict: Signal | None, age: Age) -> Move:
        """A request needs a token; ``None`` is a crash between the mark and the verdict."""
        move = next_move(self.phase, Age.ENDED if self.ended else age)
        if move is not Move.PRESENT:
            return move
        again = self.presented > 0
        assert not again or self.ended, "presented again before the access token's end"
        self.phase = next_phase(self.phase, Signal.PRESENT)
        if verdict is None:
            self.presented += 1
            return move
        if verdict is not Signal.UNSENT:
            self.presented += 1
        self.phase = next_phase(self.phase, verdict)
        if verdict is Signal.GRANTED:
            self.presented, self.ended = 0, False
            self.granted += 1
        return move


VERDICTS = st.sampled_from([None, Signal.GRANTED, Signal.REFUSED, Signal.LOST, Signal.UNSENT])
AGES = st.sampled_from([Age.FRESH, Age.AGEING, Age.REJECTED])


@given(events=st.lists(st.tuples(VERDICTS, AGES, st.booleans()), max_size=40))
def test_no_refresh_token_is_presented_more_than_twice(
    events: list[tuple[Signal | None, Age, bool]],
) -> None:
    world = World()
    for verdict, age, ends in events:
        world.ended = world.ended or ends
        move = world.need(verdict, age)
        assert world.presented <= 2
        if world.phase is Phase.ENDED and world.ended:
            assert next_move(world.phase, Age.ENDED) is Move.SIGN_IN
        if move is Move.USE:
            assert not world.ended


@given(events=st.lists(st.tuples(VERDICTS, AGES), max_size=20))
def test_a_refused_token_is_never_presented_again(
    events: list[tuple[Signal | None, Age]],
) -> None:
    world = World()
    world.need(Signal.REFUSED, Age.AGEING)
    world.ended = True
    before = world.presented
    for verdict, age in events:
        assert world.need(verdict, age) is Move.SIGN_IN
    assert world.presented == before
