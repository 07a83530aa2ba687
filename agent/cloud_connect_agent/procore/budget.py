"""What one grant may still send: Procore's rate headers, read without trusting our clock."""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from cloud_connect_agent.procore.failures import is_throttled

__all__ = ["RateBudget", "ServerClock"]

_UNKNOWN_BURST: Final = 4  # requests under way while no answer told anything yet
_PROBE_PATIENCE: Final = 2.0  # seconds until a silent probe is joined by another
_MIN_THROTTLE: Final = 1.0  # seconds; shorter waits only earn the next 429
_MAX_THROTTLE: Final = 3600.0  # seconds; Procore's longest window
_BULK_SHARE: Final = 0.1  # of a window that bulk calls leave to people
_FULL_RESERVE: Final = 10  # limits below it are too small to keep a request back
_MAX_WINDOWS: Final = 8  # Procore has two; more is somebody's mistake
_STEP: Final = 2.0  # seconds the server's clock may seem to fall back before it counts


class ServerClock:
    """Procore's time, from ``Date`` headers.

    ``Date`` is cut to whole seconds and arrives late, so every sample is at or behind the
    true time: the greatest difference seen is the best.
    """

    def __init__(self) -> None:
        self._ahead: float | None = None
        self._last: str | None = None

    def observe(self, date: str | None, now: float) -> None:
        """Take an answer's ``Date``, received at *now* (monotonic)."""
        if date is None or date == self._last:
            return
        self._last = date
        try:
            ahead = parsedate_to_datetime(date).timestamp() - now
        except (ValueError, OverflowError):
            return
        if self._ahead is None or ahead > self._ahead or ahead < self._ahead - _STEP:
            self._ahead = ahead

    def seconds_until(self, moment: float, now: float) -> float | None:
        """How long until the server's clock shows *moment*; ``None`` before any ``Date``."""
        return None if self._ahead is None else moment - (self._ahead + now)


@dataclass(slots=True, kw_only=True)
class _Window:
    """One limit of Procore's, as far as answers described it."""

    limit: int
    used: int
    reset: float
    ends_at: float  # monotonic


class RateBudget:
    """The limiter of one grant; pure: time is an argument.

    Headers describe only the window that is nearest to its end, so each is remembered, by
    its limit, until its own reset; what is under way counts as used.
    """

    def __init__(self) -> None:
        self._clock: Final = ServerClock()
        self._windows: Final[dict[int, _Window]] = {}
        self._blocked_until = 0.0
        self._probing = False
        self._answered = False
        self._last_sent = 0.0
        self.in_flight = 0

    @property
    def idle(self) -> bool:
        """Whether forgetting this budget would lose nothing."""
        return self.in_flight == 0 and not self._windows and self._blocked_until == 0.0

    def limited(self, now: float, *, interactive: bool) -> float:
        """Return for how many seconds Procore's limits keep a request back; 0 is not at all."""
        if now < self._blocked_until:
            return self._blocked_until - now
        longest = 0.0
        for window in list(self._windows.values()):
            if now >= window.ends_at:
                # What a window holds after its reset, only an answer can tell.
                del self._windows[window.limit]
                self._probing = True
            elif self._left(window) <= _reserve(window.limit, interactive=interactive):
                longest = max(longest, window.ends_at - now)
        return longest

    def hold(self, now: float, *, interactive: bool) -> float:
        """Return for how many seconds a request has to wait; 0 lets it go.

        Beside the limits, that is until a first answer told what they are.
        """
        seconds = self.limited(now, interactive=interactive)
        if seconds:
            return seconds
        enough = _UNKNOWN_BURST if not self._answered else 1 if self._probing else None
        if enough is None or self.in_flight < enough:
            return 0.0
        return max(0.0, self._last_sent + _PROBE_PATIENCE - now)

    def sent(self, now: float) -> None:
        """Count a request as under way."""
        self.in_flight += 1
        self._last_sent = now

    def lost(self) -> None:
        """Count out a request that got no answer."""
        self.in_flight -= 1

    def answered(self, now: float, status: int, headers: Mapping[str, str], spread: float) -> None:
        """Learn from an answer's head.

        Args:
            spread: From 0 to 1; how much of the random extra wait to take after a 429.
        """
        self.in_flight -= 1
        self._answered = True
        self._clock.observe(headers.get("date"), now)
        limit = _number(headers.get("x-rate-limit-limit")) if status != 401 else None
        left = _number(headers.get("x-rate-limit-remaining"))
        reset = _number(headers.get("x-rate-limit-reset"))
        until_reset = self._until(reset, now)
        throttled = is_throttled(status, headers)
        if limit and limit > 0 and left is not None and until_reset is not None and reset:
            self._learn(int(limit), int(left), reset=reset, ends_at=now + until_reset)
        if throttled:
            wait = _number(headers.get("retry-after"))
            if wait is None:
                wait = until_reset if until_reset is not None else _MIN_THROTTLE
            wait = min(max(wait, _MIN_THROTTLE), _MAX_THROTTLE)
            self._blocked_until = max(
                self._blocked_until, now + wait + spread * min(1.0, 0.1 * wait)
            )
            self._probing = True
        elif now >= self._blocked_until:
            self._blocked_until = 0.0
            self._probing = False

    def _until(self, reset: float | None, now: float) -> float | None:
        if reset is None:
            return None
        seconds = self._clock.seconds_until(reset, now)
        return None if seconds is None else min(max(seconds, 0.0), _MAX_THROTTLE)

    def _learn(self, limit: int, left: int, *, reset: float, ends_at: float) -> None:
        used = limit - left
        window = self._windows.get(limit)
        if window is not None and reset < window.reset:
            return  # an older answer that arrived late
        if window is not None and reset == window.reset:
            window.used = max(window.used, used)
            window.ends_at = min(window.ends_at, ends_at)
            return
        if window is None and len(self._windows) >= _MAX_WINDOWS:
            self._windows.clear()
        self._windows[limit] = _Window(limit=limit, used=used, reset=reset, ends_at=ends_at)

    def _left(self, window: _Window) -> int:
        return window.limit - window.used - self.in_flight


def _reserve(limit: int, *, interactive: bool) -> int:
    """Return how much of a window a request leaves unused.

    People use it up: what is under way is counted, so nothing is sent at zero.
    """
    return 0 if interactive or limit < _FULL_RESERVE else max(1, int(limit * _BULK_SHARE))


def _number(text: str | None) -> float | None:
    if text is None or len(text) > 20:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < 1e12 else None
