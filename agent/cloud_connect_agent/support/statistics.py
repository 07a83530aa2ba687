"""Journal and audit log in numbers: how much of what kind, and nothing of what was in it."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

__all__ = ["audit_statistics", "journal_statistics"]

_MOST_RECORDS: Final = 50_000  # of the audit log, the newest: a bundle keeps nobody waiting
_BUSY_SECONDS: Final = 2.0
_MOST_NAMES: Final = 100  # of different rules or codes


def journal_statistics(file: Path) -> dict[str, Any]:
    """Return how many writes the journal holds in which state; it is read, never written."""
    facts: dict[str, Any] = {
        "files": {
            path.name: path.stat().st_size for path in sorted(file.parent.glob(f"{file.name}*"))
        }
    }
    if not file.exists():
        return facts
    # Without a log beside it nobody is writing, and looking must not begin one.
    mode = "mode=ro" if file.with_name(f"{file.name}-wal").exists() else "immutable=1"
    try:
        uri = f"{file.absolute().as_uri()}?{mode}"
        with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)) as connection:
            rows = connection.execute(
                "SELECT operation, state, outcome, status, COUNT(*), MIN(changed_at),"
                " MAX(changed_at) FROM calls GROUP BY operation, state, outcome, status"
            ).fetchall()
            untold = connection.execute(
                "SELECT COUNT(*) FROM calls WHERE acknowledged = 0 AND outcome IS NOT NULL"
            ).fetchone()
    except sqlite3.Error as exc:
        return facts | {"problem": str(exc)}
    facts["results_to_tell"] = untold[0]
    facts["calls"] = [
        {
            "operation": operation,
            "state": state,
            "outcome": outcome,
            "status": status,
            "count": count,
            "oldest": _iso(oldest),
            "newest": _iso(newest),
        }
        for operation, state, outcome, status, count, oldest, newest in rows
    ]
    return facts


def audit_statistics(folder: Path) -> dict[str, Any]:
    """Return how often what was recorded, of the newest records."""
    from cloud_connect_agent.audit import AuditFolder
    from cloud_connect_agent.audit.reading import newest_records

    if not folder.is_dir():
        return {}
    audit = AuditFolder(folder)
    counts: dict[str, Counter[str]] = {
        name: Counter() for name in ("action", "decision", "rule", "outcome", "code")
    }
    newest_time = oldest_time = None
    total = 0
    try:
        for facts in _facts(newest_records(audit)):
            total += 1
            oldest_time = facts.get("time")
            newest_time = newest_time or oldest_time
            for name, counter in counts.items():
                value = facts.get(name)
                if value is not None:
                    counter[str(value)[:100]] += 1
        newest = audit.newest_checkpoint()
        segments = audit.segments()
    except OSError as exc:
        return {"problem": exc.strerror}
    return {
        "log": audit.log_id(),
        "segments": len(segments),
        "bytes": sum(segment.size() for segment in segments),
        "signed_up_to": None if newest is None else newest.seq,
        "counted_records": total,
        "oldest_counted": oldest_time,
        "newest_counted": newest_time,
        **{f"by_{name}": dict(one.most_common(_MOST_NAMES)) for name, one in counts.items()},
    }


def _facts(records: Iterator[Any]) -> Iterator[dict[str, Any]]:
    for record in islice(records, _MOST_RECORDS):
        facts = record.fields()
        detail = facts.get("detail")
        told = detail if isinstance(detail, dict) else {}
        yield {**{name: told.get(name) for name in ("outcome", "code")}, **facts}


def _iso(seconds: float) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")[:-6] + "Z"
    except (ValueError, OverflowError, OSError):
        return None
