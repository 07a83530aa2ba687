"""A pause that the PC's administrator asked for: it outlives the process, and ends by itself."""

import contextlib
import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import structlog

from cloud_connect_agent.durable import write_durably

__all__ = ["Clocks", "Pause"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The two clocks: one for durations, one for people."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


class Pause:
    """Whether the agent takes no calls, and until when.

    While the process lives, the monotonic clock ends it; across a restart, the wall clock. A
    wall clock that was set back meanwhile makes it no longer than it was asked for.

    Args:
        file: Where it is kept; without one it ends with the process.
    """

    def __init__(self, file: Path | None = None, *, clocks: Clocks | None = None) -> None:
        self._file: Final = file
        self._clocks: Final = clocks or Clocks()
        self._ends_at: float | None = None  # monotonic; infinite until somebody resumes
        self._changing: Final = threading.Lock()  # the file, in whichever thread

    @classmethod
    def load(cls, file: Path, *, clocks: Clocks | None = None) -> Self:
        """Return the pause as the process before this one left it."""
        pause = cls(file, clocks=clocks)
        try:
            left = pause._left_of(file.read_bytes())
        except FileNotFoundError:
            return pause
        except (OSError, ValueError, KeyError, TypeError):
            # Somebody paused it, nobody knows for how long: a person decides.
            log.warning("pause_unreadable", file=str(file))
            left = math.inf
        pause._ends_at = pause._clocks.monotonic() + left
        if pause.active:
            log.info("still_paused", seconds=None if left == math.inf else round(left))
        return pause

    @property
    def active(self) -> bool:
        """Whether calls are refused."""
        if self._lasts:
            return True
        if self._ends_at is not None:
            self._forget()
        return False

    @property
    def _lasts(self) -> bool:
        return self._ends_at is not None and self._clocks.monotonic() < self._ends_at

    @property
    def seconds_left(self) -> float | None:
        """How long it still lasts; ``None`` if it lasts until somebody resumes, or is none."""
        if not self.active or self._ends_at is None or self._ends_at == math.inf:
            return None
        return self._ends_at - self._clocks.monotonic()

    def begin(self, seconds: float | None) -> None:
        """Pause, for *seconds* or until :meth:`end`; it is on disk when this returns.

        Raises:
            OSError: If it cannot be kept; then there is none.
        """
        with self._changing:
            if self._file is not None:
                kept = {"began": self._clocks.wall(), "seconds": seconds}
                write_durably(self._file, json.dumps(kept).encode())
            self._ends_at = math.inf if seconds is None else self._clocks.monotonic() + seconds

    def end(self) -> None:
        """Take calls again.

        Raises:
            OSError: If the file stays, so that the next start would pause again.
        """
        with self._changing:
            if self._file is not None:
                self._file.unlink(missing_ok=True)
            self._ends_at = None

    def _forget(self) -> None:
        """Remove what is over: a clock that is set back would bring it back at a start."""
        if not self._changing.acquire(blocking=False):
            return  # somebody pauses or resumes just now
        try:
            if self._lasts:
                return  # it has begun anew since
            with contextlib.suppress(OSError):  # the next look may succeed, or the next start
                if self._file is not None:
                    self._file.unlink(missing_ok=True)
                self._ends_at = None
        finally:
            self._changing.release()

    def _left_of(self, data: bytes) -> float:
        kept = json.loads(data)
        seconds = kept["seconds"]
        if seconds is None:
            return math.inf
        passed = max(0.0, self._clocks.wall() - float(kept["began"]))
        return float(seconds) - passed
