"""Pure: versions of what fields a company has, and which of those in use have drifted."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

import orjson

from cloud_connect_agent.procore.metadata.usage import Usage
from cloud_connect_agent.procore.values import FieldType

__all__ = ["Changed", "Drift", "Field", "Gone", "Origin", "Snapshot", "drift_of", "evolved"]

_MAX_GONE: Final = 1_000  # fields that are remembered as gone; the oldest make room
_MAX_HISTORY: Final = 20  # versions that are remembered

Key = tuple[str, str]
Tables = Mapping[str, Mapping[str, "Field"]]


class Origin(StrEnum):
    """How a field is known: from the catalogue, a company's definition, or its records."""

    CATALOG = "catalog"
    DEFINED = "defined"
    SHOWN = "shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a table."""

    type: FieldType
    origin: Origin
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A field that is no longer there."""

    type: FieldType
    last_seen: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A field whose type is another one than before."""

    before: FieldType
    last_seen: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One version of a company's fields.

    Attributes:
        taken_at: When it was found to differ from the version before.
        checked_at: When it was last found to hold.
        history: Number, time and hash of the last versions, this one at the end.
    """

    version: int
    taken_at: float
    checked_at: float
    hash: str
    fields: Tables
    gone: Mapping[Key, Gone] = field(default_factory=dict)
    changed: Mapping[Key, Changed] = field(default_factory=dict)
    history: tuple[tuple[int, float, str], ...] = ()

    @property
    def previous(self) -> int | None:
        """The version before."""
        return self.history[-2][0] if len(self.history) > 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A field that calls named and that is gone or another one by now."""

    table: str
    name: str
    kind: str
    last_seen: float
    used: int
    last_used: float


def evolved(snapshot: Snapshot | None, fields: Tables, *, at: float) -> Snapshot:
    """The snapshot of *fields*: the same version while they are as they were."""
    digest = _hash_of(fields)
    if snapshot is not None and snapshot.hash == digest:
        return replace(snapshot, checked_at=at, fields=fields)
    version = 1 if snapshot is None else snapshot.version + 1
    history = () if snapshot is None else snapshot.history
    gone = {} if snapshot is None else dict(snapshot.gone)
    changed = {} if snapshot is None else dict(snapshot.changed)
    for key, before in _each({} if snapshot is None else snapshot.fields):
        is_now = fields.get(key[0], {}).get(key[1])
        seen = 0.0 if snapshot is None else snapshot.checked_at
        if is_now is None:
            gone[key] = Gone(type=before.type, last_seen=seen)
            changed.pop(key, None)
        elif is_now.type is not before.type:
            _note_change(changed, key, before.type, is_now.type, seen)
    for key, is_now in _each(fields):
        left = gone.pop(key, None)
        if left is not None and left.type is not is_now.type:
            _note_change(changed, key, left.type, is_now.type, left.last_seen)
    return Snapshot(
        version=version,
        taken_at=at,
        checked_at=at,
        hash=digest,
        fields=fields,
        gone=dict(sorted(gone.items(), key=lambda item: item[1].last_seen)[-_MAX_GONE:]),
        changed=dict(sorted(changed.items(), key=lambda item: item[1].last_seen)[-_MAX_GONE:]),
        history=(*history, (version, at, digest))[-_MAX_HISTORY:],
    )


def drift_of(snapshot: Snapshot, usage: Usage) -> list[Drift]:
    """Which fields calls named that are gone or have another type, last used first."""
    found = []
    for key, use in usage.items():
        kind, last_seen = _fate(snapshot, key)
        if kind is not None:
            table, name = key
            found.append(
                Drift(
                    table=table,
                    name=name,
                    kind=kind,
                    last_seen=last_seen,
                    used=use.count,
                    last_used=use.last,
                )
            )
    return sorted(found, key=lambda drift: -drift.last_used)


def _note_change(
    changed: dict[Key, Changed], key: Key, was: FieldType, becomes: FieldType, seen: float
) -> None:
    known = changed.pop(key, None)
    before = was if known is None else known.before
    if before is not becomes:  # it may be what it was at first
        changed[key] = Changed(before=before, last_seen=seen)


def _fate(snapshot: Snapshot, key: Key) -> tuple[str | None, float]:
    if key in snapshot.gone:
        return "gone", snapshot.gone[key].last_seen
    if key in snapshot.changed:
        return "type_changed", snapshot.changed[key].last_seen
    return None, 0.0


def _each(tables: Tables) -> Iterator[tuple[Key, Field]]:
    for table, fields in tables.items():
        for name, known in fields.items():
            yield (table, name), known


def _hash_of(tables: Tables) -> str:
    plain = {
        table: {name: known.type.value for name, known in fields.items()}
        for table, fields in tables.items()
    }
    return hashlib.sha256(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)).hexdigest()
