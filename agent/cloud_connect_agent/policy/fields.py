"""Names of the fields that a record writes, and which of them a rule protects."""

from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["leaf_names", "protected"]

_MAX_DEPTH: Final = 64  # as deep as JSON may go
_MAX_CHARACTERS: Final = 256 * 1024  # of all names: a small body can nest them to gigabytes


def leaf_names(record: object) -> frozenset[str] | None:
    """The fields that *record* sets, with dots; places within lists are left out.

    Returns:
        ``None`` if they are too many or too deep to be told.
    """
    found: set[str] = set()
    left = _MAX_CHARACTERS
    stack: list[tuple[object, str, int]] = [(record, "", _MAX_DEPTH)]
    while stack:
        value, name, depth = stack.pop()
        if isinstance(value, Mapping) and value:
            left -= len(value) * (len(name) + 1) + sum(map(len, value))
            if depth == 0 or left < 0:
                return None
            head = f"{name}." if name else ""
            stack += [(part, f"{head}{key}", depth - 1) for key, part in value.items()]
        elif isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value):
            left -= len(value)
            if depth == 0 or left < 0:
                return None
            stack += [(part, name, depth - 1) for part in value]
        elif name:
            found.add(name)
    return frozenset(found)


def protected(written: Iterable[str], names: Iterable[str], *, anywhere: bool) -> str | None:
    """The first of *names* that a write to *written* would touch.

    A name covers what lies below it, and whoever writes what lies above it writes it, too.

    Args:
        anywhere: The names may begin at any depth, as in a raw body with its envelope.
    """
    wanted = [(name, f".{name}.", _above(name)) for name in names]
    for path in sorted(written):
        inside = f".{path}."  # with bounds, so that parts are found as texts: names can be long
        for name, bounded, above in wanted:
            if anywhere:
                if bounded in inside or inside.endswith(above):
                    return name
            elif inside.startswith(bounded) or inside in above:
                return name
    return None


def _above(name: str) -> tuple[str, ...]:
    """What lies above a name, with bounds."""
    parts = name.split(".")
    return tuple(f".{'.'.join(parts[:count])}." for count in range(1, len(parts)))
