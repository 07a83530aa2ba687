"""When this PC was with its relay: what came later than it remembers, its disk has forgotten.

A virtual machine that is set back to an older state wakes up with the journal of then, and with
nothing that says so: to itself it was off. But calls come over a session only, and the relay
tells when it sent one. So the time is noted while there is a session, and a call that was sent
here long after the last note went to a PC that its disk knows nothing of.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cloud_connect_agent.durable import write_durably

if TYPE_CHECKING:
    from cloud_connect.session import Session

__all__ = ["Presence"]

_EVERY_SECONDS: Final = 30.0
# After the last note of a PC that died, in which calls may be sent here and never come: until
# the next note would have been due, until the relay finds the link dead (35 s), and some more.
_AFTER_SECONDS: Final = 120.0
# After a gap, for which the note on the disk stays as it is: until the relay has asked for what
# it does not know, a process that begins anew has to find the same gap.
_HOLD_SECONDS: Final = 600.0
_MAX_GAPS: Final = 64  # a PC that sleeps each night has one a day; calls are known for a week
_DIGITS: Final = 12  # always as many, so that the file can be written in place


class Presence:
    """Times in which calls may have come here, in a file of one number.

    It is written in place and without a flush: a loss of power makes it older by seconds, which
    is on the safe side.

    Args:
        clock: UNIX seconds.
    """

    def __init__(self, file: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._file: Final = file
        self._clock: Final = clock
        self._last = self._read()
        self._gaps: Final = deque[tuple[float, float]]()
        self._held_until = 0.0

    def covers(self, moment: float) -> bool:
        """Whether what was sent here at *moment* has left a trace here, if it ever came."""
        if self._last is not None and moment > self._last + _AFTER_SECONDS:
            return False
        return not any(begin < moment < end for begin, end in self._gaps)

    def note(self) -> None:
        """Note that there is a session now."""
        now, last = self._clock(), self._last
        self._last = now
        if last is None or abs(now - last) <= _AFTER_SECONDS:
            return
        # Of a clock that was ahead nobody knows for how long: then nothing before counts.
        self._gaps.append((last + _AFTER_SECONDS if now > last else 0.0, now))
        self._held_until = now + _HOLD_SECONDS
        if len(self._gaps) > _MAX_GAPS:
            (begin, _), (_, end) = self._gaps.popleft(), self._gaps.popleft()
            self._gaps.appendleft((begin, end))

    async def run(self, _: "Session") -> None:
        """Note the time every now and then, until the session ends."""
        while True:
            self.note()
            await asyncio.to_thread(self.keep)
            await asyncio.sleep(_EVERY_SECONDS)

    def keep(self) -> None:
        """Bring the last note to the disk, unless one is to stay there for a while."""
        if self._last is None or self._last < self._held_until:
            return
        data = b"%0*d\n" % (_DIGITS, int(self._last))
        with contextlib.suppress(OSError):  # an older note is on the safe side
            try:
                with self._file.open("r+b", buffering=0) as file:
                    file.write(data)
            except FileNotFoundError:
                write_durably(self._file, data)

    def _read(self) -> float | None:
        """Return the last note; ``None`` if there is none, as in a folder that is new."""
        try:
            return float(int(self._file.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            return 0.0  # nothing before now counts
