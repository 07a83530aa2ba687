"""Calls whose outcome is not known: asked for at the agents' journals until they tell."""

import asyncio
import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from cloud_connect.errors import ErrorCode, Outcome
from cloud_connect_relay.storage.calls import CallRecord, CallsOfAll, CallState

if TYPE_CHECKING:
    from cloud_connect_relay.calls.journals import Finding, Journals
    from cloud_connect_relay.gateway.registry import LiveSession, Registry

__all__ = ["Resolution", "settled_by"]

log = structlog.get_logger(__name__)

_RETRY_SECONDS: Final = 2.0  # between two questions about a call that still runs at its agent
_MAX_BATCH: Final = 2000  # calls of one connector asked for in one go
_PARALLEL: Final = 16  # questions to one journal at once
_LONGEST_CALL: Final = 360.0  # seconds: the longest deadline, and what a started write has beyond
_ADVICE: Final = (
    "The connector's PC stopped while the write was on its way to Procore, and Procore tells"
    " nobody whether it came through. Look there for the record before you repeat the write."
)


class Resolution:
    """Settles unknown calls when their agent is back, and on request."""

    def __init__(
        self,
        registry: "Registry",
        journals: "Journals",
        calls: CallsOfAll,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry: Final = registry
        self._journals: Final = journals
        self._calls: Final = calls
        self._clock: Final = clock
        self._asked: Final[dict[str, LiveSession]] = {}
        self._again: Final[set[str]] = set()
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
        await self._calls.update(settled)
        log.info("call_resolved", call_id=record.id, outcome=settled.outcome)
        return settled

    def _conclusive(self, record: CallRecord, finding: "Finding") -> bool:
        if finding.outcome is None:
            return False
        if finding.heard:
            return True
        # Over the session that carried the call it may still be on its way into the journal.
        dispatched = record.dispatched_at or record.started_at
        return finding.since > dispatched or self._clock() - dispatched > _LONGEST_CALL

    def expect(self, connector_id: str | None) -> None:
        """Ask the connector's journal again soon: a call of it has ended without an outcome."""
        if connector_id is not None:
            self._again.add(connector_id)
            self._news.set()

    async def run(self) -> None:
        """Resolve what can be resolved whenever an agent connects; runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch(), name="call-resolution-watch")
            while True:
                self._news.clear()
                for live in self._registry:
                    if self._asked.get(live.connector_id) is not live:
                        self._again.add(live.connector_id)
                        self._asked[live.connector_id] = live
                await self._sweep()
                try:
                    async with asyncio.timeout(_RETRY_SECONDS if self._again else None):
                        await self._news.wait()
                except TimeoutError:
                    continue

    async def _watch(self) -> None:
        while True:
            await self._registry.changed()
            self._news.set()

    async def _sweep(self) -> None:
        for connector_id in tuple(self._again):
            if self._registry.get(connector_id) is None:
                self._asked.pop(connector_id, None)
                self._again.discard(connector_id)  # it is asked when it is back
                continue
            try:
                if not await self._resolve_all(connector_id):
                    self._again.discard(connector_id)
            except (SQLAlchemyError, OSError):
                log.exception("calls_not_resolved", connector_id=connector_id)

    async def _resolve_all(self, connector_id: str) -> bool:
        """Ask for all unresolved calls of a connector; return whether some are still open."""
        records = await self._calls.unresolved(connector_id, limit=_MAX_BATCH)
        turns = asyncio.Semaphore(_PARALLEL)
        open_calls = 0

        async def resolve(record: CallRecord) -> None:
            nonlocal open_calls
            async with turns:
                settled = await self.resolve(record)
            open_calls += not settled.final

        async with asyncio.TaskGroup() as tasks:
            for record in records:
                tasks.create_task(resolve(record), name=f"resolve-{record.id}")
        return open_calls > 0


def settled_by(record: CallRecord, finding: "Finding", *, now: float) -> CallRecord:
    """Return *record* with the outcome of *finding*, which is then final."""
    match finding.outcome:
        case Outcome.UNKNOWN | None:
            return dataclasses.replace(record, final=True, detail=_ADVICE)
        case Outcome.COMPLETED:
            return dataclasses.replace(
                record,
                state=CallState.COMPLETED,
                outcome=Outcome.COMPLETED,
                final=True,
                status=finding.status or record.status,
                code=finding.code,
                detail=finding.detail,
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
