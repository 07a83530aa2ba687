"""How many calls end in a minute, and the latest that failed."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["CallMeter"]

_WINDOW: Final = 60  # seconds that a rate is told of
_KEPT_ERRORS: Final = 10
_FAILED: Final = 400  # from that status on an answer says no
_TOLD: Final = ("call_id", "operation", "resource", "status", "code")


class CallMeter:
    """Counts calls by the second, so that a busy hour takes no more memory than a quiet one."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self._seconds: Final[deque[list[int]]] = deque()  # each: second, calls, failed ones
        self._errors: Final[deque[dict[str, Any]]] = deque(maxlen=_KEPT_ERRORS)

    def note(self, call: Mapping[str, Any]) -> None:
        """Count a call that has ended, as those who look on are told of it.

        Whose caller went away has no status, and has not failed.
        """
        second = int(self._clock())
        if not self._seconds or self._seconds[-1][0] != second:
            self._forget(second)
            self._seconds.append([second, 0, 0])
        self._seconds[-1][1] += 1
        status = call["status"]
        if status is not None and status >= _FAILED:
            self._seconds[-1][2] += 1
            self._errors.appendleft(
                {"at": call["time"], **{name: call.get(name) for name in _TOLD}}
            )

    def document(self) -> dict[str, object]:
        """Return what ``status`` tells: of the last minute, and the latest failures first."""
        self._forget(int(self._clock()))
        return {
            "last_minute": sum(calls for _, calls, _ in self._seconds),
            "failed_last_minute": sum(failed for *_, failed in self._seconds),
            "last_errors": list(self._errors),
        }

    def _forget(self, second: int) -> None:
        while self._seconds and self._seconds[0][0] <= second - _WINDOW:
            self._seconds.popleft()
