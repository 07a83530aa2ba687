"""When to dial again: pure arithmetic, with randomness as an argument."""

import random
from collections.abc import Callable
from typing import Final

__all__ = ["Backoff"]

_PROMPT_AFTER: Final = 1.0  # seconds a session must have lived to be redialled at once
_PROMPT_JITTER: Final = 0.05  # seconds; the calls of a form's user wait meanwhile
_MAX_PROMPT: Final = 60  # redials at once without one healthy session: then something is wrong
_STEADY_JITTER: Final = 8.0  # seconds below the cap, once it is reached
_REFUSED_FIRST: Final = 300.0  # seconds: nobody corrects a credential within five minutes
_REFUSED_CAP: Final = 900.0
_REVOKED: Final = 900.0
_REVOKED_JITTER: Final = 60.0
_UNAPPROVED: Final = (15.0, 30.0)  # somebody may be about to approve it
_MAX_WINDOW: Final = 900.0  # seconds, whatever a relay names: it is back well before
_SUPERSEDED: Final = (3.0, 10.0)  # another process has our identity: find out, but not in a race


class Backoff:
    """Delays between dials, in seconds.

    While it grows, a delay is anything up to its ceiling (full jitter), so that agents who lost
    the same relay spread. At the cap it stays within the last eight seconds of it: by then they
    are spread, and full jitter would dial a dead relay twice as often.

    Args:
        healthy_after: Seconds a session must live to be worth a fresh start.
    """

    def __init__(
        self,
        *,
        base: float = 1.0,
        cap: float = 60.0,
        healthy_after: float = 60.0,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._base: Final = base
        self._cap: Final = cap
        self._healthy_after: Final = healthy_after
        self._uniform: Final = uniform
        self._failures = 0
        self._refusals = 0
        self._prompt = 0

    def after_failure(self) -> float:
        """The relay could not be reached, or did not answer."""
        ceiling = self._base * 2.0 ** min(self._failures, 62)
        self._failures += 1
        if ceiling / 2 >= self._cap:
            return self._uniform(max(0.0, self._cap - _STEADY_JITTER), self._cap)
        return self._uniform(0.0, min(ceiling, self._cap))

    def after_session(self, lived: float, *, faulty: bool = False) -> float:
        """A session is lost that had lived so many seconds.

        Args:
            faulty: One side broke the protocol: it will again if dialled at once.
        """
        self._succeeded(lived)
        if faulty or lived < _PROMPT_AFTER or self._prompt >= _MAX_PROMPT:
            return self.after_failure()
        self._prompt += 1
        return self._uniform(0.0, _PROMPT_JITTER)

    def after_restart(self, window: float, *, lived: float) -> float:
        """The relay ended a session in order and named a window to come back in."""
        self._succeeded(lived)
        return self._uniform(0.0, min(window, _MAX_WINDOW))

    def after_refusal(self) -> float:
        """The relay does not accept who we are."""
        ceiling = min(_REFUSED_FIRST * 2.0 ** min(self._refusals + 1, 8), _REFUSED_CAP)
        self._refusals += 1
        return self._uniform(max(_REFUSED_FIRST, ceiling / 2), ceiling)

    def after_revocation(self) -> float:
        """The relay says that we are revoked."""
        return _REVOKED + self._uniform(0.0, _REVOKED_JITTER)

    def after_waiting(self) -> float:
        """An administrator has to let us in first."""
        return self._uniform(*_UNAPPROVED)

    def after_supersession(self) -> float:
        """A newer session of the same identity took over."""
        return self._uniform(*_SUPERSEDED)

    def _succeeded(self, lived: float) -> None:
        self._refusals = 0
        if lived >= self._healthy_after:
            self._failures = self._prompt = 0
