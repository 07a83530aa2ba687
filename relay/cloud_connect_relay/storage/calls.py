"""The records of calls: what became of each, never what was in it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Boolean, and_, bindparam, delete, func, insert, not_, or_, select, update
from sqlalchemy.exc import IntegrityError

from cloud_connect.errors import Outcome
from cloud_connect_relay.ids import is_id
from cloud_connect_relay.storage.audit import append_all
from cloud_connect_relay.storage.tables import calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row, Update

    from cloud_connect_relay.storage.audit import AuditDraft
    from cloud_connect_relay.storage.call_search import CallFilter
    from cloud_connect_relay.storage.engine import Storage

__all__ = ["CallRecord", "CallState", "Calls", "CallsOfAll", "call_of"]


class CallState(StrEnum):
    """How far a call has come; the last three are where calls end."""

    ACCEPTED = "accepted"
    DISPATCHED = "dispatched"
    COMPLETED = "completed"
    NOT_EXECUTED = "not_executed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call.

    Attributes:
        final: Whether the outcome will not change any more.
        hops: Milliseconds per hop: all of it, and what its parts took.
        owner: The run of the node that carries it.
        upsert: Repeating it with the same key makes no second record.
        already_absent: It deleted what an earlier attempt of it had deleted.
    """

    id: str
    subscription_id: str
    key_id: str | None = None
    datasource_id: str | None = None
    connector_id: str | None = None
    operation: str
    resource: str | None = None
    idempotency_key: str | None = None
    fingerprint: str | None = None
    state: CallState
    outcome: Outcome | None = None
    final: bool = False
    status: int | None = None
    code: str | None = None
    detail: str | None = None
    started_at: float
    dispatched_at: float | None = None
    finished_at: float | None = None
    rows: int | None = None
    bytes: int | None = None
    hops: Mapping[str, float] = field(default_factory=dict)
    owner: str | None = None
    upsert: bool = False
    already_absent: bool = False

    @property
    def holds_key(self) -> bool:
        """Whether its idempotency key is bound to it: it is not known to have had no effect."""
        return self.idempotency_key is not None and self.state is not CallState.NOT_EXECUTED


# Statements are built once: the store joins equal ones of a batch into one.
_INSERT: Final = insert(calls)
_CHANGING: Final = (
    "connector_id",
    "state",
    "outcome",
    "final",
    "status",
    "code",
    "detail",
    "dispatched_at",
    "finished_at",
    "rows",
    "bytes",
    "hops",
    "owner",
    "upsert",
    "already_absent",
)
_UPDATE: Final = (
    update(calls)
    .where(calls.c.id == bindparam("this_id"))
    .values(
        {
            **{name: bindparam(f"new_{name}") for name in _CHANGING},
            # Only let go: a key that has expired may be another call's by now.
            "holds_key": and_(calls.c.holds_key, bindparam("new_holds_key", type_=Boolean)),
        }
    )
)
_SETTLE: Final = _UPDATE.where(calls.c.state == CallState.UNKNOWN)
_GIVEN_UP: Final = (
    "Its connector did not come back in time to tell; look in Procore for the record."
)
_LET_GO: Final = update(calls).where(calls.c.id == bindparam("this_id")).values(holds_key=False)


