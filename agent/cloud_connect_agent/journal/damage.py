"""A damaged journal: kept aside, and writes refused until somebody accepts what it lost."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import orjson

from cloud_connect_agent.durable import sync_dir, write_durably

__all__ = [
    "Damage",
    "JournalDamagedError",
    "accept_loss",
    "files_of",
    "is_damage",
    "mark_file",
    "set_aside",
]

_SUFFIXES: Final = ("", "-wal", "-shm", ".mark")
_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_BROKEN_READS: Final = frozenset({sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS})


class JournalDamagedError(Exception):
    """The journal's files are not what was written; the message is the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What was found, and where the damaged files went.

    Attributes:
        found_at: UNIX time; writes have been refused since.
        kept_as: The name of the damaged file, in the same folder.
    """

    reason: str
    found_at: float
    kept_as: str

    @property
    def sentence(self) -> str:
        """What people have to know; it names no folder, since it leaves this PC."""
        return (
            f"The journal of writes is damaged ({self.reason}), so writes are refused; reads go "
            f"on. The file is kept as {self.kept_as}. Run `cloud-connect journal accept-loss` on "
            "the connector's PC to begin a new journal."
        )

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the damage that stands for the journal at *path*.

        Raises:
            OSError: If its note is there or not, and cannot be looked at.
        """
        try:
            data = orjson.loads(_note(path).read_bytes())
            return cls(
                reason=str(data["reason"]),
                found_at=float(data["found_at"]),
                kept_as=Path(str(data["kept_as"])).name,
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            # Whatever it said, it stands for damage; only a command of a person removes it.
            return cls(
                reason="its note of damage is unreadable",
                found_at=_FUTURE,
                kept_as=f"{path.name}.damaged",
            )


_FUTURE: Final = 4e12  # of a time that nobody knows: nothing is vouched for


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file is not what it wrote, rather than out of reach."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return False
    return code & 0xFF in _CORRUPT or code in _BROKEN_READS


def mark_file(path: Path) -> Path:
    """Return the companion with the count of commits."""
    return path.with_name(f"{path.name}.mark")


def files_of(path: Path) -> Iterator[Path]:
    """Yield the journal's files that are there."""
    for suffix in _SUFFIXES:
        file = path.with_name(f"{path.name}{suffix}")
        if file.exists():
            yield file


def set_aside(path: Path, reason: str, *, now: float) -> Damage:
    """Note the damage durably, then move the files out of the way and keep them.

    Raises:
        OSError: If that cannot be written.
    """
    standing = Damage.read(path)
    if standing is None:
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        name, number = f"{path.name}.damaged-{stamp}", 1
        while path.with_name(name).exists():
            number += 1
            name = f"{path.name}.damaged-{stamp}-{number}"
        standing = Damage(reason=reason, found_at=now, kept_as=name)
        # The note comes first: a crash between the two must not look like a first start.
        write_durably(_note(path), orjson.dumps(asdict(standing)))
    _move(path, standing.kept_as)
    return standing


def accept_loss(path: Path) -> Damage | None:
    """Let a new journal begin; return what was lost, ``None`` if nothing was.

    Raises:
        OSError: If that cannot be written.
    """
    standing = Damage.read(path)
    if standing is None:
        return None
    _move(path, standing.kept_as)
    _note(path).unlink()
    sync_dir(path.parent)
    return standing


def _move(path: Path, name: str) -> None:
    for file in list(files_of(path)):
        suffix = file.name.removeprefix(path.name)
        with contextlib.suppress(FileNotFoundError):  # SQLite removes some when it closes
            file.replace(path.with_name(f"{name}{suffix}"))
    sync_dir(path.parent)


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.damage.json")
