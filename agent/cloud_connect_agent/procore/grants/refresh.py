"""The refresh protocol of single-use refresh tokens: what may happen when, as tables.

A refresh token is dead once Procore has seen it, whether its answer arrives or not. So the
phase is durable before the token is presented, and a token is presented twice at most: a second
time only when the first answer was lost and the access token has ended, because then nothing is
left to lose.
"""

from enum import StrEnum
from typing import Final

__all__ = ["Age", "Move", "Phase", "Signal", "next_move", "next_phase"]


class Phase(StrEnum):
    """Where a grant stands; kept in the vault with it."""

    SETTLED = "settled"
    REFRESHING = "refreshing"
    LAST_ATTEMPT = "last_attempt"
    ENDED = "ended"


class Signal(StrEnum):
    """What happens to a grant."""

    PRESENT = "present"  # the refresh token is about to be sent
    GRANTED = "granted"  # a new pair came, and is durable
    REFUSED = "refused"  # Procore knows the token no longer
    LOST = "lost"  # it was sent, and no verdict came back
    UNSENT = "unsent"  # not a byte of it went out


class Age(StrEnum):
    """What is known of the access token."""

    FRESH = "fresh"
    AGEING = "ageing"
    REJECTED = "rejected"  # Procore answered 401 to it
    ENDED = "ended"


class Move(StrEnum):
    """What to do when a request needs a token."""

    USE = "use"
    PRESENT = "present"
    WAIT = "wait"  # not usable, and the second attempt only comes with its end
    SIGN_IN = "sign_in"


_PHASES: Final = {
    (Phase.SETTLED, Signal.PRESENT): Phase.REFRESHING,
    (Phase.REFRESHING, Signal.GRANTED): Phase.SETTLED,
    (Phase.REFRESHING, Signal.REFUSED): Phase.ENDED,
    (Phase.REFRESHING, Signal.LOST): Phase.REFRESHING,
    (Phase.REFRESHING, Signal.UNSENT): Phase.SETTLED,
    (Phase.REFRESHING, Signal.PRESENT): Phase.LAST_ATTEMPT,
    (Phase.LAST_ATTEMPT, Signal.GRANTED): Phase.SETTLED,
    (Phase.LAST_ATTEMPT, Signal.REFUSED): Phase.ENDED,
    (Phase.LAST_ATTEMPT, Signal.LOST): Phase.ENDED,
    (Phase.LAST_ATTEMPT, Signal.UNSENT): Phase.REFRESHING,
}

# A mark found in the vault, while nobody holds its lock, is that of a process that died.
_MOVES: Final = {
    (Phase.SETTLED, Age.FRESH): Move.USE,
    (Phase.SETTLED, Age.AGEING): Move.PRESENT,
    (Phase.SETTLED, Age.REJECTED): Move.PRESENT,
    (Phase.SETTLED, Age.ENDED): Move.PRESENT,
    (Phase.REFRESHING, Age.FRESH): Move.USE,
    (Phase.REFRESHING, Age.AGEING): Move.USE,
    (Phase.REFRESHING, Age.REJECTED): Move.WAIT,
    (Phase.REFRESHING, Age.ENDED): Move.PRESENT,
    (Phase.LAST_ATTEMPT, Age.FRESH): Move.USE,
    (Phase.LAST_ATTEMPT, Age.AGEING): Move.USE,
    (Phase.LAST_ATTEMPT, Age.REJECTED): Move.SIGN_IN,
    (Phase.LAST_ATTEMPT, Age.ENDED): Move.SIGN_IN,
    (Phase.ENDED, Age.FRESH): Move.USE,
    (Phase.ENDED, Age.AGEING): Move.USE,
    (Phase.ENDED, Age.REJECTED): Move.SIGN_IN,
    (Phase.ENDED, Age.ENDED): Move.SIGN_IN,
}


def next_phase(phase: Phase, signal: Signal) -> Phase:
    """Return the phase after *signal*.

    Raises:
        ValueError: If it cannot happen in this phase.
    """
    try:
        return _PHASES[phase, signal]
    except KeyError as exc:
        raise ValueError(f"{signal} cannot follow {phase}") from exc


def next_move(phase: Phase, age: Age) -> Move:
    """Return what to do for a request that needs an access token of this age."""
    return _MOVES[phase, age]
