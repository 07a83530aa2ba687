"""What one grant may still send: Procore's rate headers, read without trusting our clock."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from cloud_connect_agent.procore.failures import is_throttled
from cloud_connect_agent.procore.neighbours import Neighbours

__all__ = ["RateBudget", "ServerClock", "WindowView", "own_limit", "retry_after_of"]

_UNKNOWN_BURST: Final = 4  # requests under way while no answer told anything yet
_PROBE_PATIENCE: Final = 2.0  # seconds until a silent probe is joined by another
_MIN_THROTTLE: Final = 1.0  # seconds; shorter waits only earn the next 429
_MAX_THROTTLE: Final = 3600.0  # seconds; Procore's longest window
_BULK_SHARE: Final = 0.1  # of a window that bulk calls leave to people
_FULL_RESERVE: Final = 10  # limits below it are too small to keep a request back
_SHORT: Final = 15.0  # seconds; a person waits out a window that ends sooner
_RIVALRY: Final = 60.0  # seconds for which a person's call beside bulk ones keeps the share free
_MAX_WINDOWS: Final = 8  # Procore has two; more is somebody's mistake
_SHOWN: Final = 2 * 3600.0  # seconds for which a limit is shown that no answer names any more
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


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that ``Retry-After`` names; a date there counts as none."""
    return _number(headers.get("retry-after"))


def own_limit(status: int, headers: Mapping[str, str]) -> bool:
    """Whether a 429 is of an operation's own limit: the grant's windows have room."""
    left = _number(headers.get("x-rate-limit-remaining"))
    return status == 429 and left is not None and left > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowView:
    """One limit, for people to look at.

    Attributes:
        resets_in: Seconds until it is whole again; ``None`` if it is.
    """

    limit: int
    remaining: int
    resets_in: float | None


