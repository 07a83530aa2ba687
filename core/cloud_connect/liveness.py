"""Liveness: pure rules for when to ping, and when a link counts as lost or slow."""

from dataclasses import dataclass, field
from typing import Final

from cloud_connect.tunnel import Limits

__all__ = ["Liveness", "SessionSettings"]

# A peer that is silent and takes nothing from us either, for this share of the write timeout,
# is reported as slow: that says more.
_SLOW_SHARE: Final = 1 / 3
# A link that was silent for this share of the silence timeout broke because of that.
_SILENT_SHARE: Final = 3 / 4
_MIN_DELAY: Final = 0.001  # seconds; rounding of the loop's clock must not make a busy loop


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """How patient a session is; all times in seconds.

    Attributes:
        heartbeat_interval: A ping goes out so often.
        silence_timeout: Without a byte received for so long the link counts as lost; a second
            below what is promised, for a loop that is busy.
        write_timeout: A message that the link does not take for so long ends the session.
        settings_timeout: The peer's SETTINGS are due within this.
        close_timeout: Most that closing the link may take.
        limits: What the peer may do.
    """

    heartbeat_interval: float = 15.0
    silence_timeout: float = 24.0
    write_timeout: float = 25.0
    settings_timeout: float = 10.0
    close_timeout: float = 5.0
    limits: Limits = field(default_factory=Limits)


class Liveness:
    """What is known about a link's life; every time is on the session's clock.

    Attributes:
        last_received: When the last bytes came in.
        sending_since: When the message was begun that the link has not taken yet.
        ready: Whether the peer's SETTINGS came.
    """

    __slots__ = ("_next_ping", "_settings", "_started", "last_received", "ready", "sending_since")

    def __init__(self, settings: SessionSettings, *, now: float) -> None:
        self._settings = settings
        self._started = now
        self._next_ping = now + settings.heartbeat_interval
        self.last_received = now
        self.sending_since: float | None = None
        self.ready = False

    def verdict(self, now: float) -> str | None:
        """Return why the link counts as dead, if it does: ``slow``, ``silent`` and why."""
        settings = self._settings
        if self._blocked(now) >= settings.write_timeout:
            return self.slowness(now)
        silence = now - self.last_received
        if silence >= settings.silence_timeout:
            return self.slowness(now) or f"silent: nothing was received for {silence:.0f} s"
        if not self.ready and now - self._started >= settings.settings_timeout:
            return f"silent: no SETTINGS within {settings.settings_timeout:.0f} s"
        return None

    def slowness(self, now: float) -> str | None:
        """Return how slow the peer is, if it has taken nothing from us for a while."""
        blocked = self._blocked(now)
        if blocked < self._settings.write_timeout * _SLOW_SHARE:
            return None
        return f"slow: the peer took nothing for {blocked:.0f} s"

    def suspicion(self, now: float) -> str | None:
        """Return what was wrong with a link already when it broke, if something was.

        The system gives a link up by its own timer, and says no more than that it is gone.
        """
        silence = now - self.last_received
        if silence < self._settings.silence_timeout * _SILENT_SHARE:
            return self.slowness(now)
        return self.slowness(now) or f"silent: nothing was received for {silence:.0f} s"

    def _blocked(self, now: float) -> float:
        return 0.0 if self.sending_since is None else now - self.sending_since

    def ping_due(self, now: float) -> bool:
        """Return whether to ping; then the next one is due an interval later."""
        if now < self._next_ping:
            return False
        self._next_ping = now + self._settings.heartbeat_interval
        return True

    def delay(self, now: float) -> float:
        """Return the seconds until there is something to check."""
        settings = self._settings
        due = min(self._next_ping, self.last_received + settings.silence_timeout)
        if self.sending_since is not None:
            due = min(due, self.sending_since + settings.write_timeout)
        if not self.ready:
            due = min(due, self._started + settings.settings_timeout)
        return max(due - now, _MIN_DELAY)
