"""The record of every call: durable where a write depends on it, in the background elsewhere."""

import asyncio
import itertools
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from cloud_connect.errors import InternalError
from cloud_connect_relay.calls.auditing import draft_of_write, drafts_of_reads
from cloud_connect_relay.storage.calls import CallRecord, CallsOfAll

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloud_connect_relay.calls.auditing import Keyed
    from cloud_connect_relay.calls.running import RunningCall
    from cloud_connect_relay.calls.tenure import Tenure
    from cloud_connect_relay.storage.audit import AuditDraft

__all__ = ["Ledger"]

log = structlog.get_logger(__name__)

_GATHER_SECONDS: Final = 0.25  # how long finished calls wait for company in one transaction
_RETRY_SECONDS: Final = 1.0  # how long to leave a store alone that just failed
_MAX_BATCH: Final = 1000  # records in one transaction
_NOT_RECORDED: Final = "The relay cannot record the call, so it was not executed; repeat it later."
# Records kept in memory while the store is away. Then the oldest go, those of reads first: the
# outcome of a write is told to whoever asks for it.
_MAX_WAITING: Final = 50_000


class Ledger:
    """Writes the records of calls.

    A read's record is written after its answer, together with its neighbours': no caller waits
    for the disk. A write's record is on disk before the agent hears of the write.
    """

    def __init__(
        self, calls: CallsOfAll, tenure: "Tenure", *, keyed: "Keyed | None" = None
    ) -> None:
        self._calls: Final = calls
        self._keyed: Final = keyed
        self._tenure: Final = tenure
        self._waiting: Final[dict[str, RunningCall]] = {}
        self._reads: Final[dict[str, None]] = {}  # of what waits, what is dropped first
        self._arrived: Final = asyncio.Event()
        self._flushing: Final = asyncio.Lock()
        self._closing = False

    async def claim(self, call: "RunningCall") -> bool:
        """Store, durably, that *call* is accepted and binds its key; whether the key was free.

        Raises:
            InternalError: If that cannot be stored; the call must not go on.
        """
        call.owner = self._tenure.run_id
        call.claimed = True
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            call.stored = await self._calls.claim(call.record())
        except (SQLAlchemyError, OSError) as error:
            log.exception("call_not_recorded", call_id=call.id)
            raise InternalError(_NOT_RECORDED) from error
        finally:
            call.times.recorded += loop.time() - began
        call.claimed = call.stored
        call.changed = not call.stored
        return call.stored

    def has(self, call: "RunningCall", holder: CallRecord | None) -> bool:
        """Whether *holder*, which has its key, is the record of *call* itself.

        The store took it then, and lost its word that it did.
        """
        if holder is None or holder.id != call.id:
            return False
        call.claimed = call.stored = True
        call.changed = False
        return True

    def is_ours(self, record: CallRecord) -> bool:
        """Whether the call of *record* is this node's to carry out, as long as it lives."""
        return record.owner == self._tenure.run_id

    async def take_over(self, call: "RunningCall", record: CallRecord) -> bool:
        """Store, durably, that *call* goes on with *record*; whether nobody else does.

        Raises:
            InternalError: If that cannot be stored; the call must not go on.
        """
        owner = self._tenure.run_id
        try:
            taken = await self._calls.take_over(record.id, owner=owner)
        except (SQLAlchemyError, OSError) as error:
            log.exception("call_not_recorded", call_id=record.id)
            raise InternalError(_NOT_RECORDED) from error
        if taken:
            call.owner = owner
        return taken

    async def dispatching(self, call: "RunningCall") -> None:
        """Store, durably, that *call* is accepted or about to be dispatched.

        Raises:
            InternalError: If that cannot be stored; the call must not go on.
        """
        if not call.stored:
            call.owner = self._tenure.run_id
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await self._store(call)
        except (SQLAlchemyError, OSError) as error:
            log.exception("call_not_recorded", call_id=call.id)
            raise InternalError(_NOT_RECORDED) from error
        finally:
            call.times.recorded += loop.time() - began
        # Judged after the commit: before it, another node may have settled the call.
        if not self._tenure.covers(call.owner):
            log.error("call_not_ours", call_id=call.id)
            raise InternalError(
                "The relay was cut off from its database for a while, so the call was not"
                " executed; repeat it."
            )

    async def settled(self, call: "RunningCall") -> None:
        """Store the end of a write, durably; if the store is away, as soon as it is back."""
        try:
            await self._store(call)
        except (SQLAlchemyError, OSError):
            log.exception("call_end_not_recorded", call_id=call.id)
            self.note(call)

    async def _store(self, call: "RunningCall") -> None:
        record, known, draft = call.record(), call.stored, draft_of_write(call, self._keyed)
        call.changed = False
        store = self._calls.update if known else self._calls.insert
        try:
            await store(record, audit=draft)
        except BaseException:
            call.changed = True
            raise
        call.stored = True
        call.audited = call.audited or draft is not None

    def note(self, call: "RunningCall") -> None:
        """Store *call* as it is, some time soon, unless it is stored so already."""
        if not call.changed:
            return
        if len(self._waiting) >= _MAX_WAITING:
            dropped = next(iter(self._reads), None) or next(iter(self._waiting))
            self._withdraw(dropped)
            log.error("call_record_dropped", call_id=dropped)
        self._waiting[call.id] = call
        if not call.spec.writes:
            self._reads[call.id] = None
        self._arrived.set()

    async def run(self) -> None:
        """Write what was noted, until :meth:`close`; then write the rest and return."""
        while not (self._closing and not self._waiting):
            await self._arrived.wait()
            if not self._closing:
                await asyncio.sleep(_GATHER_SECONDS)
            self._arrived.clear()
            if not await self._write_batch():
                if self._closing:
                    return
                await asyncio.sleep(_RETRY_SECONDS)
            if self._waiting or self._closing:
                self._arrived.set()

    def close(self) -> None:
        """Ask :meth:`run` to finish."""
        self._closing = True
        self._arrived.set()

    async def flush(self) -> None:
        """Write what was noted so far, unless the store is away; not what comes meanwhile."""
        last = next(reversed(self._waiting), None)
        while last in self._waiting and await self._write_batch():
            pass

    def find(self, subscription_id: str, call_id: str) -> CallRecord | None:
        """Return the subscription's call with *call_id*, if it waits to be written."""
        call = self._waiting.get(call_id)
        if call is None or call.spec.subscription_id != subscription_id:
            return None
        return call.record()

    async def _write_batch(self) -> bool:
        """Write some of what waits; return whether the store took it."""
        async with self._flushing:
            return await self._write_next()

    async def _write_next(self) -> bool:
        batch = list(itertools.islice(self._waiting.values(), _MAX_BATCH))
        known = [call for call in batch if call.stored]
        try:
            await self._insert([call for call in batch if not call.stored])
            await self._calls.update_all(
                [call.record() for call in known], audit=self._drafts_of(known)
            )
        except (SQLAlchemyError, OSError):
            log.exception("call_records_not_written", waiting=len(self._waiting))
            return False
        for call in batch:
            call.changed = False
            call.audited = True
            self._withdraw(call.id)  # the oldest may have been dropped meanwhile
        return True

    def _withdraw(self, call_id: str) -> None:
        self._waiting.pop(call_id, None)
        self._reads.pop(call_id, None)

    async def _insert(self, fresh: "list[RunningCall]") -> None:
        doubtful = [call for call in fresh if call.claimed]  # cancelled while the store took them
        others = [call for call in fresh if not call.claimed]
        try:
            if others:
                await self._calls.insert_all(
                    [call.record() for call in others], audit=self._drafts_of(others)
                )
        except IntegrityError:
            # An insert that seemed to fail had been committed: find out one by one.
            doubtful = fresh
        for call in doubtful:
            drafts = self._drafts_of([call])
            draft = drafts[0] if drafts else None
            try:
                await self._calls.insert(call.record(), audit=draft)
            except IntegrityError:
                await self._calls.update(call.record(), audit=draft)
        for call in fresh:
            call.stored = True
            call.audited = True

    def _drafts_of(self, calls: "Sequence[RunningCall]") -> "list[AuditDraft]":
        """Return what the audit log is to say of calls that have ended."""
        writes = (draft_of_write(call, self._keyed) for call in calls)
        return [*(one for one in writes if one is not None), *drafts_of_reads(calls)]
