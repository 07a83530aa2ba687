"""Idempotency keys at work: a repeated write gets the answer of the first one."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cloud_connect_relay.calls.idempotency import KEY_RETENTION, Verdict, conflict, judge, mismatch

if TYPE_CHECKING:
    from cloud_connect_relay.calls.answer import Answer
    from cloud_connect_relay.calls.lifecycle import Lifecycle
    from cloud_connect_relay.calls.recovery import Recovery
    from cloud_connect_relay.calls.resolution import Resolution
    from cloud_connect_relay.calls.running import RunningCall, RunningCalls
    from cloud_connect_relay.calls.spec import CallSpec
    from cloud_connect_relay.storage import Storage
    from cloud_connect_relay.storage.calls import CallRecord

__all__ = ["IdempotencyKeys"]


class IdempotencyKeys:
    """Binds keys to calls: running ones by the table, ended ones by their records."""

    def __init__(
        self,
        storage: "Storage",
        running: "RunningCalls",
        lifecycle: "Lifecycle",
        resolution: "Resolution",
        recovery: "Recovery",
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._storage: Final = storage
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
            await holder.recorded.wait()  # its answer is out, its record on its way to the disk
            holder = self._running.with_key(spec.subscription_id, key)
        if holder is not None:
            raise conflict() if holder.spec.fingerprint == spec.fingerprint else mismatch()
        call = self._lifecycle.admit(spec)  # from here on the key is held, whoever else comes
        granted = False
        try:
            earlier = await self._latest(spec.subscription_id, key)
            verdict = Verdict.RELEASED
            if earlier is not None:
                verdict = judge(earlier, digest=spec.fingerprint)
                if verdict is Verdict.UNKNOWN:
                    earlier = await self._resolution.resolve(earlier)
                    verdict = judge(earlier, digest=spec.fingerprint)
            granted = verdict is Verdict.RELEASED
        finally:
            if not granted:
                self._running.release(call)
        if earlier is None or granted:
            return call
        if verdict is Verdict.MISMATCH:
            raise mismatch()
        if verdict is Verdict.RUNNING:
            raise conflict()
        if verdict is Verdict.UNKNOWN:
            return await self._recovery.left_open(earlier)
        return await self._recovery.stored(earlier)

    async def _latest(self, subscription_id: str, key: str) -> "CallRecord | None":
        calls = self._storage.of(subscription_id).calls
        return await calls.latest(key, since=self._clock() - KEY_RETENTION)
