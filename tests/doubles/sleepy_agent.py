"""The real agent on a machine that slept for as long as a file says.

``python -m doubles.sleepy_agent FILE run --home …``: the clock that goes on while a machine
sleeps is ahead by the seconds in the file, whatever they are at the moment. To send the machine
to sleep, stop the process, write the file, and let it go on.
"""

import sys
import time
from pathlib import Path

__all__ = ["lay_to_sleep"]


def lay_to_sleep(file: Path) -> None:
    """Have the boot clock be ahead by what *file* says."""
    true_clock = time.clock_gettime

    def clock_gettime(clock: int) -> float:
        slept = float(file.read_text()) if clock == time.CLOCK_BOOTTIME else 0.0
        return true_clock(clock) + slept

    time.clock_gettime = clock_gettime


if __name__ == "__main__":
    lay_to_sleep(Path(sys.argv.pop(1)))
    from cloud_connect_agent.cli import main

    main()
