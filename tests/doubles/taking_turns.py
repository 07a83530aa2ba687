"""The order of files for several workers: those that wait and those that compute take turns.

Tests of faults wait for most of their time, until a link is dead or a limit has passed; those of
parts keep a processor busy. Files of one kind side by side leave processors idle, or make what
has a limit of time late; and a long file that comes last is waited for by everybody.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import pytest

__all__ = ["take_turns"]

_WAIT: Final = (
    *("attacks", "browser", "faults", "proxies", "system"),
    *("agent/cli", "agent/doctor", "relay/cli"),
)
_TESTS: Final = Path(__file__).parent.parent


def take_turns(items: list[pytest.Item]) -> None:
    """Put the tests in an order in which their files take turns; a file's stay together."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    waiting = [path for path in files if _waits(path)]
    computing = [path for path in files if not _waits(path)]
    items[:] = [item for path in _alternating(waiting, computing) for item in files[path]]


def _waits(path: Path) -> bool:
    return any(path.is_relative_to(_TESTS / folder) for folder in _WAIT)


def _alternating(waiting: Sequence[Path], computing: Sequence[Path]) -> Iterator[Path]:
    """Begin with one that waits; what computes is shorter, and fills the end up."""
    rest = iter(computing)
    each = len(computing) // (len(waiting) or 1)
    for path in waiting:
        yield path
        yield from islice(rest, each)
    yield from rest
