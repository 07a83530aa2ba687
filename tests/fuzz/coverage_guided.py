"""Fuzz one target by coverage: ``python -m fuzz.coverage_guided TARGET -max_total_time=60``.

Needs what ``tests/fuzz/requirements.txt`` pins. libFuzzer's flags follow the target's name; it
stops with a failure at the first input that is let through wrongly, hangs or takes too much.
"""

import importlib
import sys
import time
from collections.abc import Callable
from typing import Final

import atheris

MOST_SECONDS: Final = 1.0  # of this process's own: others may hold the machine for longer


def main() -> None:
    """Instrument our packages, and fuzz until told to stop."""
    ours = ["cloud_connect", "cloud_connect_agent", "cloud_connect_relay", "fuzz.targets"]
    with atheris.instrument_imports(include=ours):
        targets = importlib.import_module("fuzz.targets")
    name, *flags = sys.argv[1:]
    atheris.Setup([sys.argv[0], *flags], _in_time(targets.TARGETS[name]))
    atheris.Fuzz()


def _in_time(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def timed(data: bytes) -> None:
        began = time.thread_time()
        target(data)
        assert time.thread_time() - began < MOST_SECONDS

    return timed


if __name__ == "__main__":
    main()
