"""The quotas at work: every call is counted against its subscription's and its key's."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from cloud_connect_relay.calls.cancels import Cancels
from cloud_connect_relay.calls.over_quota import OverQuotaError
from cloud_connect_relay.quota import NO_QUOTA, Quota, QuotaUse

__all__ = ["Quotas"]

_RETRY_AFTER: Final = 1.0  # seconds; running calls end by themselves
# Beyond what a subscription may run, such a part of it is for keys that run fewer than that: the
# flood of one keeps no other from being let in.
_SPARE_PART: Final = 16
_MINUTE: Final = 60.0
_DAY: Final = 86_400.0


class _Bucket:
    """So much at once, refilled evenly; it may go below nothing, and pays that back first."""

    __slots__ = ("_at", "_level", "capacity", "rate")

    def __init__(self, capacity: float, rate: float, now: float) -> None:
        self.capacity: Final = capacity
        self.rate: Final = rate
        self._level = capacity
        self._at = now

    def left(self, now: float) -> float:
        self._level = min(self.capacity, self._level + max(0.0, now - self._at) * self.rate)
        self._at = now
        return self._level

    def take(self, amount: float, now: float) -> None:
        self._level = self.left(now) - amount

    def wait(self, least: float, now: float) -> float:
        """Return the seconds until *least* is there; 0 is at once."""
        return max(0.0, (least - self.left(now)) / self.rate)


class _Meter:
    """What one subscription or key has taken of its quota."""

    __slots__ = ("calls", "day", "kind", "minute", "quota")

    def __init__(self, kind: str, quota: Quota, now: float) -> None:
        self.kind: Final = kind
        self.quota: Final = quota
        self.calls = self.minute = self.day = None
        if quota.per_second is not None:
            self.calls = _Bucket(quota.burst or quota.per_second, quota.per_second, now)
        if quota.bytes_per_minute is not None:
            self.minute = _Bucket(quota.bytes_per_minute, quota.bytes_per_minute / _MINUTE, now)
        if quota.bytes_per_day is not None:
            self.day = _Bucket(quota.bytes_per_day, quota.bytes_per_day / _DAY, now)

    calls: _Bucket | None
    minute: _Bucket | None
    day: _Bucket | None

    def check(self, now: float) -> None:
        """Refuse a call that is over a rate or a volume."""
        calls, quota = self.calls, self.quota
        if calls is not None and (wait := calls.wait(1.0, now)):
            at_once = f", {quota.burst} at once" if quota.burst else ""
            raise self._over(
                f"may begin {quota.per_second} calls a second{at_once}, and has",
                "per_second",
                quota.per_second or 0,
                1.0,
                wait,
            )
        for bucket, name, period, window in (
            (self.minute, "bytes_per_minute", "a minute", _MINUTE),
            (self.day, "bytes_per_day", "a day", _DAY),
        ):
            # Nobody knows what a call will bring: the one that goes over is let through, and
            # the next ones wait until it is paid back.
            if bucket is not None and (wait := bucket.wait(0.0, now)):
                allowed = int(bucket.capacity)
                raise self._over(
                    f"may move {allowed} bytes {period}, and has", name, allowed, window, wait
                )

    def take(self, now: float) -> None:
        if self.calls is not None:
            self.calls.take(1.0, now)

    def moved(self, size: int, now: float) -> None:
        for bucket in (self.minute, self.day):
            if bucket is not None:
                bucket.take(size, now)

    def uses(self, id_: str, running: int, now: float) -> Iterator[QuotaUse]:
        for name, bucket in (
            ("per_second", self.calls),
            ("bytes_per_minute", self.minute),
            ("bytes_per_day", self.day),
        ):
            if bucket is not None:
                allowed = self.quota.limits()[name]
                yield QuotaUse(self.kind, id_, name, allowed, max(0.0, bucket.left(now)))
        if self.quota.running is not None:
            left = max(0, self.quota.running - running)
            yield QuotaUse(self.kind, id_, "running", self.quota.running, left)

    def _over(
        self, has: str, limit: str, quantity: int, window: float, wait: float
    ) -> OverQuotaError:
        return OverQuotaError(
            f"The {self.kind} {has}; repeat the request in {max(1, -int(-wait // 1))} s.",
            limit=limit,
            quantity=quantity,
            window=window,
            retry_after=wait,
        )


class Quotas:
    """Admits calls as far as the quotas of their subscription and their key allow.

    They are counted in this process: a restart forgets what was used, and each node of
    several counts for itself.

    Args:
        max_running: Calls of one subscription that run at once, unless its quota says; a sixteenth
            more of keys that run few.
        cancel_burst: See :class:`~cloud_connect_relay.calls.cancels.Cancels`.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        max_running: int,
        cancel_burst: int = 100,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_running: Final = max_running
        self._cancels: Final = Cancels(burst=cancel_burst, clock=clock)
        self._clock: Final = clock
        self._meters: Final[dict[str, _Meter]] = {}
        self._running: Final[dict[str, int]] = {}

    def learn(
        self, subscription_id: str, key_id: str, *, of_subscription: Quota, of_key: Quota
    ) -> None:
        """Take in what the store says of a credential's quotas."""
        self._set(subscription_id, "subscription", of_subscription)
        self._set(key_id, "key", of_key)

    def admit(self, subscription_id: str, key_id: str | None) -> None:
        """Count a call that begins.

        Raises:
            OverQuotaError: If it is one too many; then it is not counted.
        """
        self._cancels.check(key_id or subscription_id)
        subscription = self._meters.get(subscription_id)
        key = None if key_id is None else self._meters.get(key_id)
        own = self._running.get(key_id or "", 0)
        few = self._max_running // _SPARE_PART
        self._check_running(
            "subscription",
            subscription_id,
            subscription,
            self._max_running + (few if own < few else 0),
        )
        if key_id is not None:
            self._check_running("key", key_id, key, None)
        if subscription is not None or key is not None:
            now = self._clock()
            both = [meter for meter in (subscription, key) if meter is not None]
            for meter in both:
                meter.check(now)
            for meter in both:
                meter.take(now)
        self._cancels.opened(key_id or subscription_id)
        self._running[subscription_id] = self._running.get(subscription_id, 0) + 1
        if key_id is not None:
            self._running[key_id] = self._running.get(key_id, 0) + 1

    def release(
        self, subscription_id: str, key_id: str | None, *, size: int, abandoned: bool = False
    ) -> None:
        """Count a call that ended after it moved *size* bytes.

        Args:
            abandoned: Because its caller hung up.
        """
        if abandoned:
            self._cancels.cancelled(key_id or subscription_id)
        for holder in (subscription_id, key_id):
            if holder is None:
                continue
            left = self._running[holder] - 1
            if left:
                self._running[holder] = left
            else:
                del self._running[holder]
            meter = self._meters.get(holder)
            if meter is not None and size:
                meter.moved(size, self._clock())

    def uses(self, ids: Iterable[str]) -> Iterator[QuotaUse]:
        """Yield what is left of the quotas of the subscription and keys with *ids*."""
        now = self._clock()
        for id_ in ids:
            meter = self._meters.get(id_)
            if meter is not None:
                yield from meter.uses(id_, self._running.get(id_, 0), now)

    def _set(self, holder: str, kind: str, quota: Quota) -> None:
        meter = self._meters.get(holder)
        if quota == (NO_QUOTA if meter is None else meter.quota):
            return
        if quota == NO_QUOTA:
            del self._meters[holder]
        else:
            self._meters[holder] = _Meter(kind, quota, self._clock())

    def _check_running(
        self, kind: str, holder: str, meter: _Meter | None, default: int | None
    ) -> None:
        allowed = default
        if meter is not None and meter.quota.running is not None:
            allowed = meter.quota.running
        if allowed is not None and self._running.get(holder, 0) >= allowed:
            raise OverQuotaError(
                f"The {kind} has {allowed} calls running, which is its limit; repeat the request"
                " in a moment.",
                limit="running",
                quantity=allowed,
                window=None,
                retry_after=_RETRY_AFTER,
            )
