"""What the policy decided lately, counted by the minute and without data: for ``policy simulate``.

Only what rules look at is kept: verb, environment, company, project, resource or path, and the
names of written fields.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import structlog

from cloud_connect.calls import Environment
from cloud_connect_agent.policy.access import Access, Verb

__all__ = ["PastCall", "PastCalls", "read_past"]

log = structlog.get_logger(__name__)

_MINUTE: Final = 60
_KEPT_MINUTES: Final = 8 * 24 * 60  # a week and a day
_MAX_ROWS: Final = 100_000  # some 30 MB
_MAX_PENDING: Final = 5_000  # kinds of calls between two visits to the disk
_MAX_PATH: Final = 200  # characters
_MAX_FIELDS: Final = 100  # names
_MAX_NAME: Final = 200  # characters
_BUSY_SECONDS: Final = 5.0

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS decided (
    minute INTEGER NOT NULL, facts BLOB NOT NULL, allowed INTEGER NOT NULL, rule TEXT NOT NULL,
    calls INTEGER NOT NULL, PRIMARY KEY (minute, facts, allowed, rule)
) WITHOUT ROWID
"""
_ADD: Final = """
INSERT INTO decided VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET calls = calls + excluded.calls
"""
_TRIM: Final = """
DELETE FROM decided WHERE minute < ? OR minute <= coalesce(
    (SELECT minute FROM decided ORDER BY minute DESC LIMIT 1 OFFSET ?), -1)
"""

_Key = tuple[int, bytes, bool, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCall:
    """Something that calls wanted to touch within one minute.

    Attributes:
        at: Unix seconds at which the minute began.
        calls: How often.
    """

    at: int
    access: Access
    allowed: bool
    rule: str
    calls: int


class PastCalls:
    """Counts decisions in memory, and on disk when told to."""

    def __init__(self, file: Path, *, wall: Callable[[], float] = time.time) -> None:
        self._file: Final = file
        self._wall: Final = wall
        self._pending: Counter[_Key] = Counter()
        self._dropped = 0

    def note(self, access: Access, *, allowed: bool, rule: str) -> None:
        """Count one decision; beyond a bound, kinds of calls that are new are left out."""
        key = (int(self._wall()) // _MINUTE, _facts(access), allowed, rule)
        if key in self._pending or len(self._pending) < _MAX_PENDING:
            self._pending[key] += 1
        else:
            self._dropped += 1

    def write(self) -> None:
        """Add what was counted to the file; a disk that fails costs the counts, not calls."""
        pending, self._pending = self._pending, Counter()
        dropped, self._dropped = self._dropped, 0
        if dropped:
            log.warning("decisions_not_kept", count=dropped)
        if not pending:
            return
        oldest = int(self._wall()) // _MINUTE - _KEPT_MINUTES
        try:
            with closing(sqlite3.connect(self._file, timeout=_BUSY_SECONDS)) as database:
                self._file.chmod(0o600)
                with database:
                    database.execute(_TABLE)
                    database.executemany(_ADD, [(*key, calls) for key, calls in pending.items()])
                    database.execute(_TRIM, (oldest, _MAX_ROWS))
        except (sqlite3.Error, OSError) as exc:
            log.warning("decisions_not_kept", count=pending.total(), reason=str(exc))


def read_past(file: Path, *, since: float) -> list[PastCall]:
    """Read what was decided since a point in time, oldest first.

    Raises:
        OSError: If the file cannot be read.
    """
    if not file.exists():
        return []
    try:
        uri = f"{file.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)) as database:
            rows = database.execute(
                "SELECT minute, facts, allowed, rule, calls FROM decided WHERE minute >= ?"
                " ORDER BY minute",
                (int(since) // _MINUTE,),
            ).fetchall()
    except sqlite3.Error as exc:
        if "no such table" in str(exc):  # it is being made
            return []
        raise OSError(f"{file.name} cannot be read: {exc}") from exc
    return [
        PastCall(
            at=minute * _MINUTE,
            access=_access(facts),
            allowed=bool(allowed),
            rule=rule,
            calls=calls,
        )
        for minute, facts, allowed, rule, calls in rows
    ]


def _facts(access: Access) -> bytes:
    path = access.path
    names = access.fields
    fields = None if names is None else sorted(name[:_MAX_NAME] for name in names)[:_MAX_FIELDS]
    return orjson.dumps(
        [
            access.verb.value,
            access.environment.value,
            access.company_id,
            access.project_id,
            access.resource,
            path if path is None else path[:_MAX_PATH],
            fields,
            access.certain,
            access.described,
        ]
    )


def _access(facts: bytes) -> Access:
    verb, environment, company, project, resource, path, fields, certain, described = orjson.loads(
        facts
    )
    return Access(
        verb=Verb(verb),
        environment=Environment(environment),
        company_id=company,
        project_id=project,
        resource=resource,
        path=path,
        fields=None if fields is None else frozenset(fields),
        certain=certain,
        described=described,
    )
