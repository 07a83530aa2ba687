"""The life of a Windows service: what Windows is told when, while the agent runs in a thread.

Nothing here calls Windows, so that it runs under test as it runs there. Windows wants an answer
before anything slow is loaded, signs of progress while the service starts and stops, and an exit
status when it fails; the agent's loop wants a thread that is not the one which Windows started.
"""

import contextlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag
from typing import Final

__all__ = ["Accepts", "Control", "Outcome", "Report", "ServiceHost", "State"]

_TICK_SECONDS: Final = 2.0  # between two signs of progress
_START_SECONDS: Final = 120.0  # a virus scanner reads every file at the first start
_STOP_SECONDS: Final = 40.0  # running calls get 25 of them
_HUNG_SECONDS: Final = 60.0  # without a sign of life, as under systemd
_HINT_MS: Final = 20_000  # how long Windows shall wait for the next sign; several times a tick
_SPECIFIC: Final = 1066  # ERROR_SERVICE_SPECIFIC_ERROR: the number that counts is our own
_FAILED: Final = 1


class State(IntEnum):
    """What a service is doing, in Windows' numbers."""

    STOPPED = 1
    START_PENDING = 2
    STOP_PENDING = 3
    RUNNING = 4


class Control(IntEnum):
    """What Windows tells a service, in its numbers."""

    STOP = 1
    INTERROGATE = 4
    SHUTDOWN = 5
    PARAMETERS = 6
    PRESHUTDOWN = 15


class Accepts(IntFlag):
    """What a service says that it can be told."""

    NOTHING = 0
    STOP = 0x1
    PARAMETERS = 0x8
    PRESHUTDOWN = 0x100


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One word to Windows.

    Attributes:
        progress: Grows while a start or stop moves.
        hint_ms: Until when the next word comes.
        exit_status: The agent's own; other than 0 has Windows start it again.
    """

    state: State
    accepts: Accepts = Accepts.NOTHING
    progress: int = 0
    hint_ms: int = 0
    exit_status: int = 0

    def as_windows_takes_it(self, *, kind: int = 0x10) -> tuple[int, int, int, int, int, int, int]:
        """Return the numbers of ``SERVICE_STATUS``; *kind* is a process of its own."""
        failed = self.exit_status != 0
        return (
            kind,
            int(self.state),
            int(self.accepts),
            _SPECIFIC if failed else 0,
            self.exit_status,
            self.progress,
            self.hint_ms,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it ended.

    Attributes:
        reason: A sentence for the event log, if it failed.
        hung: Whether the agent's thread is still there and has to be left behind.
        helpless: Whether a person has to act, so that Windows shall not start it again.
    """

    exit_status: int
    reason: str | None = None
    hung: bool = False
    helpless: bool = False


class _Happening(Enum):
    # No numbers to compare: those of Windows' controls are others of the same size.
    READY = 1
    ALIVE = 2
    STOPPING = 3
    DONE = 4


# Whatever else happens in a state changes nothing.
_NEXT: Final = {
    (State.START_PENDING, _Happening.READY): State.RUNNING,
    (State.START_PENDING, _Happening.STOPPING): State.STOP_PENDING,
    (State.RUNNING, _Happening.ALIVE): State.RUNNING,
    (State.RUNNING, _Happening.STOPPING): State.STOP_PENDING,
}
_STOPS: Final = frozenset({Control.STOP, Control.SHUTDOWN, Control.PRESHUTDOWN})


