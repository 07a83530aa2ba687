"""What the journal knows about one call."""

import zlib
from dataclasses import dataclass
from enum import StrEnum

import orjson

from cloud_connect.errors import Outcome

__all__ = ["JournalEntry", "JournalState"]


class JournalState(StrEnum):
    """How far a call came."""

    RECEIVED = "received"
    INTENT = "intent"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """What is known about one call.

    Attributes:
        outcome: ``None`` while the call runs. An entry in state ``intent`` with outcome
            ``unknown`` was running when the agent died.
        body: ``None`` if the answer was too large to be kept.
        acknowledged: Whether the relay has it on disk, too.
    """

    call_id: str
    operation: str
    fingerprint: str
    state: JournalState
    outcome: Outcome | None = None
    status: int | None = None
    head: bytes | None = None
    body: bytes | None = None
    acknowledged: bool = False

    @property
    def content_sum(self) -> int:
        """A checksum of the answer."""
        return zlib.crc32(self.body or b"", zlib.crc32(self.head or b"\0"))

    def seal(self, content_sum: int) -> int:
        """Return a checksum of all that decides what is said about the call.

        SQLite finds a page that makes no sense, not a letter of an id that has changed; and an
        id that is not found reads as "never came here".
        """
        facts = (
            self.call_id,
            self.operation,
            self.fingerprint,
            self.state,
            self.outcome,
            self.status,
            content_sum,
        )
        return zlib.crc32(orjson.dumps(facts, default=repr))  # a flipped bit makes any kind
