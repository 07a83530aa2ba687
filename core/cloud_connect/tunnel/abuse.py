"""Guards against peers that keep every rule and are a burden nevertheless."""

from typing import Final

from cloud_connect.errors import RemoteProtocolError

__all__ = ["RATE_ABUSE", "CancelGuard", "FloodGuard"]

RATE_ABUSE: Final = "rate_abuse"
_BUCKETS: Final = 10  # slices of the period: a count is at most a tenth of it late


class FloodGuard:
    """A bucket of tokens: each worthless frame takes one, time brings them back."""

    __slots__ = ("_burst", "_per_second", "_time", "_tokens")

    def __init__(self, burst: int, per_second: float) -> None:
        self._burst = float(burst)
        self._per_second = per_second
        self._tokens = float(burst)
        self._time: float | None = None

    def charge(self, now: float) -> None:
        """Take a token.

        Raises:
            RemoteProtocolError: If none is left.
        """
        if self._time is not None:
            refill = (now - self._time) * self._per_second
            self._tokens = min(self._burst, self._tokens + refill)
        self._time = now
        if self._tokens < 1:
            raise RemoteProtocolError(f"{RATE_ABUSE}: too many frames without use")
        self._tokens -= 1


class CancelGuard:
    """Counts the streams that a side opens and cancels within a period."""

    __slots__ = ("_buckets", "_burst", "_cancels", "_opens", "_share", "_slice")

    def __init__(self, burst: int, share: float, period: float) -> None:
        self._burst = burst
        self._share = share
        self._slice = period / _BUCKETS
        self._buckets: list[list[int]] = []  # slice number, opens, cancels
        self._opens = 0
        self._cancels = 0

    def opened(self, now: float) -> None:
        """Count an open."""
        self._bucket(now)[1] += 1
        self._opens += 1

    def cancelled(self, now: float) -> None:
        """Count a cancel."""
        self._bucket(now)[2] += 1
        self._cancels += 1

    def exceeded(self, now: float, *, ahead: int = 0) -> bool:
        """Return whether the cancels, and *ahead* more of them, are over the limit."""
        self._bucket(now)
        cancels = self._cancels + ahead
        return cancels > self._burst and cancels > self._share * self._opens

    def _bucket(self, now: float) -> list[int]:
        number = int(now / self._slice)
        buckets = self._buckets
        if buckets and buckets[-1][0] >= number:
            return buckets[-1]
        while buckets and buckets[0][0] <= number - _BUCKETS:
            _, opens, cancels = buckets.pop(0)
            self._opens -= opens
            self._cancels -= cancels
        bucket = [number, 0, 0]
        buckets.append(bucket)
        return bucket
