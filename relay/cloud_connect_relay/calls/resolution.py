"""Calls whose outcome is not known: asked for at the agents' journals until they tell."""

import asyncio
import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from cloud_connect.errors import ErrorCode, Outcome
from cloud_connect_relay.calls.auditing import drafts_of_resolutions
from cloud_connect_relay.storage.calls import CallRecord, CallsOfAll, CallState

if TYPE_CHECKING:
    from cloud_connect_relay.calls.journals import Finding, Journals
    from cloud_connect_relay.events.calls import CallEvents
    from cloud_connect_relay.gateway.registry import LiveSession, Registry

__all__ = ["Resolution", "settled_by"]

log = structlog.get_logger(__name__)

_RETRY_SECONDS: Final = 2.0  # between two questions about a call that still runs at its agent
_SWEEP_SECONDS: Final = 5.0
_MAX_BATCH: Final = 2000  # calls of one connector asked for in one go
_PARALLEL: Final = 64  # questions to one journal at once
_CONNECTORS: Final = 16  # whose calls are looked up in the store at once
_GATHER_SECONDS: Final = 0.1  # how long sessions that come together are noticed together
_LONGEST_CALL: Final = 360.0  # seconds: the longest deadline, and what a started write has beyond
_NO_REASON: Final = "Whether the write was carried out is not known."
_REPEAT: Final = "Repeat it with the same Idempotency-Key: it makes no second record."
_ADVICE: Final = "Look in Procore for the record before you repeat the write."


