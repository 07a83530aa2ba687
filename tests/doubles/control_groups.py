"""Control groups of each booted machine's own: two beside each other count their processes only."""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["make_groups", "remove_groups"]

_MOUNTED: Final = Path("/sys/fs/cgroup")
_SECONDS: Final = 10.0


def make_groups(name: str) -> Sequence[Path]:
    """Make a group below this process's own in each hierarchy that systemd counts with."""
    made = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, own = line.split(":", 2)
        if controllers == "name=systemd":
            top = _MOUNTED / "systemd"
        elif controllers == "":
            unified = _MOUNTED / "unified"
            top = unified if unified.is_dir() else _MOUNTED
        else:
            continue
        if (top / "cgroup.procs").exists():
            group = top / own.lstrip("/") / name
            group.mkdir()
            made.append(group)
    return made


def remove_groups(groups: Sequence[Path]) -> None:
    """Remove them once all of their processes have ended, which takes the kernel a moment."""
    until = time.monotonic() + _SECONDS
    while (left := [group for group in groups if group.exists()]) and time.monotonic() < until:
        for group in left:
            below = [path for path in group.rglob("*") if path.is_dir()]
            for path in (*sorted(below, reverse=True), group):
                with contextlib.suppress(OSError):
                    path.rmdir()
        time.sleep(0.05)
