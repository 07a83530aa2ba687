"""Whose a running call is: nodes that share a store settle only what a gone node left."""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from cloud_connect_relay.ids import new_id

if TYPE_CHECKING:
    from cloud_connect_relay.storage.nodes import Interrupted, Nodes

__all__ = ["Tenure"]

log = structlog.get_logger(__name__)

_BEAT_SECONDS: Final = 2.0  # between two signs of life
_TRUST_SECONDS: Final = 7.0  # since the last one, after which this node relies on it no more
_GONE_SECONDS: Final = 10.0  # without one, after which another node is taken for gone
_STORE_SECONDS: Final = 5.0  # that the store may take for one of them


class Tenure:
    """This process's hold on the calls that it runs.

    Nodes compare counters, never clocks: who has not counted on while another one waited
    `_GONE_SECONDS` is gone. A node stops trusting its own hold earlier than that, so what it
    dispatches is never settled behind its back as not executed.

    Args:
        alone: No other process can serve the store, so what others left is settled at once.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        nodes: "Nodes",
        *,
        node: str,
        alone: bool,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nodes: Final = nodes
        self._node: Final = node
        self._alone: Final = alone
        self._wall_clock: Final = wall_clock
        self._clock: Final = clock
        self._renewed = clock()
        self._others: dict[str, tuple[int, float]] = {}
        self.run_id = new_id("run")

    def covers(self, owner: str | None) -> bool:
        """Whether a call of *owner* is ours, and nobody can have settled it meanwhile."""
        if owner != self.run_id:
            return False
        return self._alone or self._clock() - self._renewed < _TRUST_SECONDS

    async def begin(self) -> "Interrupted":
        """Take the hold, and settle what no listed process runs.

        Returns:
            What was settled.
        """
        if self._alone:
            for run in await self._nodes.all():
                await self._nodes.leave(run.id)
        await self._enter()
        return await self._nodes.settle_orphans()

    async def keep(self, settled: Callable[["Interrupted"], None]) -> None:
        """Hold on until cancelled.

        Args:
            settled: Told of calls that a gone node left.
        """
        while not self._alone:
            await asyncio.sleep(_BEAT_SECONDS)
            try:
                async with asyncio.timeout(_STORE_SECONDS):
                    await self._beat()
                    await self._look_around(settled)
            except (SQLAlchemyError, OSError, TimeoutError):
                log.warning("tenure_not_renewed", exc_info=True)
        await asyncio.Event().wait()  # nobody to look for

    async def end(self) -> None:
        """Let go: everything that ran here is settled."""
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                await self._nodes.leave(self.run_id)
        except (SQLAlchemyError, OSError, TimeoutError):
            log.warning("tenure_not_ended", exc_info=True)  # the others notice

    async def _enter(self) -> None:
        began = self._clock()
        await self._nodes.enter(self.run_id, name=self._node, at=self._wall_clock())
        self._renewed = began

    async def _beat(self) -> None:
        began = self._clock()
        if await self._nodes.beat(self.run_id):
            self._renewed = began
            return
        # Another node took this one for gone: what ran is settled, what comes is anew.
        log.error("tenure_lost", node=self._node)
        self.run_id = new_id("run")
        await self._enter()

    async def _look_around(self, settled: Callable[["Interrupted"], None]) -> None:
        now, seen = self._clock(), self._others
        self._others = {}
        for run in await self._nodes.all():
            if run.id == self.run_id:
                continue
            beats, since = seen.get(run.id, (run.beats, now))
            if run.beats != beats:
                beats, since = run.beats, now
            if now - since < _GONE_SECONDS:
                self._others[run.id] = (beats, since)
                continue
            left = await self._nodes.bury(run)
            if left is not None:
                log.warning("node_gone", node=run.name, undispatched=left.undispatched)
                settled(left)
                # It may have lost its hold once before, and have left calls under its older id.
                settled(await self._nodes.settle_orphans())