class Calls:
    """The calls of one subscription; what belongs to another does not exist here."""

    def __init__(self, storage: "Storage", subscription_id: str) -> None:
        self._storage: Final = storage
        self._subscription_id: Final = subscription_id

    async def find(self, call_id: str) -> CallRecord | None:
        """Return the call, or ``None`` when this subscription has no such one."""
        if not is_id("call", call_id):
            return None
        statement = select(calls).where(
            and_(calls.c.subscription_id == self._subscription_id, calls.c.id == call_id)
        )
        async with self._storage.read() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else call_of(row)

    async def latest(self, idempotency_key: str, *, since: float) -> CallRecord | None:
        """Return what became of *idempotency_key* since *since*.

        That is the call that it is bound to, or else the last attempt, which had no effect.
        """
        statement = (
            select(calls)
            .where(
                and_(
                    calls.c.subscription_id == self._subscription_id,
                    calls.c.idempotency_key == idempotency_key,
                    calls.c.started_at > since,
                )
            )
            .order_by(calls.c.holds_key.desc(), calls.c.started_at.desc(), calls.c.id.desc())
            .limit(1)
        )
        async with self._storage.read() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else call_of(row)

    async def holder(self, idempotency_key: str) -> CallRecord | None:
        """Return the call that *idempotency_key* is bound to."""
        statement = select(calls).where(
            calls.c.subscription_id == self._subscription_id,
            calls.c.idempotency_key == idempotency_key,
            calls.c.holds_key,
        )
        async with self._storage.read() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else call_of(row)

    async def newest(self, wanted: "CallFilter", *, limit: int) -> list[CallRecord]:
        """Return the newest calls that *wanted* lets through, at most *limit*."""
        statement = (
            select(calls)
            .where(calls.c.subscription_id == self._subscription_id, *wanted.conditions())
            .order_by(calls.c.started_at.desc(), calls.c.id.desc())
            .limit(limit)
        )
        async with self._storage.read() as connection:
            rows = (await connection.execute(statement)).all()
        return [call_of(row) for row in rows]


class CallsOfAll:
    """The calls of every subscription: for the service that runs them, not for callers."""

    def __init__(self, storage: "Storage") -> None:
        self._storage: Final = storage

    async def insert(self, record: CallRecord, *, audit: "AuditDraft | None" = None) -> None:
        """Store a new record, and *audit* with it; both are durable when this returns."""
        await self._storage.record(_INSERT, _columns(record), audit=audit)

    async def claim(self, record: CallRecord) -> bool:
        """Store a new record that binds its key; whether the key was free. It is durable then."""
        try:
            await self.insert(record)
        except IntegrityError:
            return False
        return True

    async def take_over(self, call_id: str, *, owner: str) -> bool:
        """Give an upsert of unknown outcome to another run; whether it was still unknown."""
        statement = (
            update(calls)
            .where(calls.c.id == call_id, calls.c.state == CallState.UNKNOWN, calls.c.upsert)
            .values(
                state=CallState.DISPATCHED, outcome=None, final=False, owner=owner, finished_at=None
            )
        )
        async with self._storage.write() as connection:
            return bool((await connection.execute(statement)).rowcount)

    async def let_go(self, call_id: str) -> None:
        """Free the key of a call."""
        await self._storage.record(_LET_GO, {"this_id": call_id})

    async def update(self, record: CallRecord, *, audit: "AuditDraft | None" = None) -> None:
        """Store what changed about a record, and *audit*; both are durable when this returns."""
        await self._storage.record(_UPDATE, _changes(record), audit=audit)

    async def settle(self, record: CallRecord, *, audit: "AuditDraft | None" = None) -> None:
        """As :meth:`update`, unless somebody knows more of the call by now, or tries it again."""
        await self._storage.record(_SETTLE, _changes(record), audit=audit)

    async def insert_all(
        self, records: Iterable[CallRecord], *, audit: "Sequence[AuditDraft]" = ()
    ) -> None:
        """Store many new records, and *audit*, in one transaction."""
        async with self._storage.write() as connection:
            await connection.execute(_INSERT, [_columns(record) for record in records])
            await append_all(connection, audit)

    async def update_all(
        self, records: Iterable[CallRecord], *, audit: "Sequence[AuditDraft]" = ()
    ) -> None:
        """Store what changed about many records, and *audit*, in one transaction."""
        await self._change_all(_UPDATE, records, audit)

    async def settle_all(
        self, records: Iterable[CallRecord], *, audit: "Sequence[AuditDraft]" = ()
    ) -> None:
        """As :meth:`settle`, for many in one transaction."""
        await self._change_all(_SETTLE, records, audit)

    async def _change_all(
        self, statement: "Update", records: Iterable[CallRecord], audit: "Sequence[AuditDraft]"
    ) -> None:
        changes = [_changes(record) for record in records]
        if changes:
            async with self._storage.write() as connection:
                await connection.execute(statement, changes)
                await append_all(connection, audit)

    async def unresolved(self, connector_id: str, *, limit: int) -> list[CallRecord]:
        """Return the calls of a connector whose outcome its journal may still tell."""
        statement = (
            select(calls)
            .where(
                and_(
                    calls.c.state == CallState.UNKNOWN,
                    calls.c.connector_id == connector_id,
                    calls.c.final.is_(False),
                )
            )
            .order_by(calls.c.started_at)
            .limit(limit)
        )
        async with self._storage.read() as connection:
            rows = (await connection.execute(statement)).all()
        return [call_of(row) for row in rows]

    async def open_connectors(self, *, but: str) -> set[str]:
        """Return the connectors whose journals may still tell the outcome of a call.

        Args:
            but: How the details end of calls of which they have told all they know.
        """
        told = func.coalesce(calls.c.detail, "").endswith(but, autoescape=True)
        statement = (
            select(calls.c.connector_id)
            .distinct()
            .where(
                calls.c.state == CallState.UNKNOWN,
                calls.c.final.is_(False),
                calls.c.connector_id.is_not(None),
                not_(and_(calls.c.upsert, told)),
            )
        )
        async with self._storage.read() as connection:
            return set((await connection.execute(statement)).scalars())

    async def named(self, call_ids: Iterable[str]) -> list[CallRecord]:
        """Return those of the calls that are known, whomever they belong to."""
        statement = select(calls).where(calls.c.id.in_(list(call_ids)))
        async with self._storage.read() as connection:
            rows = (await connection.execute(statement)).all()
        return [call_of(row) for row in rows]

    async def forget(self, *, before: float, unknown_before: float) -> int:
        """Delete ended calls that started before *before*; return how many.

        What became of an older one no journal tells any more: it is unknown for good.

        Args:
            unknown_before: The same for calls of unknown outcome, which people may look for.
        """
        given_up = (
            update(calls)
            .where(
                calls.c.state == CallState.UNKNOWN,
                calls.c.final.is_(False),
                calls.c.started_at < before,
            )
            .values(final=True, detail=func.coalesce(calls.c.detail + " ", "") + _GIVEN_UP)
        )
        statement = delete(calls).where(
            or_(
                and_(calls.c.started_at < before, calls.c.state != CallState.UNKNOWN),
                calls.c.started_at < unknown_before,
            )
        )
        async with self._storage.write() as connection:
            await connection.execute(given_up)
            return (await connection.execute(statement)).rowcount


