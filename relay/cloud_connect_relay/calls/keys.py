"""Idempotency keys at work: a repeated write gets the answer of the first one."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from cloud_connect.errors import CloudConnectError, DeadlineExceededError, Outcome
from cloud_connect_relay.calls.idempotency import KEY_RETENTION, Verdict, conflict, judge, mismatch
from cloud_connect_relay.storage.calls import CallState

if TYPE_CHECKING:
    from cloud_connect_relay.calls.answer import Answer
    from cloud_connect_relay.calls.ledger import Ledger
    from cloud_connect_relay.calls.lifecycle import Lifecycle
    from cloud_connect_relay.calls.recovery import Recovery
    from cloud_connect_relay.calls.resolution import Resolution
    from cloud_connect_relay.calls.running import RunningCall, RunningCalls
    from cloud_connect_relay.calls.spec import CallSpec
    from cloud_connect_relay.storage import Storage
    from cloud_connect_relay.storage.calls import CallRecord, CallsOfAll

__all__ = ["IdempotencyKeys"]

_MAX_CLAIMS: Final = 5  # in a row, while those that hold the key let go of it


class IdempotencyKeys:
    """Binds keys to calls: in the store, where every node sees it before anything is executed."""

    def __init__(
        self,
        *,
        storage: "Storage",
        records: "CallsOfAll",
        running: "RunningCalls",
        ledger: "Ledger",
        lifecycle: "Lifecycle",
        resolution: "Resolution",
        recovery: "Recovery",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._storage: Final = storage
        self._records: Final = records
        self._ledger: Final = ledger
        self._running: Final = running
        self._lifecycle: Final = lifecycle
        self._resolution: Final = resolution
        self._recovery: Final = recovery
        self._clock: Final = clock

    async def claim(self, spec: "CallSpec", key: str) -> "RunningCall | Answer":
        """Admit the write that *spec* asks for, or return the answer that it got before.

        Raises:
            IdempotencyConflictError: If the first attempt still runs.
            IdempotencyMismatchError: If the key belongs to another request.
            OutcomeUnknownError: If nobody knows what became of the first attempt.
            CloudConnectError: The failure that was the answer to the first attempt.
            OverQuotaError: If a quota of its subscription or key is used up.
        """
        holder = self._running.with_key(spec.subscription_id, key)
        if holder is not None and holder.ended:
            began = asyncio.get_running_loop().time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(spec.timeout):  # its record is on its way to the disk
                    await holder.recorded.wait()
            waited = asyncio.get_running_loop().time() - began
            spec = dataclasses.replace(spec, timeout=max(0.0, spec.timeout - waited))
            holder = self._running.with_key(spec.subscription_id, key)
        if holder is not None:
            if holder.spec.fingerprint != spec.fingerprint:
                raise mismatch()
            raise conflict()
        call = self._lifecycle.admit(spec)  # from here on the key is held, whoever else comes
        try:
            async with asyncio.timeout_at(call.deadline):
                earlier = await self._bind(call, key)
        except TimeoutError:
            late = _late()
            self._give_up(call, late)
            raise late from None
        except BaseException as error:
            self._give_up(call, error)
            raise
        if earlier is None:
            return call
        self._running.release(call)
        match judge(earlier, digest=spec.fingerprint):
            case Verdict.MISMATCH:
                raise mismatch()
            case Verdict.UNKNOWN:
                return await self._recovery.left_open(earlier)
            case Verdict.REPLAY:
                return await self._recovery.stored(earlier)
            case _:
                raise conflict()

    def _give_up(self, call: "RunningCall", error: BaseException) -> None:
        """Let out a call that did not get its key, as far as anybody knows."""
        if call.claimed and isinstance(error, asyncio.CancelledError):
            self._lifecycle.cancelled(call)
        elif call.claimed and isinstance(error, CloudConnectError):
            call.blame(error)
            self._lifecycle.failed(call, error)
        else:  # another has the key, so that this one was never a call
            call.abandoned = isinstance(error, asyncio.CancelledError)
            self._running.release(call)
            return
        # The store may have taken its record all the same: what it keeps must come to an end.
        self._lifecycle.leave(call)

    async def _bind(self, call: "RunningCall", key: str) -> "CallRecord | None":
        """Bind the key to *call*; return the call that has it, if that one keeps it.

        The store decides, since other nodes may be asked with the same key at the same time.
        """
        calls = self._storage.of(call.spec.subscription_id).calls
        for _ in range(_MAX_CLAIMS):
            if await self._ledger.claim(call):
                return None
            earlier = await calls.holder(key)
            if self._ledger.has(call, earlier):
                return None
            if earlier is None:
                continue  # it let go a moment ago
            if earlier.started_at <= self._clock() - KEY_RETENTION:
                await self._records.let_go(earlier.id)
                continue
            earlier = await self._resolution.resolve(await self._newest(earlier))
            verdict = judge(earlier, digest=call.spec.fingerprint)
            if verdict is Verdict.UNKNOWN and earlier.upsert:
                if await self._taken_over(call, earlier):
                    self._running.resume(call, earlier)
                    return None
            elif verdict is not Verdict.RELEASED:
                return earlier
        raise conflict()

    async def _newest(self, record: "CallRecord") -> "CallRecord":
        """Return what this node knows of the call by now."""
        if self._ledger.find(record.subscription_id, record.id) is not None:
            await self._ledger.flush()  # it has ended here, which is not yet written
            calls = self._storage.of(record.subscription_id).calls
            record = await calls.find(record.id) or record
        return await self._adopted(record) if self._is_nobodys(record) else record

    async def _taken_over(self, call: "RunningCall", record: "CallRecord") -> bool:
        """Whether *call* goes on with *record*; leave it to others if nobody learns whether."""
        try:
            return await self._ledger.take_over(call, record)
        except BaseException:  # the store may have given it to us all the same
            with contextlib.suppress(SQLAlchemyError, OSError):
                await asyncio.shield(self._left_to_others(record))
            raise

    async def _left_to_others(self, record: "CallRecord") -> None:
        calls = self._storage.of(record.subscription_id).calls
        known = await calls.find(record.id)
        if known is not None and self._is_nobodys(known):
            await self._adopted(known)

    def _is_nobodys(self, record: "CallRecord") -> bool:
        """Whether this node is to have the call, and does not."""
        return (
            record.state is CallState.DISPATCHED
            and self._ledger.is_ours(record)
            and record.id not in self._running
            and self._ledger.find(record.subscription_id, record.id) is None
        )

    async def _adopted(self, record: "CallRecord") -> "CallRecord":
        """Return what is known of a call that was taken over for a caller who hung up meanwhile."""
        calls = self._storage.of(record.subscription_id).calls
        known = await calls.find(record.id) or record  # it may have ended since it was looked up
        if known.state is not CallState.DISPATCHED:
            return known
        left = dataclasses.replace(known, state=CallState.UNKNOWN, outcome=Outcome.UNKNOWN)
        await self._records.update(left)
        return left


def _late() -> DeadlineExceededError:
    return DeadlineExceededError(
        "The deadline passed while the relay recorded the call; nothing was executed, so the"
        " request may be repeated.",
        outcome=Outcome.NOT_EXECUTED,
    )
