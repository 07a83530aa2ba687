"""Pure: on which line of a TOML file a setting stands, so that people find what is meant."""

import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["line_of"]


def line_of(text: str, path: Sequence[str]) -> int | None:
    """Return the line, counted from 1, on which *path* is set; else that of what holds it.

    An inline table or a list is told by the line on which it begins.
    """
    wanted = tuple(path)
    best: tuple[int, int] | None = None  # how much of the path it names, and the line
    for number, named, is_table in _entries(text):
        if named == wanted[: len(named)] and named:
            length = len(named)
        elif is_table and wanted == named[: len(wanted)]:
            length = len(wanted)  # a table below it, such as [log.x] for log
        else:
            continue
        if best is None or length > best[0]:
            best = (length, number)
    return None if best is None else best[1]


def _entries(text: str) -> Iterator[tuple[int, tuple[str, ...], bool]]:
    """Yield each line that names something: its number, what it names, whether it is a table."""
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped.startswith("["):
            found = _path_in(_without_remark(stripped))
            if found is not None:
                table = found
                yield number, table, True
        elif "=" in stripped and not stripped.startswith("#"):
            key = _key_of(stripped)
            if key is not None:
                yield number, (*table, *key), False


def _key_of(line: str) -> tuple[str, ...] | None:
    """Return what stands before the first equals sign that ends a key."""
    at = line.find("=")
    while at != -1:
        found = _path_in(f"{line[:at]}= 0")
        if found is not None:
            return found
        at = line.find("=", at + 1)  # that one stood within a quoted key
    return None


def _without_remark(line: str) -> str:
    return line[: line.rfind("]") + 1]


def _path_in(line: str) -> tuple[str, ...] | None:
    """Return the keys that a line of TOML goes down, if it is one."""
    try:
        node: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return None
    path: list[str] = []
    while isinstance(node, dict | list) and node:
        if isinstance(node, list):
            node = node[0]
            continue
        key = next(iter(node))
        path.append(key)
        node = node[key]
    return tuple(path)