def _columns(record: CallRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "subscription_id": record.subscription_id,
        "key_id": record.key_id,
        "datasource_id": record.datasource_id,
        "operation": record.operation,
        "resource": record.resource,
        "idempotency_key": record.idempotency_key,
        "fingerprint": record.fingerprint,
        "started_at": record.started_at,
        "holds_key": record.holds_key,
        **_changing(record),
    }


def _changes(record: CallRecord) -> dict[str, Any]:
    changing = {f"new_{name}": value for name, value in _changing(record).items()}
    return {"this_id": record.id, "new_holds_key": record.holds_key, **changing}


def _changing(record: CallRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in _CHANGING} | {"hops": dict(record.hops)}


def call_of(row: "Row[Any]") -> CallRecord:
    """Return a row of the table as a record."""
    return CallRecord(
        id=row.id,
        subscription_id=row.subscription_id,
        key_id=row.key_id,
        datasource_id=row.datasource_id,
        connector_id=row.connector_id,
        operation=row.operation,
        resource=row.resource,
        idempotency_key=row.idempotency_key,
        fingerprint=row.fingerprint,
        state=CallState(row.state),
        outcome=None if row.outcome is None else Outcome(row.outcome),
        final=row.final,
        status=row.status,
        code=row.code,
        detail=row.detail,
        started_at=row.started_at,
        dispatched_at=row.dispatched_at,
        finished_at=row.finished_at,
        rows=row.rows,
        bytes=row.bytes,
        hops=row.hops or {},
        owner=row.owner,
        upsert=row.upsert,
        already_absent=row.already_absent,
    )
