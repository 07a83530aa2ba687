"""Names of the fields that a record writes, and which of them a rule protects."""

from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["leaf_names", "protected"]

_MAX_DEPTH: Final = 64  # as deep as JSON may go


def leaf_names(record: object) -> frozenset[str]:
    """The fields that *record* sets, with dots; places within lists are left out."""
    found: set[str] = set()
    _collect(record, "", found, _MAX_DEPTH)
    return frozenset(found)


def _collect(value: object, name: str, found: set[str], depth: int) -> None:
    if isinstance(value, Mapping) and value and depth:
        for key, part in value.items():
            _collect(part, f"{name}.{key}" if name else str(key), found, depth - 1)
    elif isinstance(value, list | tuple) and any(isinstance(part, Mapping) for part in value):
        for part in value:
            _collect(part, name, found, depth - 1)
    elif name:
        found.add(name)


def protected(written: Iterable[str], names: Iterable[str], *, anywhere: bool) -> str | None:
    """The first of *names* that a write to *written* would touch.

    A name covers what lies below it, and whoever writes what lies above it writes it, too.

    Args:
        anywhere: The names may begin at any depth, as in a raw body with its envelope.
    """
    wanted = {name: tuple(name.split(".")) for name in names}
    for path in sorted(written):
        parts = tuple(path.split("."))
        for name, searched in wanted.items():
            for start in range(len(parts) if anywhere else 1):
                seen = parts[start:]
                shorter = min(len(seen), len(searched))
                if seen[:shorter] == searched[:shorter]:
                    return name
    return None
