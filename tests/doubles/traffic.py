"""Calls at a steady pace, whatever becomes of them: an open loop, as real platforms are."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Final

from doubles.caller import Caller
from doubles.history import Attempt

__all__ = ["Traffic"]

BLOB_BYTES: Final = 200_000


@dataclass(kw_only=True)
class Traffic:
    """A mix of reads, creates and downloads at so many calls a second.

    Attributes:
        writes: The share of creates.
        downloads: The share of downloads.
    """

    caller: Caller
    per_second: float
    dice: random.Random
    name: str = "traffic"
    writes: float = 0.25
    downloads: float = 0.0
    deadline: float = 30.0
    reads_told: list[Attempt] = field(default_factory=list)
    _count: int = 0

    async def run(self, seconds: float) -> None:
        """Call for so long, then wait for the last answers."""
        begin = time.monotonic()
        step = 0
        async with asyncio.TaskGroup() as tasks:
            while (due := step / self.per_second) < seconds:
                await asyncio.sleep(max(0.0, begin + due - time.monotonic()))
                tasks.create_task(self._call())
                step += 1

    async def _call(self) -> None:
        throw = self.dice.random()
        self._count += 1
        if throw < self.writes:
            await self.caller.create(f"{self.name}-{self._count}", deadline=self.deadline)
        elif throw < self.writes + self.downloads:
            size = self.dice.randrange(BLOB_BYTES)
            await self.caller.download(size, deadline=self.deadline)
        else:
            self.reads_told.append(await self.caller.read(deadline=self.deadline))

    @property
    def read_success(self) -> float:
        """The share of reads that were answered well."""
        good = sum(attempt.status == 200 for attempt in self.reads_told)
        return good / len(self.reads_told)
