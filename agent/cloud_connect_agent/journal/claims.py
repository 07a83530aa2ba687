"""Claims: a number that its caller uses once stands for one call, whatever else presents it."""

import zlib
from typing import Final

from cloud_connect.errors import Outcome
from cloud_connect_agent.journal.damage import JournalDamagedError
from cloud_connect_agent.journal.database import Database

__all__ = ["claim", "release"]

_PREFIX: Final = "claim:"  # beside the steps of uploads, and kept as long: what is older is void


def claim(database: Database, nonce: str, call_id: str, *, now: float) -> str | None:
    """Bind *nonce* to a call, unless it is bound to one that may have been carried out.

    Returns:
        That one, which may be the call itself; ``None`` if this bound it.

    Raises:
        JournalDamagedError: If what was noted has changed since.
    """
    row = database.connection.execute(
        "SELECT data, seal FROM steps WHERE key = ?", (_PREFIX + nonce,)
    ).fetchone()
    if row is not None:
        data, seal = row
        if not isinstance(data, bytes) or zlib.crc32(data) != seal:
            raise JournalDamagedError("a claim has changed on the disk")
        holder = data.decode()
        if holder == call_id:
            return holder
        entry = database.find(holder)
        if entry is None or entry.outcome is not Outcome.NOT_EXECUTED:
            return holder
    database.note_steps(_PREFIX + nonce, call_id.encode(), now=now)
    return None


def release(database: Database, nonce: str, call_id: str) -> None:
    """Let go of *nonce* if the call that has it was refused before it was even entered."""
    if database.find(call_id) is None:
        database.connection.execute(
            "DELETE FROM steps WHERE key = ? AND data = ?", (_PREFIX + nonce, call_id.encode())
        )