class ServiceHost:
    """Runs the agent in a thread, and keeps Windows informed from the thread that it gave us.

    Args:
        report: Hands a word to Windows.
        tick: Seconds between two looks; the other times are counted in these, so that a PC which
            slept does not look like an agent that hung.
    """

    def __init__(
        self,
        report: Callable[[Report], None],
        *,
        tick: float = _TICK_SECONDS,
        start_seconds: float = _START_SECONDS,
        stop_seconds: float = _STOP_SECONDS,
        hung_seconds: float = _HUNG_SECONDS,
    ) -> None:
        self._report: Final = report
        self._tick: Final = tick
        self._limits: Final = {
            State.START_PENDING: max(1, round(start_seconds / tick)),
            State.RUNNING: max(1, round(hung_seconds / tick)),
            State.STOP_PENDING: max(1, round(stop_seconds / tick)),
        }
        self._happenings: Final[queue.SimpleQueue[Control | _Happening]] = queue.SimpleQueue()
        self._lock: Final = threading.Lock()
        self._stop: Callable[[], None] | None = None
        self._reload: Callable[[], None] | None = None
        self._stop_wanted = False
        self._outcome = Outcome(exit_status=_FAILED, reason="The agent ended without a word.")
        self._state = State.START_PENDING
        self._progress = 0
        self._quiet = 0  # ticks without a happening that counts

    def ready(self) -> None:
        """Say, from any thread, that the agent has started."""
        self._happenings.put(_Happening.READY)

    def stopping(self) -> None:
        """Say, from any thread, that the agent is about to end."""
        self._happenings.put(_Happening.STOPPING)

    def alive(self) -> None:
        """Say, from any thread, that the agent's loop turns and gets somewhere."""
        self._happenings.put(_Happening.ALIVE)

    def told(self, control: int) -> None:
        """Take what Windows tells; returns at once, as its thread is the one for all services."""
        with contextlib.suppress(ValueError):  # what is not ours to heed
            self._happenings.put(Control(control))

    def listen(self, *, stop: Callable[[], None], reload: Callable[[], None]) -> None:
        """Have *stop* and *reload* called, from the host's thread, when Windows says so."""
        with self._lock:
            self._stop, self._reload = stop, reload
            wanted = self._stop_wanted
        if wanted:
            stop()

    def unlisten(self) -> None:
        """Call neither of them any more: the agent's loop ends."""
        with self._lock:
            self._stop = self._reload = None

    def serve(self, agent: Callable[[], Outcome]) -> Outcome:
        """Run *agent* in a thread until it ends or Windows has waited long enough."""
        self._say()
        thread = threading.Thread(target=self._work, args=(agent,), name="agent", daemon=True)
        thread.start()
        return self._attend()

    def stopped(self, outcome: Outcome) -> None:
        """Say the last word: Windows may end the process as soon as it hears it."""
        # Windows restarts what stopped with an error, and an error is all that it looks at.
        told = 0 if outcome.helpless else outcome.exit_status
        self._report(Report(state=State.STOPPED, exit_status=told))

    def _work(self, agent: Callable[[], Outcome]) -> None:
        try:
            self._outcome = agent()
        finally:
            self._happenings.put(_Happening.DONE)

    def _attend(self) -> Outcome:
        while True:
            try:
                happening = self._happenings.get(timeout=self._tick)
            except queue.Empty:
                self._quiet += 1
                if self._quiet >= self._limits[self._state]:
                    return self._given_up()
                if self._state is not State.RUNNING:
                    self._say()
                continue
            if happening is _Happening.DONE:
                return self._outcome
            if isinstance(happening, Control):
                self._obey(happening)
            else:
                self._enter(_NEXT.get((self._state, happening), self._state))

    def _obey(self, control: Control) -> None:
        if control in _STOPS:
            self._enter(State.STOP_PENDING)
            self._pass_on_stop()
        elif control is Control.PARAMETERS:
            self._pass_on_reload()
        else:
            self._say()

    def _pass_on_stop(self) -> None:
        with self._lock:
            self._stop_wanted = True
            stop = self._stop
        if stop is not None:
            stop()

    def _pass_on_reload(self) -> None:
        with self._lock:
            reload = self._reload
        if reload is not None:
            reload()

    def _enter(self, state: State) -> None:
        if state is not self._state or state is State.RUNNING:
            self._quiet = 0
        if state is not self._state:
            self._state, self._progress = state, 0
            self._say()

    def _say(self) -> None:
        pending = self._state is not State.RUNNING
        if pending:
            self._progress += 1
        self._report(
            Report(
                state=self._state,
                accepts=(
                    Accepts.NOTHING
                    if pending
                    else Accepts.STOP | Accepts.PARAMETERS | Accepts.PRESHUTDOWN
                ),
                progress=self._progress if pending else 0,
                hint_ms=_HINT_MS if pending else 0,
            )
        )

    def _given_up(self) -> Outcome:
        seconds = self._limits[self._state] * self._tick
        what = {
            State.START_PENDING: "did not start",
            State.RUNNING: "gave no sign of life",
            State.STOP_PENDING: "did not end",
        }[self._state]
        return Outcome(
            exit_status=_FAILED,
            reason=f"The agent {what} for {seconds:.0f} s, so that its process is ended.",
            hung=True,
        )
