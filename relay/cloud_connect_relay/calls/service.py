"""The call service: what the API asks for a call, from its admission to its record."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Final, Self

import structlog

from cloud_connect.errors import NotFoundError
from cloud_connect_relay.calls.answer import Answer
from cloud_connect_relay.calls.coalescing import Coalescing
from cloud_connect_relay.calls.dispatch import Dispatcher, Upload
from cloud_connect_relay.calls.idempotency import KEY_RETENTION
from cloud_connect_relay.calls.journals import Journals
from cloud_connect_relay.calls.keys import IdempotencyKeys
from cloud_connect_relay.calls.ledger import Ledger
from cloud_connect_relay.calls.lifecycle import Lifecycle
from cloud_connect_relay.calls.quotas import Quotas
from cloud_connect_relay.calls.reads import Reads
from cloud_connect_relay.calls.recovery import Recovery
from cloud_connect_relay.calls.resolution import Resolution
from cloud_connect_relay.calls.results import Results
from cloud_connect_relay.calls.running import RunningCalls
from cloud_connect_relay.calls.sources import DataSourceDirectory
from cloud_connect_relay.calls.tenure import Tenure
from cloud_connect_relay.calls.turn_desk import TurnDesk
from cloud_connect_relay.calls.writes import Writes
from cloud_connect_relay.events.calls import CallEvents
from cloud_connect_relay.events.hub import EventHub
from cloud_connect_relay.router import Router
from cloud_connect_relay.storage.calls import CallRecord, CallsOfAll
from cloud_connect_relay.storage.nodes import Nodes
from cloud_connect_relay.waiting_lines import WaitingLines

if TYPE_CHECKING:
    from cloud_connect.calls import ReportedResult
    from cloud_connect_relay.calls.auditing import Keyed
    from cloud_connect_relay.calls.spec import CallSpec
    from cloud_connect_relay.gateway.registry import Registry
    from cloud_connect_relay.metrics import Metrics
    from cloud_connect_relay.settings import CallSettings
    from cloud_connect_relay.storage import Storage
    from cloud_connect_relay.storage.call_search import CallFilter
    from cloud_connect_relay.storage.nodes import Interrupted

__all__ = ["CallService"]

log = structlog.get_logger(__name__)


class CallService:
    """Runs calls and tells what became of them.

    Attributes:
        settings: Deadlines and limits of calls.
        sources: The data sources, remembered for a moment.
        quotas: What subscriptions and keys may take.
    """

    def __init__(
        self,
        *,
        storage: "Storage",
        registry: "Registry",
        metrics: "Metrics",
        settings: "CallSettings",
        ledger: Ledger,
        tasks: asyncio.TaskGroup,
        hub: EventHub,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings: Final = settings
        self.sources: Final = DataSourceDirectory(storage)
        self._storage: Final = storage
        self._records: Final = CallsOfAll(storage)
        self.quotas: Final = Quotas(
            max_running=settings.max_running, cancel_burst=settings.cancel_burst
        )
        self._running: Final = RunningCalls(self.quotas, clock=clock)
        self._ledger: Final = ledger
        self._clock: Final = clock
        events = CallEvents(hub)
        lifecycle = Lifecycle(self._running, self._ledger, metrics, events, clock=clock)
        lines = WaitingLines(max_calls=settings.max_queued, max_bytes=settings.max_queued_bytes)
        self._lines: Final = lines
        router = Router(
            registry, storage, connector_wait=settings.connector_wait, clock=clock, lines=lines
        )
        self._desk: Final = TurnDesk(registry, settings)
        dispatcher = Dispatcher(router, self._desk, self._ledger, clock=clock)
        journals = Journals(registry, clock=clock)
        self._resolution: Final = Resolution(registry, journals, self._records, events, clock=clock)
        recovery = Recovery(journals, self._resolution)
        self._results: Final = Results(
            self._running, self._ledger, self._records, events, clock=clock
        )
        self._keys: Final = IdempotencyKeys(
            storage=storage,
            records=self._records,
            running=self._running,
            ledger=ledger,
            lifecycle=lifecycle,
            resolution=self._resolution,
            recovery=recovery,
            clock=clock,
        )
        self._reads: Final = Reads(dispatcher, lifecycle)
        self._lifecycle: Final = lifecycle
        self._writes: Final = Writes(
            dispatcher=dispatcher,
            ledger=ledger,
            lifecycle=lifecycle,
            recovery=recovery,
            resolution=self._resolution,
            tasks=tasks,
        )
        self._coalescing: Final = Coalescing(
            tasks, admit=lifecycle.admit, run=self._writes.run, window=settings.insert_window
        )
        metrics.calls_running.set_function(lambda: len(self._running))
        metrics.calls_queued.set_function(lambda: self._desk.waiting + len(lines))
        metrics.queued_bytes.set_function(lambda: self._desk.waiting_bytes + lines.held_bytes)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        *,
        storage: "Storage",
        registry: "Registry",
        metrics: "Metrics",
        settings: "CallSettings",
        node: str = "node-1",
        alone: bool = True,
        keyed: "Keyed | None" = None,
        hub: EventHub | None = None,
        clock: Callable[[], float] = time.time,
    ) -> AsyncIterator[Self]:
        """Run the service; first settle what a former process left running.

        When the block ends, writes that still run are recorded as unknown: drain before.

        Args:
            node: This process's name among those that share the store.
            alone: No other process can serve the store.
            keyed: Makes digests for the audit log by which nobody can guess of what.
            hub: Who hears of calls.
        """
        tenure = Tenure(Nodes(storage), node=node, alone=alone, wall_clock=clock)
        async with asyncio.TaskGroup() as recording:
            ledger = Ledger(CallsOfAll(storage), tenure, keyed=keyed)
            writing = recording.create_task(ledger.run(), name="call-ledger")
            try:
                async with asyncio.TaskGroup() as tasks:
                    service = cls(
                        storage=storage,
                        registry=registry,
                        metrics=metrics,
                        settings=settings,
                        ledger=ledger,
                        tasks=tasks,
                        hub=hub or EventHub(),
                        clock=clock,
                    )
                    service._interrupted(await tenure.begin())
                    loops = [
                        tasks.create_task(service._resolution.run(), name="call-resolution"),
                        tasks.create_task(tenure.keep(service._interrupted), name="call-tenure"),
                        tasks.create_task(service._desk.follow(), name="call-turns"),
                    ]
                    try:
                        yield service
                    finally:
                        for loop in loops:
                            loop.cancel()
                        service._writes.stop()
            finally:
                ledger.close()
                await writing
                await tenure.end()

    @property
    def running(self) -> int:
        """How many calls run at this moment."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many of them wait for a connector to come back."""
        return len(self._lines)

    def drain(self) -> None:
        """Take no more calls; those that wait for a connector are refused, the others go on."""
        self._running.close()

    async def quiet(self) -> None:
        """Wait until no call runs."""
        await self._running.quiet()

    def read(
        self, spec: "CallSpec", *, upload: Upload | None = None
    ) -> contextlib.AbstractAsyncContextManager[Answer]:
        """Run a read and hold its answer; leaving the block early cancels it at the source.

        Raises:
            CloudConnectError: Why there is no answer, or why its body broke off.
        """
        return self._reads.run(spec, upload=upload)

    @contextlib.asynccontextmanager
    async def write(
        self, spec: "CallSpec", *, upload: Upload | None = None, streams: bool = False
    ) -> AsyncIterator[Answer]:
        """Run a write, at most once, and hold its answer, or the one that its key got before.

        Args:
            upload: A body that comes piece by piece; such a write has no key.
            streams: Pass the answer's body on as it comes, instead of whole.

        Raises:
            CloudConnectError: Why there is no answer; its outcome says what is certain.
        """
        if spec.coalesces:
            async with self._coalescing.join(spec) as answer:
                yield answer
            return
        if spec.idempotency_key is None:
            call = self._lifecycle.admit(spec)
        else:
            claimed = await self._keys.claim(spec, spec.idempotency_key)
            if isinstance(claimed, Answer):
                yield claimed
                return
            call = claimed
            self._lifecycle.bound(call)
        async with self._writes.run(call, upload=upload, streams=streams) as answer:
            yield answer

    async def find(self, subscription_id: str, call_id: str) -> CallRecord:
        """Return the call, its outcome as certain as it can be now.

        Raises:
            NotFoundError: If the subscription has no such call.
        """
        running = self._running.find(subscription_id, call_id)
        if running is not None:
            return running.record()
        waiting = self._ledger.find(subscription_id, call_id)
        if waiting is not None:
            return waiting
        stored = await self._storage.of(subscription_id).calls.find(call_id)
        if stored is None:
            raise NotFoundError("There is nothing here, or it is not yours.")
        return await self._resolution.resolve(stored)

    async def find_by_key(self, subscription_id: str, key: str) -> CallRecord:
        """Return the latest attempt with the idempotency key.

        Raises:
            NotFoundError: If there was none within the keys' retention.
        """
        running = self._running.with_key(subscription_id, key)
        if running is not None and (running.stored or running.started):
            return running.record()
        await self._ledger.flush()
        calls = self._storage.of(subscription_id).calls
        stored = await calls.latest(key, since=self._clock() - KEY_RETENTION)
        if stored is not None:
            return await self._resolution.resolve(stored)
        if running is not None:
            return running.record()
        raise NotFoundError("No call came with this idempotency key within the last 24 hours.")

    async def newest(
        self, subscription_id: str, wanted: "CallFilter", *, limit: int
    ) -> list[CallRecord]:
        """Return the newest calls that *wanted* lets through, running ones included."""
        await self._ledger.flush()
        stored = await self._storage.of(subscription_id).calls.newest(wanted, limit=limit)
        found = {record.id: record for record in stored}
        for call in self._running.of(subscription_id):
            record = call.record()
            if wanted.matches(record):
                found[record.id] = record
            else:
                found.pop(record.id, None)
        return sorted(found.values(), key=lambda one: (one.started_at, one.id), reverse=True)[
            :limit
        ]

    def _interrupted(self, left: "Interrupted") -> None:
        """Take over calls that a process which is gone left behind."""
        if left:
            log.warning("calls_interrupted", undispatched=left.undispatched, unknown=left.unknown)
            self._resolution.expect_all()

    async def take_results(
        self, connector_id: str, results: "Sequence[ReportedResult]", *, since: float
    ) -> list[str]:
        """Note what the connector's journal says of its calls, durably.

        Args:
            since: When the session began over which it says so, in UNIX seconds.

        Returns:
            The ids of those that need not be told again.
        """
        return await self._results.take(connector_id, results, since=since)

    async def forget(self) -> int:
        """Delete the records of calls whose retention is over; return how many."""
        now, retention = self._clock(), self.settings.retention
        return await self._records.forget(
            before=now - retention, unknown_before=now - 2 * retention
        )
