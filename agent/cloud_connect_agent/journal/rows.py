"""Pure: rows of the journal's tables, and whether they are what was written."""

import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

from cloud_connect.errors import Outcome
from cloud_connect_agent.journal.damage import JournalDamagedError
from cloud_connect_agent.journal.entries import JournalEntry, JournalState

__all__ = ["FACTS", "entry_of", "facts_seal", "whole_entry"]

FACTS: Final = "call_id, operation, fingerprint, state, outcome, status, acknowledged"


def entry_of(row: Iterable[object]) -> JournalEntry:
    """Return a row as an entry.

    Raises:
        JournalDamagedError: If there is something that was never written.
    """
    call_id, operation, fingerprint, state, outcome, status, acknowledged, head, body = row
    try:
        return JournalEntry(
            call_id=str(call_id),
            operation=str(operation),
            fingerprint=str(fingerprint),
            state=JournalState(str(state)),
            outcome=None if outcome is None else Outcome(str(outcome)),
            status=status if isinstance(status, int) else None,
            head=head if isinstance(head, bytes) else None,
            body=body if isinstance(body, bytes) else None,
            acknowledged=bool(acknowledged),
        )
    except ValueError as exc:
        raise JournalDamagedError("an entry has changed on the disk") from exc


def facts_seal(commits: int, complete_since: float) -> int:
    """Return a checksum of what the journal says about itself."""
    return zlib.crc32(f"{commits} {complete_since!r}".encode())


def whole_entry(row: Sequence[Any]) -> JournalEntry:
    """Return the entry of a row with all of its columns.

    Raises:
        JournalDamagedError: If it is not what was written.
    """
    *facts, content_sum, seal = row
    entry = entry_of(facts)
    if (entry.content_sum, entry.seal(content_sum)) != (content_sum, seal):
        raise JournalDamagedError("an entry has changed on the disk")
    return entry
