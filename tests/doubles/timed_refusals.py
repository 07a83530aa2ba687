"""Whether the time of an answer tells what it must not, as who attacks would measure it."""

import random
import statistics
from collections.abc import Awaitable, Callable, Collection

import pytest

from doubles.seeds import chosen_seed

__all__ = ["assert_time_tells_nothing"]

LOOKS = 8  # at so many more answers each time, while the times differ


async def assert_time_tells_nothing(
    ask: Callable[[str], Awaitable[float]],
    kinds: Collection[str],
    *,
    within: float,
    rounds: int,
) -> None:
    """Fail if the kinds' quick answers stay further apart than *within* seconds.

    The quickest tenth of each is compared: what a busy machine adds is in the others (Crosby and
    others, Opportunities and Limits of Remote Timing Attacks, 2009). A difference that is there
    stays, however many come.

    Args:
        ask: Asks once for an answer of that kind and returns the seconds it took.
        rounds: Of one answer of each kind, in an order by chance, before each look.
    """
    chance = random.Random(chosen_seed())
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    quick: dict[str, float] = {}
    for _ in range(LOOKS):
        for _ in range(rounds):
            for kind in chance.sample(sorted(took), len(took)):
                took[kind].append(await ask(kind))
        quick = {kind: statistics.quantiles(times, n=10)[0] for kind, times in took.items()}
        if max(quick.values()) - min(quick.values()) < within:
            return
    pytest.fail(f"their times tell them apart: {quick}")
