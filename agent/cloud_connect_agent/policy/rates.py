"""How many calls a minute brought, by the rule that limits them."""

import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from cloud_connect.errors import QuotaExceededError
from cloud_connect_agent.policy.access import Bound

__all__ = ["Rates"]

_MINUTE: Final = 60  # seconds


class Rates:
    """Counts calls by the second, so that no minute ever brings more than its bound."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock: Final = clock
        self._counts: Final[dict[str, deque[tuple[int, int]]]] = {}

    def take(self, bounds: Iterable[Bound]) -> None:
        """Count a call against all of *bounds*, or against none.

        Raises:
            QuotaExceededError: If one of them is used up; it says when to come back.
        """
        second = math.floor(self._clock())
        wanted = {bound.rule: bound for bound in bounds}
        for rule, bound in wanted.items():
            counts = self._counts.setdefault(rule, deque())
            while counts and counts[0][0] < second - _MINUTE:
                counts.popleft()
            if sum(count for _, count in counts) >= bound.most:
                raise QuotaExceededError(
                    f"The policy on this PC lets through {bound.most} such calls a minute. "
                    f"(rule {rule})",
                    retry_after=float(counts[0][0] + _MINUTE + 1 - second),
                )
        for rule in wanted:
            counts = self._counts[rule]
            if counts and counts[-1][0] == second:
                counts[-1] = (second, counts[-1][1] + 1)
            else:
                counts.append((second, 1))
