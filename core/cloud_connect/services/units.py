"""Makes the unit of one service out of the template that its end brings along."""

import re
from collections.abc import Mapping
from typing import Final

from cloud_connect.errors import ConfigurationError

__all__ = ["render_unit", "unit_word"]

# What needs no quotes and no % in a unit, nor quotes in a shell.
_PLAIN: Final = re.compile(r"[A-Za-z0-9@%+=:,./_\[\]-]+")
_SETTING: Final = re.compile(r"(?P<key>[A-Za-z]+)=")


def render_unit(
    template: str, *, values: Mapping[str, str | None], added: Mapping[str, str], header: str
) -> str:
    """Return the unit's text.

    Args:
        values: What stands in the place of the template's values, by key; ``None`` leaves a
            setting out.
        added: Settings of the service besides, right after its first line.
        header: What stands above all, instead of the template's advice for doing it by hand.

    Raises:
        ValueError: If the template has no such setting.
    """
    lines = template.replace("\\\n", " ").splitlines()
    body = lines[lines.index("[Unit]") :]
    made: list[str] = [f"# {line}".rstrip() for line in header.splitlines()] + [""]
    left = dict(values)
    for line in body:
        found = _SETTING.match(line)
        key = "" if found is None else found["key"]
        if key in values:
            left.pop(key, None)
            value = values[key]
            if value is not None:
                made.append(f"{key}={value}")
            continue
        made.append(line)
        if line == "[Service]":
            made.extend(f"{name}={value}" for name, value in added.items())
    if left:
        raise ValueError(f"the template has no {', '.join(left)}")
    return "\n".join(made) + "\n"


def unit_word(value: str, *, what: str) -> str:
    """Return *value* as one word of a unit.

    Raises:
        ConfigurationError: If it has characters that mean something else there.
    """
    if _PLAIN.fullmatch(value) is None:
        raise ConfigurationError(
            f"{what} {value!r} has characters that a service's settings cannot hold safely; use "
            "letters, digits and . _ - / only."
        )
    return value.replace("%", "%%")
