"""Snapshots and usage on disk: one small file for each company, replaced as a whole."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from cloud_connect.calls import Source
from cloud_connect_agent.durable import make_private_dir, write_durably
from cloud_connect_agent.procore.metadata.snapshot import Changed, Field, Gone, Origin, Snapshot
from cloud_connect_agent.procore.metadata.usage import Usage, Use
from cloud_connect_agent.procore.values import FieldType

__all__ = ["SnapshotStore", "Stored"]

log = structlog.get_logger(__name__)

_MAX_FILES: Final = 200  # companies; those that were written longest ago make room
_MAX_BYTES: Final = (
    16 * 1024 * 1024
)  # far above what is written, so that a planted file is not read


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What is kept of a company."""

    snapshot: Snapshot | None
    usage: Usage


class _Field(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    type: FieldType
    origin: Origin
    label: str = ""


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int
    taken_at: float
    checked_at: float
    hash: str
    fields: dict[str, dict[str, _Field]]
    gone: list[tuple[str, str, FieldType, float]] = []
    changed: list[tuple[str, str, FieldType, float]] = []
    history: list[tuple[int, float, str]] = []
    used: list[tuple[str, str, int, float]] = []


class SnapshotStore:
    """The files in one folder; its methods block."""

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder

    def load(self, source: Source) -> Stored | None:
        """Read what is kept of a company; ``None`` if that is nothing that can be read."""
        path = self._path(source)
        try:
            with path.open("rb") as opened:
                file = _File.model_validate_json(opened.read(_MAX_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as exc:
            log.warning("snapshot_not_read", file=path.name, reason=type(exc).__name__)
            return None
        usage = Usage({(table, name): Use(n, last) for table, name, n, last in file.used})
        snapshot = Snapshot(
            version=file.version,
            taken_at=file.taken_at,
            checked_at=file.checked_at,
            hash=file.hash,
            fields={
                table: {
                    name: Field(type=one.type, origin=one.origin, label=one.label)
                    for name, one in fields.items()
                }
                for table, fields in file.fields.items()
            },
            gone={
                (table, name): Gone(type=kind, last_seen=seen)
                for table, name, kind, seen in file.gone
            },
            changed={
                (table, name): Changed(before=kind, last_seen=seen)
                for table, name, kind, seen in file.changed
            },
            history=tuple(file.history),
        )
        return Stored(snapshot=snapshot if file.version else None, usage=usage)

    def save(self, source: Source, stored: Stored) -> None:
        """Keep what there is of a company; a folder that cannot be written is no failure."""
        path = self._path(source)
        snapshot = stored.snapshot or _NOTHING_YET
        file = _File(
            version=snapshot.version,
            taken_at=snapshot.taken_at,
            checked_at=snapshot.checked_at,
            hash=snapshot.hash,
            fields={
                table: {
                    name: _Field(type=one.type, origin=one.origin, label=one.label)
                    for name, one in fields.items()
                }
                for table, fields in snapshot.fields.items()
            },
            gone=[(*key, gone.type, gone.last_seen) for key, gone in snapshot.gone.items()],
            changed=[(*key, one.before, one.last_seen) for key, one in snapshot.changed.items()],
            history=list(snapshot.history),
            used=[(*key, use.count, use.last) for key, use in stored.usage.items()],
        )
        try:
            make_private_dir(self._folder)
            write_durably(path, file.model_dump_json().encode())
            self._prune()
        except OSError as exc:
            log.warning("snapshot_not_kept", file=path.name, reason=exc.strerror)

    def _path(self, source: Source) -> Path:
        return self._folder / f"{source.environment.flag}-{source.company_id}.json"

    def _prune(self) -> None:
        files = sorted(self._folder.glob("*.json"), key=lambda file: file.stat().st_mtime)
        for file in files[:-_MAX_FILES]:
            file.unlink(missing_ok=True)


_NOTHING_YET: Final = Snapshot(version=0, taken_at=0.0, checked_at=0.0, hash="", fields={})
