"""The relay processes that share this store, and what those that are gone left behind."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, delete, insert, or_, select, update

from cloud_connect.errors import Outcome
from cloud_connect_relay.storage.audit import append_all
from cloud_connect_relay.storage.call_audits import draft_of_call
from cloud_connect_relay.storage.calls import CallState, call_of
from cloud_connect_relay.storage.tables import calls, relay_nodes

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

    from cloud_connect_relay.storage.engine import Storage

__all__ = ["Interrupted", "NodeRun", "Nodes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRun:
    """One run of a node's process.

    Attributes:
        beats: How often it has said that it lives.
    """

    id: str
    name: str
    beats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """How many calls of gone processes were settled.

    Attributes:
        undispatched: Those that certainly had no effect.
        unknown: Those that may have had one.
    """

    undispatched: int = 0
    unknown: int = 0

    def __bool__(self) -> bool:
        """Whether there were any."""
        return bool(self.undispatched or self.unknown)


class Nodes:
    """All runs of relay processes on this store."""

    def __init__(self, storage: "Storage") -> None:
        self._storage: Final = storage

    async def enter(self, run_id: str, *, name: str, at: float) -> None:
        """List a run that begins."""
        async with self._storage.write() as connection:
            await connection.execute(
                insert(relay_nodes).values(id=run_id, name=name, started_at=at, beats=0)
            )

    async def beat(self, run_id: str) -> bool:
        """Say that a run lives; whether it is listed still."""
        statement = (
            update(relay_nodes)
            .where(relay_nodes.c.id == run_id)
            .values(beats=relay_nodes.c.beats + 1)
        )
        async with self._storage.write() as connection:
            return bool((await connection.execute(statement)).rowcount)

    async def leave(self, run_id: str) -> None:
        """Unlist a run that has ended in order."""
        async with self._storage.write() as connection:
            await connection.execute(delete(relay_nodes).where(relay_nodes.c.id == run_id))

    async def all(self) -> list[NodeRun]:
        """Return the runs that are listed."""
        statement = select(relay_nodes.c.id, relay_nodes.c.name, relay_nodes.c.beats)
        async with self._storage.read() as connection:
            rows = (await connection.execute(statement)).all()
        return [NodeRun(id=row.id, name=row.name, beats=row.beats) for row in rows]

    async def bury(self, run: NodeRun) -> Interrupted | None:
        """Settle what a run left and unlist it; ``None`` if it has said something since."""
        statement = delete(relay_nodes).where(
            relay_nodes.c.id == run.id, relay_nodes.c.beats == run.beats
        )
        async with self._storage.write() as connection:
            if not (await connection.execute(statement)).rowcount:
                return None
            return await _settle(connection, calls.c.owner == run.id)

    async def settle_orphans(self) -> Interrupted:
        """Settle calls that run nowhere, as their process is not listed any more."""
        listed = select(relay_nodes.c.id)
        async with self._storage.write() as connection:
            return await _settle(
                connection, or_(calls.c.owner.is_(None), calls.c.owner.not_in(listed))
            )


async def _settle(connection: "AsyncConnection", theirs: "ColumnElement[bool]") -> Interrupted:
    accepted = (
        update(calls)
        .where(and_(calls.c.state == CallState.ACCEPTED, theirs))
        .values(
            state=CallState.NOT_EXECUTED,
            outcome=Outcome.NOT_EXECUTED,
            final=True,
            holds_key=False,
            detail="The relay was restarted before the call was dispatched.",
            finished_at=calls.c.started_at,
        )
    )
    dispatched = (
        update(calls)
        .where(and_(calls.c.state == CallState.DISPATCHED, theirs))
        .values(
            state=CallState.UNKNOWN,
            outcome=Outcome.UNKNOWN,
            detail="The relay was restarted while the call ran.",
            finished_at=calls.c.dispatched_at,
        )
    )
    first = await connection.execute(accepted)
    under_way = and_(calls.c.state == CallState.DISPATCHED, theirs)
    left = (await connection.execute(select(calls).where(under_way))).all()
    second = await connection.execute(dispatched)
    # Those are writes: of reads nothing is stored before they end.
    drafts = [
        draft_of_call(replace(call_of(row), code="relay_restarted"), action="call.write")
        for row in left
    ]
    await append_all(connection, drafts)
    return Interrupted(undispatched=first.rowcount, unknown=second.rowcount)
