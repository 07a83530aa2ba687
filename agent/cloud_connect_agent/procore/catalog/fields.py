"""The fields of a resource's records, as the catalogue writes them."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from cloud_connect_agent.procore.values import FieldType

__all__ = ["Direction", "FieldSpec", "Table", "expand_fields", "label_of", "lowered", "singular_of"]

_WORDS: Final = {"id": "ID", "ids": "IDs", "url": "URL", "rfi": "RFI", "uuid": "UUID", "pdf": "PDF"}

_QUALIFIED: Final = re.compile(r"(.+?)( of .+)")
_SINGULARS: Final = {"ies": "y", "sses": "ss", "uses": "us", "ss": "ss", "us": "us", "s": ""}


class Table(BaseModel):
    """A table of the catalogue: frozen, and without keys that mean nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Direction(StrEnum):
    """Whether a field is sent, received, or both."""

    IN = "in"
    OUT = "out"
    BOTH = "both"

    @property
    def goes_in(self) -> bool:
        """Whether it can be sent."""
        return self is not Direction.OUT

    @property
    def comes_out(self) -> bool:
        """Whether it can be received."""
        return self is not Direction.IN


class FieldSpec(Table):
    """A field of a resource's records.

    Attributes:
        name: With dots where it nests; a column of a budget has any name.
        sent: The type it is sent as, where that is another than the one received.
    """

    name: str = Field(min_length=1, max_length=200, pattern=r"^\P{C}+$")
    type: FieldType
    sent: FieldType | None = None
    direction: Direction
    label: str


def expand_fields(value: object) -> object:
    """Read ``name = "TYPE DIRECTION [LABEL]"``.

    ``RECEIVED/SENT`` in place of the type tells of two; ``reference`` is an id and a name.
    """
    if not isinstance(value, Mapping):
        return value
    # Where Procore writes a record's own id as text, it writes those it refers to so, too.
    id_type = FieldType.KEY if str(value.get("id", "")).startswith("key ") else FieldType.INTEGER
    specs: list[FieldSpec] = []
    for name, text in value.items():
        kind, direction, *label = str(text).split(maxsplit=2)
        shown = label[0] if label else label_of(name)
        if kind == "reference":
            specs.append(_spec(f"{name}.id", id_type, direction, f"{shown} ID"))
            specs.append(_spec(f"{name}.name", FieldType.STRING, direction, shown))
        else:
            received, _, sent = kind.partition("/")
            other = FieldType(sent) if sent else None
            specs.append(_spec(name, FieldType(received), direction, shown, sent=other))
    return tuple(specs)


def _spec(
    name: str, kind: FieldType, direction: str, label: str, *, sent: FieldType | None = None
) -> FieldSpec:
    return FieldSpec(name=name, type=kind, sent=sent, direction=Direction(direction), label=label)


def label_of(name: str) -> str:
    """A field's name as people read it."""
    words = [_WORDS.get(word, word) for word in name.replace(".", "_").split("_")]
    first = words[0]
    return " ".join([first[:1].upper() + first[1:], *words[1:]])


def _without_aside(text: str) -> str:
    """Cut what stands behind a title, such as ``(v2)`` or ``, in short``."""
    comma, bracket = text.find(", "), text.find(" (") if text.endswith(")") else -1
    cuts = [place for place in (comma, bracket) if place >= 0]
    return text[: min(cuts)] if cuts else text


def lowered(text: str) -> str:
    """A title as it stands within a sentence: ``Punch items``, but not ``RFIs``."""
    return text if text[1:2].isupper() else f"{text[:1].lower()}{text[1:]}"


def singular_of(text: str) -> str:
    """One of what a title names, as it stands within a sentence."""
    plain, several = _without_aside(lowered(text)), ""
    match = _QUALIFIED.fullmatch(plain)
    if match is not None:
        plain, several = match[1], match[2]
    for ending, short in _SINGULARS.items():
        if plain.endswith(ending):
            return f"{plain.removesuffix(ending)}{short}{several}"
    return f"{plain}{several}"
