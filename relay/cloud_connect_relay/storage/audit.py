"""The audit log: who did what, only ever appended, each record tied to the one before it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert, select, text

from cloud_connect.audit import (
    GENESIS_SEQ,
    ChainedRecord,
    Checkpoint,
    canonical,
    chained,
    genesis,
    record_time,
)
from cloud_connect_relay.storage.tables import audit, audit_checkpoints

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import ColumnElement, Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from cloud_connect_relay.storage.engine import Storage

__all__ = ["AuditDraft", "AuditEntry", "AuditFilter", "AuditLog", "append", "append_all"]

_PAGE: Final = 1000  # records read at once
_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:log, 0))")
_INSERT: Final = insert(audit)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDraft:
    """A record that has no place in the chain yet.

    Attributes:
        at: UNIX seconds.
        actor: Who did it: ``user:usr_…``, ``key:key_…``, ``token:jt_…``, ``connector:con_…``,
            ``custom-connector:reg_…``, ``relay``, ``command-line``.
        action: What was done, such as ``key.create``.
        target: The id of what it was done to.
        detail: Further facts; never a secret.
    """

    subscription_id: str
    at: float
    actor: str
    action: str
    target: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One record, as it stands in the store.

    Attributes:
        seq: Its number in the chain of its subscription.
        chained: The record itself, with its hashes.
    """

    seq: int
    time: float
    actor: str
    action: str
    target: str
    chained: ChainedRecord

    @property
    def detail(self) -> Mapping[str, Any]:
        """Further facts."""
        found = self.chained.fields().get("detail")
        return found if isinstance(found, dict) else {}

    def says_what_it_shows(self, fields: Mapping[str, object]) -> bool:
        """Whether what is searched for is what the record says."""
        return fields == {
            "seq": self.seq,
            "time": record_time(self.time),
            "actor": self.actor,
            "action": self.action,
            "target": self.target,
            "detail": fields.get("detail"),
        } and self.time == _exact(self.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """What a list of records is narrowed to; ``None`` is any.

    Attributes:
        action: The whole of it, or its first word: ``key`` stands for ``key.create``, too.
        since: UNIX seconds, as `until`.
        before: Only records with a lower number: where a former page ended.
    """

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    since: float | None = None
    until: float | None = None
    before: int | None = None

    def conditions(self) -> "list[ColumnElement[bool]]":
        """Return the same as conditions on the table."""
        found: list[ColumnElement[bool]] = []
        if self.actor is not None:
            found.append(audit.c.actor == self.actor)
        if self.action is not None:
            whole = audit.c.action == self.action
            found.append(whole | audit.c.action.startswith(f"{self.action}.", autoescape=True))
        if self.target is not None:
            found.append(audit.c.target == self.target)
        if self.since is not None:
            found.append(audit.c.time >= self.since)
        if self.until is not None:
            found.append(audit.c.time < self.until)
        if self.before is not None:
            found.append(audit.c.seq < self.before)
        return found


async def append(
    connection: "AsyncConnection",
    *,
    subscription_id: str,
    at: float,
    actor: str,
    action: str,
    target: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Append one action in the transaction that does it, so that neither is without the other.

    It should be the last statement: others wait for their turn at the chain until it ends.
    """
    draft = AuditDraft(
        subscription_id=subscription_id,
        at=at,
        actor=actor,
        action=action,
        target=target,
        detail=detail or {},
    )
    await append_all(connection, [draft])


async def append_all(connection: "AsyncConnection", drafts: Sequence[AuditDraft]) -> None:
    """Append records, in their order, at the end of a transaction."""
    by_log = attrgetter("subscription_id")
    rows: list[dict[str, Any]] = []
    for log, its in groupby(sorted(drafts, key=by_log), by_log):  # sorted: nodes lock in one order
        seq, prev = await _take_head(connection, log)
        for draft in its:
            seq += 1
            record = _chained(draft, seq, prev)
            prev = record.hash
            rows.append(_columns(draft, record))
    if rows:
        await connection.execute(_INSERT, rows)


async def head_of(connection: "AsyncConnection", log: str) -> tuple[int, bytes]:
    """Return number and hash of a log's last record."""
    last = (
        await connection.execute(
            select(audit.c.seq, audit.c.hash)
            .where(audit.c.subscription_id == log)
            .order_by(audit.c.seq.desc())
            .limit(1)
        )
    ).first()
    if last is not None:
        return last.seq, last.hash
    signed = (
        await connection.execute(
            select(audit_checkpoints.c.document)
            .where(audit_checkpoints.c.subscription_id == log)
            .order_by(audit_checkpoints.c.seq.desc())
            .limit(1)
        )
    ).scalar_one_or_none()
    if signed is not None:  # all before it was deleted, by retention or by somebody else
        checkpoint = Checkpoint.model_validate_json(signed)
        return checkpoint.seq, checkpoint.digest
    return GENESIS_SEQ, genesis(log)


class AuditLog:
    """The audit log of one subscription."""

    def __init__(self, storage: "Storage", subscription_id: str) -> None:
        self._storage: Final = storage
        self._subscription_id: Final = subscription_id

    async def add(
        self,
        *,
        at: float,
        actor: str,
        action: str,
        target: str,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Append one action in a transaction of its own."""
        async with self._storage.write() as connection:
            await append(
                connection,
                subscription_id=self._subscription_id,
                at=at,
                actor=actor,
                action=action,
                target=target,
                detail=detail,
            )

    async def newest(self, wanted: AuditFilter | None = None, *, limit: int) -> list[AuditEntry]:
        """Return the newest records that *wanted* lets through, newest first."""
        conditions = [] if wanted is None else wanted.conditions()
        statement = (
            select(audit)
            .where(audit.c.subscription_id == self._subscription_id, *conditions)
            .order_by(audit.c.seq.desc())
            .limit(limit)
        )
        async with self._storage.read() as connection:
            rows = (await connection.execute(statement)).all()
        return [_entry(row) for row in rows]

    async def all(
        self, wanted: AuditFilter | None = None, *, after: int = GENESIS_SEQ
    ) -> "AsyncIterator[AuditEntry]":
        """Yield the records, the oldest first, a page at a time."""
        conditions = [] if wanted is None else wanted.conditions()
        while True:
            statement = (
                select(audit)
                .where(
                    audit.c.subscription_id == self._subscription_id,
                    audit.c.seq > after,
                    *conditions,
                )
                .order_by(audit.c.seq)
                .limit(_PAGE)
            )
            async with self._storage.read() as connection:
                rows = (await connection.execute(statement)).all()
            for row in rows:
                yield _entry(row)
            if len(rows) < _PAGE:
                return
            after = rows[-1].seq

    async def hash_at(self, seq: int) -> bytes | None:
        """Return the hash of one record; ``None`` if it is not there."""
        statement = select(audit.c.hash).where(
            audit.c.subscription_id == self._subscription_id, audit.c.seq == seq
        )
        async with self._storage.read() as connection:
            found: bytes | None = (await connection.execute(statement)).scalar_one_or_none()
            return found


async def _take_head(connection: "AsyncConnection", log: str) -> tuple[int, bytes]:
    """Return the end of a log, which is this transaction's until it ends."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        await connection.execute(_LOCK, {"log": log})
    return await head_of(connection, log)


def _chained(draft: AuditDraft, seq: int, prev: bytes) -> ChainedRecord:
    data = canonical(
        {
            "seq": seq,
            "time": record_time(draft.at),
            "actor": draft.actor,
            "action": draft.action,
            "target": draft.target,
            "detail": dict(draft.detail),
        }
    )
    return chained(seq, data, prev)


def _columns(draft: AuditDraft, record: ChainedRecord) -> dict[str, Any]:
    return {
        "subscription_id": draft.subscription_id,
        "seq": record.seq,
        "time": _exact(draft.at),
        "actor": draft.actor,
        "action": draft.action,
        "target": draft.target,
        "record": record.data.decode(),
        "prev": record.prev,
        "hash": record.hash,
    }


def _exact(seconds: float) -> float:
    """Return the time as the record has it: in whole milliseconds."""
    return int(seconds * 1000 + 0.5) / 1000


def _entry(row: "Row[Any]") -> AuditEntry:
    return AuditEntry(
        seq=row.seq,
        time=row.time,
        actor=row.actor,
        action=row.action,
        target=row.target,
        chained=ChainedRecord(row.seq, row.record.encode(), row.prev, row.hash),
    )
