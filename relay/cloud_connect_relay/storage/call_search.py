"""What a search for calls looks for, as a condition on records and on the table alike."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self

from sqlalchemy import and_, tuple_

from cloud_connect_relay.ids import is_id
from cloud_connect_relay.storage.tables import FAILED, NOT_COMPLETED, RUNNING, calls

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from cloud_connect_relay.storage.calls import CallRecord

__all__ = ["CallCursor", "CallFilter", "Fate", "StatusClass"]

_UNDER_WAY: Final = ("accepted", "dispatched")


class Fate(StrEnum):
    """An outcome, or that there is none yet."""

    COMPLETED = "completed"
    NOT_EXECUTED = "not_executed"
    UNKNOWN = "unknown"
    RUNNING = "running"


class StatusClass(StrEnum):
    """The first digit of an answer's status; calls that run or were hung up on have none."""

    SUCCESS = "2xx"
    REDIRECTION = "3xx"
    CLIENT_ERROR = "4xx"
    SERVER_ERROR = "5xx"

    @property
    def range(self) -> tuple[int, int]:
        """The lowest status of the class, and the lowest of the next one."""
        first = int(self.value[0]) * 100
        return first, first + 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCursor:
    """Where a page of calls, the newest first, ended: the next one begins behind it."""

    started_at: float
    call_id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what :meth:`__str__` wrote.

        Raises:
            ValueError: If it is none.
        """
        at, _, call_id = text.partition("~")
        started_at = float(at)
        if not (math.isfinite(started_at) and is_id("call", call_id)):
            raise ValueError("this is no place in a list of calls")
        return cls(started_at=started_at, call_id=call_id)

    @classmethod
    def of(cls, record: "CallRecord") -> Self:
        """Return the place of *record*."""
        return cls(started_at=record.started_at, call_id=record.id)

    def __str__(self) -> str:
        return f"{self.started_at!r}~{self.call_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    """What a list of calls is narrowed to; ``None`` is any.

    Attributes:
        since: When they started, in UNIX seconds, as *until*, which is not included.
        after: Where the page before ended.
    """

    call_id: str | None = None
    idempotency_key: str | None = None
    fate: Fate | None = None
    status_class: StatusClass | None = None
    operation: str | None = None
    connector_id: str | None = None
    datasource_id: str | None = None
    since: float | None = None
    until: float | None = None
    after: CallCursor | None = None

    def matches(self, record: "CallRecord") -> bool:
        """Whether *record* is let through."""
        if any(getattr(record, name) != value for name, value in self._equal()):
            return False
        if self.fate is not None and record.outcome != self._outcome:
            return False
        if self.status_class is not None:
            low, high = self.status_class.range
            if record.status is None or not low <= record.status < high:
                return False
        started, after = record.started_at, self.after
        if after is not None and (started, record.id) >= (after.started_at, after.call_id):
            return False
        if self.since is not None and started < self.since:
            return False
        return self.until is None or started < self.until

    def conditions(self) -> "Iterator[ColumnElement[bool]]":
        """Yield the same as conditions on the table.

        A database uses an index of some rows only where the query says so in the index's words.
        """
        for name, value in self._equal():
            yield calls.c[name] == value
        if self.fate is not None:
            if self.fate is Fate.RUNNING:
                yield and_(RUNNING)
                yield calls.c.state.in_(_UNDER_WAY)
            else:
                yield calls.c.outcome == self.fate.value
                if self.fate is not Fate.COMPLETED:
                    yield and_(NOT_COMPLETED)
        if self.status_class is not None:
            low, high = self.status_class.range
            yield and_(calls.c.status >= low, calls.c.status < high)
            if low >= 400:
                yield and_(FAILED)
        if self.since is not None:
            yield calls.c.started_at >= self.since
        if self.until is not None:
            yield calls.c.started_at < self.until
        if self.after is not None:
            yield calls.c.started_at <= self.after.started_at  # what an index of it goes by
            place = tuple_(calls.c.started_at, calls.c.id)
            yield place < (self.after.started_at, self.after.call_id)

    @property
    def _outcome(self) -> str | None:
        running = self.fate is None or self.fate is Fate.RUNNING
        return None if running else str(self.fate)

    def _equal(self) -> Iterator[tuple[str, Any]]:
        for name, value in (
            ("id", self.call_id),
            ("idempotency_key", self.idempotency_key),
            ("operation", self.operation),
            ("connector_id", self.connector_id),
            ("datasource_id", self.datasource_id),
        ):
            if value is not None:
                yield name, value