class Resolution:
    """Settles unknown calls when their agent is back, and on request."""

    def __init__(
        self,
        registry: "Registry",
        journals: "Journals",
        calls: CallsOfAll,
        events: "CallEvents",
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._events: Final = events
        self._registry: Final = registry
        self._journals: Final = journals
        self._calls: Final = calls
        self._clock: Final = clock
        self._asked: dict[str, LiveSession] = {}
        self._due: Final[set[str]] = set()
        self._busy: Final[set[str]] = set()
        self._turns: Final = asyncio.Semaphore(_CONNECTORS)
        self._news: Final = asyncio.Event()

    async def ask(self, record: CallRecord) -> "Finding | None":
        """Return what the agent's journal tells for certain; ``None`` if nothing, as yet."""
        finding = await self._journals.find(record)
        return finding if finding and self._conclusive(record, finding) else None

    async def resolve(self, record: CallRecord) -> CallRecord:
        """Return *record* as its agent's journal settles it, if it can be asked now."""
        if record.state is not CallState.UNKNOWN or record.final:
            return record
        finding = await self.ask(record)
        if finding is None:
            return record
        settled = settled_by(record, finding, now=self._clock())
        drafts = drafts_of_resolutions([record], [settled])
        await self._calls.settle(settled, audit=drafts[0] if drafts else None)
        (stored,) = await self._calls.named([record.id]) or (settled,)
        if (stored.state, stored.final) == (settled.state, settled.final):  # else others knew more
            log.info("call_resolved", call_id=record.id, outcome=settled.outcome)
            self._events.settled(settled)
        return stored

    def _conclusive(self, record: CallRecord, finding: "Finding") -> bool:
        if finding.outcome is None:
            return False
        if finding.heard:
            return True
        # Over the session that carried the call it may still be on its way into the journal.
        dispatched = record.dispatched_at or record.started_at
        return finding.since > dispatched or self._clock() - dispatched > _LONGEST_CALL

    def expect(self, connector_id: str | None) -> None:
        """Ask the connector's journal soon: a call of it has ended without an outcome."""
        if connector_id is not None:
            self._due.add(connector_id)
            self._news.set()

    def expect_all(self) -> None:
        """Ask every journal in reach soon: a node that is gone left calls of unknown outcome."""
        self._asked = {}
        self._news.set()

    async def run(self) -> None:
        """Resolve what can be resolved whenever an agent connects; runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch(), name="call-resolution-watch")
            tasks.create_task(self._sweep(), name="call-resolution-sweep")
            while True:
                self._news.clear()
                self._notice_sessions()
                for connector_id in self._due - self._busy:
                    self._due.discard(connector_id)
                    self._busy.add(connector_id)
                    tasks.create_task(self._settle(connector_id), name=f"resolve-{connector_id}")
                await self._news.wait()
                await asyncio.sleep(_GATHER_SECONDS)

    async def _watch(self) -> None:
        while True:
            await self._registry.changed()
            self._news.set()

    async def _sweep(self) -> None:
        """Look for calls that nobody expects here: another node had them, or the store was away."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                found = await self._calls.open_connectors(but=_REPEAT)
            except (SQLAlchemyError, OSError) as error:
                log.warning("unknown_calls_not_looked_for", reason=type(error).__name__)
                continue
            for connector_id in found - self._busy:
                if self._registry.get(connector_id) is not None:
                    self.expect(connector_id)

    def _notice_sessions(self) -> None:
        """Ask each session's journal once when it is there; forget those that are gone."""
        live = {one.connector_id: one for one in self._registry}
        self._due.update(
            connector_id
            for connector_id, session in live.items()
            if self._asked.get(connector_id) is not session
        )
        self._asked = live

    async def _settle(self, connector_id: str) -> None:
        """Ask a connector's journal until none of its calls is open, or it is gone."""
        try:
            while self._registry.get(connector_id) is not None:
                try:
                    async with self._turns:
                        if await self._resolve_all(connector_id):
                            return
                except* (SQLAlchemyError, OSError):  # calls are resolved side by side
                    log.exception("calls_not_resolved", connector_id=connector_id)
                await asyncio.sleep(_RETRY_SECONDS)
        finally:
            self._busy.discard(connector_id)
            if connector_id in self._due:
                self._news.set()

    async def _resolve_all(self, connector_id: str) -> bool:
        """Ask for the unresolved calls of a connector; return whether none is left open."""
        records = await self._calls.unresolved(connector_id, limit=_MAX_BATCH)
        turns = asyncio.Semaphore(_PARALLEL)
        settled = 0

        async def resolve(record: CallRecord) -> None:
            nonlocal settled
            async with turns:
                told = await self.resolve(record)
                settled += told.final or _waits_for_a_repeat(told)

        async with asyncio.TaskGroup() as tasks:
            for record in records:
                tasks.create_task(resolve(record), name=f"resolve-{record.id}")
        return settled == len(records) < _MAX_BATCH


def _waits_for_a_repeat(record: CallRecord) -> bool:
    """Whether the journal has told all it knows, and a repeat by the caller may tell more."""
    return record.upsert and (record.detail or "").endswith(_REPEAT)


def settled_by(record: CallRecord, finding: "Finding", *, now: float) -> CallRecord:
    """Return *record* with the outcome of *finding*, which is then final."""
    match finding.outcome:
        case Outcome.UNKNOWN | Outcome.NOT_EXECUTED | None if record.upsert:
            # Another connector may have carried it out: nothing of it is certain but a completion.
            if _waits_for_a_repeat(record):
                return record
            reason = finding.detail or record.detail or _NO_REASON
            return dataclasses.replace(record, detail=f"{reason} {_REPEAT}")
        case Outcome.UNKNOWN | None:
            reason = finding.detail or record.detail or _NO_REASON
            return dataclasses.replace(record, final=True, detail=f"{reason} {_ADVICE}")
        case Outcome.COMPLETED:
            return dataclasses.replace(
                record,
                state=CallState.COMPLETED,
                outcome=Outcome.COMPLETED,
                final=True,
                status=finding.status,  # a record of unknown outcome has the failure's
                code=finding.code,
                detail=finding.detail,
                already_absent=finding.already_absent,
                finished_at=record.finished_at or now,
            )
        case Outcome.NOT_EXECUTED:
            return dataclasses.replace(
                record,
                state=CallState.NOT_EXECUTED,
                outcome=Outcome.NOT_EXECUTED,
                final=True,
                status=finding.status,
                code=finding.code or ErrorCode.CONNECTOR_OFFLINE,
                detail=finding.detail or "The call did not reach Procore.",
                finished_at=record.finished_at or now,
            )
