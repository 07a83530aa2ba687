"""What the agent knows about its own health; what counts is the last round trip."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Protocol

import structlog

from cloud_connect.echo import EchoParams
from cloud_connect.handshake_messages import CertificateCheck
from cloud_connect_agent.pausing import Clocks, Pause

__all__ = ["SKEW_SECONDS", "Clocks", "Health", "HealthSnapshot", "HealthState", "LiveSession"]

log = structlog.get_logger(__name__)

SKEW_SECONDS: Final = 30.0  # a clock that is further off than that is worth a word
STUCK_SECONDS = 60.0  # of silence: the link is given up well before, if anything still works
IDLE_SECONDS = 1200.0  # without a dial or its end: the longest pause between dials is shorter
SILENCE_SECONDS = 35.0  # a session that heard nothing for so long is not called connected


class HealthState(StrEnum):
    """What the command line shows."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    OFFLINE = "offline"
    REVOKED = "revoked"
    INTERCEPTED = "intercepted"
    STOPPED = "stopped"


class LiveSession(Protocol):
    """What health reads of a session."""

    @property
    def round_trip(self) -> float | None:
        """Seconds of the last round trip through the relay."""
        ...

    @property
    def last_received(self) -> float:
        """When bytes came last, on the monotonic clock."""
        ...

    @property
    def in_flight(self) -> int:
        """Streams that are open."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSnapshot:
    """One moment, as ``status`` shows it."""

    state: HealthState
    since: str
    last_round_trip_ms: float | None
    last_round_trip_at: str | None
    last_echo_at: str | None
    started_at: str
    in_flight: int
    paused: bool
    paused_until: str | None
    pause_seconds_left: float | None
    held_seconds_left: float | None
    drained_by_relay: bool
    draining: bool
    clock_skew_seconds: float | None
    certificate: CertificateCheck | None
    error: str | None

    @property
    def connected(self) -> bool:
        """Whether calls can come through at this moment."""
        return self.state is HealthState.CONNECTED


class Health:
    """The state machine; the connection tells it what happens."""

    def __init__(self, *, clocks: Clocks | None = None, pause: Pause | None = None) -> None:
        self._clocks: Final = clocks or Clocks()
        self._state = HealthState.CONNECTING
        self._since = self._clocks.wall()
        self._session: LiveSession | None = None
        self._round_trip_ms: float | None = None
        self._round_trip_at: float | None = None
        self._echo_at: float | None = None
        self._held_end: float | None = None
        self._drained = False
        self._started_at: Final = self._since
        self._error: str | None = None
        self._pause: Final = pause or Pause(clocks=self._clocks)
        self._draining = False
        self._clock_skew: float | None = None
        self._certificate: CertificateCheck | None = None
        self._moved_at = self._clocks.monotonic()
        self._running: Callable[[], int] = lambda: 0

    def counts(self, running: Callable[[], int]) -> None:
        """Ask *running* how many calls are under way, over whichever session they came.

        A write may outlive its caller's deadline, and its session.
        """
        self._running = running

    @property
    def session(self) -> LiveSession | None:
        """The session that carries calls, while there is one."""
        return self._session

    @property
    def started_at(self) -> datetime:
        """When this process began, by its own clock."""
        return datetime.fromtimestamp(round(self._started_at), UTC)

    @property
    def clock_skew_seconds(self) -> float | None:
        """How far this PC's clock is ahead of the relay's, as far as that was measured."""
        return self._clock_skew

    @property
    def paused(self) -> bool:
        """Whether this PC's administrator paused it."""
        return self._pause.active

    @property
    def paused_until(self) -> float | None:
        """When the pause ends by itself, by this PC's wall clock; ``None`` if it does not."""
        left = self._pause.seconds_left
        return None if left is None else self._clocks.wall() + left

    def connecting(self) -> None:
        """The agent dials."""
        self._session = None
        self._enter(HealthState.CONNECTING, self._error)

    def connected(self, session: LiveSession) -> None:
        """Both ends authenticated each other and *session* carries calls."""
        self._session = session
        self._held_end, self._drained = None, False  # the first echo says it
        self._enter(HealthState.CONNECTED, None)

    def offline(self, reason: str) -> None:
        """The link is lost, or could not be made, for *reason* (a sentence)."""
        self._session = None
        self._enter(HealthState.OFFLINE, reason)

    def revoked(self, reason: str) -> None:
        """The relay says that this connector is not welcome."""
        self._session = None
        self._enter(HealthState.REVOKED, reason)

    def intercepted(self, reason: str) -> None:
        """The relay refuses: somebody sits in between and reads along."""
        self._session = None
        self._certificate = "intercepted"
        self._enter(HealthState.INTERCEPTED, reason)

    def certificate(self, check: CertificateCheck) -> None:
        """What the relay says of the certificate that was seen here."""
        self._certificate = check

    def round_trip(self, seconds: float) -> None:
        """A ping came back through the relay."""
        self._round_trip_ms = round(seconds * 1000, 3)
        self._round_trip_at = self._clocks.wall()

    def echoed(self, said: EchoParams) -> None:
        """The relay asked this agent's dispatcher whether calls come through.

        Args:
            said: Whether an administrator there keeps calls from here.
        """
        self._echo_at = self._clocks.wall()
        held, self._drained = said.held_seconds, said.draining
        self._held_end = None if held is None else self._now + held

    def clock_skew(self, seconds: float) -> None:
        """Note how far this PC's clock is ahead of the relay's."""
        self._clock_skew = round(seconds, 1)

    def pause(self, seconds: float | None = None) -> None:
        """Take no calls until :meth:`resume`, or for *seconds*; a restart changes nothing.

        Raises:
            OSError: If that cannot be kept.
        """
        self._pause.begin(seconds)
        log.info("paused", seconds=seconds)

    def resume(self) -> None:
        """Take calls again.

        Raises:
            OSError: If that cannot be kept.
        """
        self._pause.end()
        log.info("resumed")

    def drain(self) -> None:
        """The agent finishes what runs and stops."""
        self._draining = True

    def snapshot(self) -> HealthSnapshot:
        """Return the state of this moment."""
        state, error, session = self._state, self._error, self._session
        if session is not None:
            silence = self._clocks.monotonic() - session.last_received
            if state is HealthState.CONNECTED and silence > SILENCE_SECONDS:
                state = HealthState.OFFLINE
                error = f"The relay has been silent for {silence:.0f} seconds."
        until, left = self.paused_until, self._pause.seconds_left
        return HealthSnapshot(
            state=state,
            since=_iso(self._since),
            last_round_trip_ms=self._round_trip_ms,
            last_round_trip_at=None if self._round_trip_at is None else _iso(self._round_trip_at),
            last_echo_at=None if self._echo_at is None else _iso(self._echo_at),
            started_at=_iso(self._started_at),
            in_flight=max(self._running(), 0 if session is None else session.in_flight),
            paused=self.paused,
            paused_until=None if until is None else _iso(until),
            pause_seconds_left=None if left is None else round(left, 1),
            held_seconds_left=self._held_seconds_left,
            drained_by_relay=self._drained and self._session is not None,
            draining=self._draining,
            clock_skew_seconds=self._clock_skew,
            certificate=self._certificate,
            error=error,
        )

    @property
    def summary(self) -> str:
        """A line for people: the state, and why it is that one."""
        snapshot = self.snapshot()
        words = [snapshot.state.value]
        words += [word for word in ("paused", "draining") if getattr(snapshot, word)]
        line = ", ".join(words).capitalize()
        return line if snapshot.error is None else f"{line}: {snapshot.error}"

    @property
    def is_stuck(self) -> bool:
        """Whether it says that it is connected and hears nothing, or dials and never ends."""
        now, session = self._clocks.monotonic(), self._session
        if self._state is HealthState.CONNECTED and session is not None:
            return now - session.last_received > STUCK_SECONDS
        return now - self._moved_at > IDLE_SECONDS

    @property
    def _held_seconds_left(self) -> float | None:
        if self._session is None or self._held_end is None or self._held_end <= self._now:
            return None
        return round(self._held_end - self._now, 1)

    @property
    def _now(self) -> float:
        return self._clocks.monotonic()

    def _enter(self, state: HealthState, error: str | None) -> None:
        self._moved_at = self._clocks.monotonic()
        if state is not self._state:
            self._since = self._clocks.wall()
        self._state, self._error = state, error


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
