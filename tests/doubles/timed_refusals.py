"""Whether the time of an answer tells what it must not: medians of many, on any machine."""

import random
import statistics
from collections.abc import Awaitable, Callable, Collection

import pytest

from doubles.seeds import chosen_seed

__all__ = ["assert_time_tells_nothing"]

LOOKS = 8  # at so many more answers each time, while the medians differ


async def assert_time_tells_nothing(
    ask: Callable[[str], Awaitable[float]],
    kinds: Collection[str],
    *,
    within: float,
    rounds: int,
) -> None:
    """Fail if the medians of the kinds' times stay further apart than *within* seconds.

    A busy machine moves the medians of few; a difference that is there stays, however many come.

    Args:
        ask: Asks once for an answer of that kind and returns the seconds it took.
        rounds: Of one answer of each kind, in an order by chance, before each look.
    """
    chance = random.Random(chosen_seed())
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    medians: dict[str, float] = {}
    for _ in range(LOOKS):
        for _ in range(rounds):
            for kind in chance.sample(sorted(took), len(took)):
                took[kind].append(await ask(kind))
        medians = {kind: statistics.median(times) for kind, times in took.items()}
        if max(medians.values()) - min(medians.values()) < within:
            return
    pytest.fail(f"the medians tell them apart: {medians}")
