"""After a crash: writes whose end the journal knows and the audit log does not."""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Protocol

import structlog

from cloud_connect.audit import BrokenRecordError, ChainedRecord
from cloud_connect.errors import CloudConnectError, Outcome
from cloud_connect_agent.audit.folder import AuditFolder
from cloud_connect_agent.audit.notes import CallNote
from cloud_connect_agent.audit.trail import AuditTrail
from cloud_connect_agent.journal import JournalEntry

__all__ = ["EndedCalls", "reconcile"]

log = structlog.get_logger(__name__)

_WINDOW_SECONDS: Final = 600.0  # before the log's last record: more than a flush can be late by
_CALL_ID: Final = re.compile(rb'"call_id":"([A-Za-z0-9_.-]{1,64})"')


class EndedCalls(Protocol):
    """The journal, as far as it knows what was carried out."""

    async def ended_since(self, since: float) -> Sequence[JournalEntry]:
        """Return the calls that have ended, or whose end nobody knows."""
        ...


async def reconcile(
    trail: AuditTrail, journal: EndedCalls, *, clock: Callable[[], float] = time.time
) -> int:
    """Record each write that a crash kept out of the log; return how many.

    To be done before calls are taken: the journal's intents of the process before are settled
    then, and this process has none.
    """
    now = clock()
    since, known = await asyncio.to_thread(_recorded, trail.folder, now)
    try:
        ended = await journal.ended_since(since)
    except CloudConnectError as exc:
        log.warning("audit_log_not_reconciled", reason=exc.message)
        return 0
    missing = [
        entry
        for entry in ended
        if entry.outcome is not Outcome.NOT_EXECUTED and entry.call_id not in known
    ]
    for entry in missing:
        note = CallNote(entry.call_id, entry.operation)
        note.journaled = True
        trail.call(
            note,
            status=entry.status,
            outcome=entry.outcome or Outcome.UNKNOWN,
            digest=trail.digest_of(entry.fingerprint.encode()),
            recovered=True,
        )
    if missing:
        log.warning("audit_log_reconciled", calls=len(missing))
    return len(missing)


def _recorded(folder: AuditFolder, now: float) -> tuple[float, frozenset[str]]:
    """Return since when the log may lack calls, and which it has since a little before."""
    since: float | None = None
    found: set[str] = set()
    for segment in reversed(folder.segments()):
        data = segment.path.read_bytes()
        lines = data.splitlines()
        times = [at for at in (_time_of(line) for line in (lines[:1] + lines[-1:])) if at]
        if since is None and times:
            since = min(now, times[-1]) - _WINDOW_SECONDS
        found.update(call_id.decode() for call_id in _CALL_ID.findall(data))
        if since is not None and times and times[0] < since - _WINDOW_SECONDS:
            break
    return (now - _WINDOW_SECONDS if since is None else since), frozenset(found)


def _time_of(line: bytes) -> float | None:
    try:
        return datetime.fromisoformat(str(ChainedRecord.of_line(line).fields()["time"])).timestamp()
    except (BrokenRecordError, KeyError, ValueError):
        return None
