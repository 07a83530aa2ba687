"""Callers who begin calls and hang up on most of them: for a while they are refused."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog

from cloud_connect.tunnel.abuse import RATE_ABUSE, CancelGuard
from cloud_connect_relay.calls.over_quota import OverQuotaError

__all__ = ["Cancels"]

log = structlog.get_logger(__name__)

_SHARE: Final = 0.5
_PERIOD: Final = 10.0  # seconds
_MAX_CALLERS: Final = 10_000  # that are watched; beyond, who began nothing for longest is not


class Cancels:
    """Counts the calls that each caller begins and abandons within ten seconds.

    A call that nobody waits for costs its connector as much as any other. The tunnel holds its
    cancels back so that agents need not cut it; this holds their cause back.

    Args:
        burst: Calls that a caller may abandon, whatever their share of those that it begins.
        clock: Monotonic seconds.
    """

    def __init__(self, *, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst: Final = burst
        self._clock: Final = clock
        self._guards: Final[OrderedDict[str, CancelGuard]] = OrderedDict()
        self._refused: Final[set[str]] = set()

    def check(self, caller: str) -> None:
        """Refuse a caller that abandons more calls than it waits for.

        Raises:
            OverQuotaError: If it does.
        """
        guard = self._guards.get(caller)
        if guard is None or not guard.exceeded(self._clock()):
            self._refused.discard(caller)
            return
        if caller not in self._refused:
            self._refused.add(caller)
            log.warning(RATE_ABUSE, caller=caller, cancels=self._burst, seconds=_PERIOD)
        raise OverQuotaError(
            f"Too many calls were begun and abandoned ({RATE_ABUSE}: more than {self._burst} in"
            f" {_PERIOD:.0f} s, and more than half of them); wait for the answers, and begin"
            " again after a pause.",
            limit=RATE_ABUSE,
            quantity=self._burst,
            window=_PERIOD,
            retry_after=_PERIOD,
        )

    def opened(self, caller: str) -> None:
        """Count a call that begins."""
        guard = self._guards.get(caller)
        if guard is None:
            guard = self._guards[caller] = CancelGuard(self._burst, _SHARE, _PERIOD)
            if len(self._guards) > _MAX_CALLERS:
                gone, _ = self._guards.popitem(last=False)
                self._refused.discard(gone)
        else:
            self._guards.move_to_end(caller)
        guard.opened(self._clock())

    def cancelled(self, caller: str) -> None:
        """Count a call that its caller abandoned."""
        guard = self._guards.get(caller)
        if guard is not None:
            guard.cancelled(self._clock())