@dataclass(slots=True, kw_only=True)
class _Window:
    """One limit of Procore's, as far as answers described it.

    Attributes:
        over: Its reset has passed; it is kept to be shown only.
    """

    limit: int
    used: int
    reset: float
    ends_at: float  # monotonic
    over: bool = False


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
        self._probes = 1
        self._answered = False
        self._last_sent = 0.0
        self._rivals_until = 0.0
        self._neighbours: Final = Neighbours()
        self.in_flight = 0
        self.overloaded = False

    def idle(self, now: float) -> bool:
        """Whether forgetting this budget would lose nothing that still holds."""
        over = all(window.over or now >= window.ends_at for window in self._windows.values())
        return self.in_flight == 0 and over and now >= self._blocked_until

    def limited(self, now: float, *, interactive: bool) -> float:
        """Return for how many seconds Procore's limits keep a request back; 0 is not at all."""
        if now < self._blocked_until:
            return self._blocked_until - now
        longest = 0.0
        for window in self._windows.values():
            if window.over:
                continue
            if now >= window.ends_at:
                # What a window holds after its reset, only an answer can tell.
                window.over = True
                self._probing = True
                idle = now - self._last_sent > _SHORT
                self._probes = _UNKNOWN_BURST if idle else 1
            elif self._left(window) <= self._reserve(window, now, interactive=interactive):
                longest = max(longest, window.ends_at - now)
        return longest

    def slept(self, seconds: float) -> None:
        """Take in that the machine slept: Procore's windows went on, and its clock stood still."""
        self._blocked_until -= seconds
        for window in self._windows.values():
            window.ends_at -= seconds

    def rivalled(self, now: float) -> None:
        """Note that a person's call came while bulk ones were under way or waiting."""
        self._rivals_until = now + _RIVALRY

    def view(self, now: float) -> list[WindowView]:
        """Return the limits that are known, the tightest first."""
        for window in list(self._windows.values()):
            if now >= window.ends_at + _SHOWN:
                del self._windows[window.limit]
        views = [
            WindowView(limit=window.limit, remaining=window.limit, resets_in=None)
            if window.over or now >= window.ends_at
            else WindowView(
                limit=window.limit,
                remaining=max(0, window.limit - window.used),
                resets_in=window.ends_at - now,
            )
            for window in self._windows.values()
        ]
        return sorted(views, key=lambda view: (view.remaining, view.limit))

    def hold(self, now: float, *, interactive: bool) -> float:
        """Return for how many seconds a request has to wait; 0 lets it go.

        Beside the limits, that is until a first answer told what they are.
        """
        seconds = self.limited(now, interactive=interactive)
        if seconds:
            return seconds
        if self.in_flight < self._at_once(now):
            return 0.0
        return max(0.0, self._last_sent + _PROBE_PATIENCE - now)

    def sent(self, now: float) -> None:
        """Count a request as under way."""
        self.in_flight += 1
        self._last_sent = now
        self._neighbours.sent(now)

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
        throttled = is_throttled(status, headers) and not own_limit(status, headers)
        self._neighbours.answered(now)
        if limit and limit > 0 and left is not None and until_reset is not None and reset:
            self._learn(int(limit), int(left), reset=reset, ends_at=now + until_reset)
            if until_reset <= _SHORT:
                self._neighbours.used(int(limit - left), now)
        if throttled:
            wait = retry_after_of(headers)
            if wait is None:
                wait = until_reset if until_reset is not None else _MIN_THROTTLE
            wait = min(max(wait, _MIN_THROTTLE), _MAX_THROTTLE)
            self._blocked_until = max(
                self._blocked_until, now + wait + spread * min(1.0, 0.1 * wait)
            )
            self._probing, self._probes = True, 1
            self.overloaded = status == 503  # Procore as a whole, not this grant's quota
            if not self.overloaded:
                self._neighbours.refused(now)
        elif now >= self._blocked_until:
            self._blocked_until = 0.0
            self._probing = False
            self.overloaded = False

    def _at_once(self, now: float) -> float:
        """Return how many requests may be under way, beside what the limits allow."""
        if not self._answered:
            return _UNKNOWN_BURST
        if self._probing:
            return self._probes
        share = self._neighbours.share(now)
        lefts = [one.limit - one.used for one in self._windows.values() if not one.over]
        return math.inf if share == 1.0 or not lefts else max(1.0, min(lefts) * share)

    def _until(self, reset: float | None, now: float) -> float | None:
        if reset is None:
            return None
        seconds = self._clock.seconds_until(reset, now)
        return None if seconds is None else min(max(seconds, 0.0), _MAX_THROTTLE)

    def _learn(self, limit: int, left: int, *, reset: float, ends_at: float) -> None:
        used = limit - left
        window = self._windows.get(limit)
        if window is not None and window.over:
            window = None
        if window is not None and reset < window.reset:
            return  # an older answer that arrived late
        if window is not None and reset == window.reset:
            window.used = max(window.used, used)
            window.ends_at = min(window.ends_at, ends_at)
            return
        if limit not in self._windows and len(self._windows) >= _MAX_WINDOWS:
            self._windows.clear()
        self._windows[limit] = _Window(limit=limit, used=used, reset=reset, ends_at=ends_at)

    def _left(self, window: _Window) -> int:
        return window.limit - window.used - self.in_flight

    def _reserve(self, window: _Window, now: float, *, interactive: bool) -> int:
        """Return how much of a window a request leaves unused.

        People use it up: what is under way is counted, so nothing is sent at zero. Bulk calls
        leave people their share of a window that lasts; of a short one only while people call,
        since nobody waits long for its reset.
        """
        if interactive or window.limit < _FULL_RESERVE:
            return 0
        if window.ends_at - now <= _SHORT and now >= self._rivals_until:
            return 0
        return max(1, int(window.limit * _BULK_SHARE))


def _number(text: str | None) -> float | None:
    if text is None or len(text) > 20:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < 1e12 else None
