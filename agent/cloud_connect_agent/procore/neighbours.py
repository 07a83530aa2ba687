"""Pure: whether others spend the same allowance, and how much of it to spend at once then."""

from collections import deque
from typing import Final

__all__ = ["Neighbours"]

_SPIKE: Final = 10.0  # seconds of Procore's short window
_SLACK: Final = 0.5  # seconds that a request may take to Procore
_MAX_OWN: Final = 256  # requests of the short window that are remembered
_MEMORY: Final = 600.0  # seconds for which others are reckoned with once they were noticed
_HALF: Final = 0.5  # of what is left that goes out at once beside others
_DECREASE: Final = 0.6  # factor on that share for each refusal in spite of it
_LEAST: Final = 0.1


class Neighbours:
    """Watches for other users of a grant, such as a second agent with the same app.

    What an answer says is left may be on its way from all of them. So each sends a share of
    it and looks at the answers, until it is sure to be alone.
    """

    def __init__(self) -> None:
        self._own: Final[deque[float]] = deque(maxlen=_MAX_OWN)
        self._unsure_until: float | None = None
        self._noticed_until = float("-inf")
        self._share = _HALF

    def share(self, now: float) -> float:
        """Return how much of what is left may be under way at once; 1 is all."""
        if self._unsure_until is None or now >= max(self._unsure_until, self._noticed_until):
            return 1.0
        return self._share

    def sent(self, now: float) -> None:
        """Count a request of ours."""
        self._own.append(now)

    def answered(self, now: float) -> None:
        """Take an answer; whether we are alone shows in the first window."""
        if self._unsure_until is None:
            self._unsure_until = now + _SPIKE

    def used(self, count: int, now: float) -> None:
        """Compare what Procore counted in its short window with what we sent."""
        if not 0 < count <= _MAX_OWN:
            return  # a window too wide to be remembered request by request
        if count > len(self._own) or self._own[-count] <= now - _SPIKE - _SLACK:
            self._noticed_until = now + _MEMORY

    def refused(self, now: float) -> None:
        """Take a refusal in spite of what was left: others were quicker."""
        known = now < self._noticed_until
        self._share = max(_LEAST, self._share * _DECREASE) if known else _HALF
        self._noticed_until = now + _MEMORY
