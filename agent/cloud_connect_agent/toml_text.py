"""Changes single settings in a TOML file's text and leaves everything else as people wrote it."""

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from cloud_connect.errors import ConfigurationError

__all__ = ["Value", "change_toml"]

Value: TypeAlias = str | int | tuple[int, ...] | None

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_HEADER: Final = re.compile(r"\s*\[")


def change_toml(text: str, changes: Mapping[tuple[str, ...], Value]) -> str:
    """Return *text* with the settings at the given paths set, or removed where ``None``.

    Raises:
        ConfigurationError: If *text* is no TOML, or writes one of these settings in a way
            (inline tables, text over several lines) that has to be changed by hand.
    """
    try:
        wanted = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(f"agent.toml is not valid TOML: {exc}.") from exc
    lines = text.splitlines()
    for path, value in changes.items():
        lines = _change(lines, path, value)
        try:
            _set(wanted, path, value)
        except TypeError as exc:
            raise _by_hand(path) from exc
    result = "\n".join(lines).strip("\n") + "\n" if lines else ""
    # The proof that nothing else has changed, however odd the file is.
    try:
        found = tomllib.loads(result)
    except tomllib.TOMLDecodeError as exc:
        raise _by_hand(*changes) from exc
    if _without_empty(found) != _without_empty(wanted):
        raise _by_hand(*changes)
    return result


def _change(lines: list[str], path: tuple[str, ...], value: Value) -> list[str]:
    table, key = path[:-1], path[-1]
    start, end = _table(lines, table)
    entry = None if value is None else f"{_name(key)} = {_literal(value)}"
    if start is None:
        if entry is None:
            return lines
        header = [] if not lines or not lines[-1].strip() else [""]
        return [*lines, *header, f"[{'.'.join(map(_name, table))}]", entry]
    pattern = re.compile(rf"\s*(?:{re.escape(key)}|{re.escape(json.dumps(key))})\s*=")
    for at in range(start, end):
        if pattern.match(lines[at]):
            return [*lines[:at], *([entry] if entry is not None else []), *lines[at + 1 :]]
    if entry is None:
        return lines
    while end > start and not lines[end - 1].strip():
        end -= 1  # before the blank lines that set the next table apart
    return [*lines[:end], entry, *lines[end:]]


def _table(lines: list[str], table: tuple[str, ...]) -> tuple[int | None, int]:
    """Return where the table's lines begin and end; the beginning is ``None`` without it."""
    headers = [at for at, line in enumerate(lines) if _HEADER.match(line)]
    if not table:
        return 0, headers[0] if headers else len(lines)
    parts = r"\s*\.\s*".join(
        rf"(?:{re.escape(part)}|{re.escape(json.dumps(part))})" for part in table
    )
    pattern = re.compile(rf"\s*\[\s*{parts}\s*\]\s*(?:#.*)?$")
    for number, at in enumerate(headers):
        if pattern.match(lines[at]):
            end = headers[number + 1] if number + 1 < len(headers) else len(lines)
            return at + 1, end
    return None, len(lines)


def _name(part: str) -> str:
    return part if _BARE.fullmatch(part) else json.dumps(part)


def _literal(value: str | int | tuple[int, ...]) -> str:
    # JSON's escapes are TOML's, but for DEL, which TOML wants escaped, too.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _set(tree: dict[str, Any], path: tuple[str, ...], value: Value) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise TypeError(part)
    if value is None:
        tree.pop(path[-1], None)
    else:
        tree[path[-1]] = list(value) if isinstance(value, tuple) else value


def _without_empty(tree: dict[str, Any]) -> dict[str, Any]:
    """Leave out empty tables, which say nothing."""
    pruned = {
        key: _without_empty(value) if isinstance(value, dict) else value
        for key, value in tree.items()
    }
    return {key: value for key, value in pruned.items() if value != {}}


def _by_hand(*paths: tuple[str, ...]) -> ConfigurationError:
    names = ", ".join(".".join(path) for path in paths)
    return ConfigurationError(
        f"agent.toml is written in a way that this command cannot change; set {names} by hand."
    )
