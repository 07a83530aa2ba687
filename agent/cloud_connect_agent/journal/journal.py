"""The journal as calls use it: a thread of its own that commits together what waits together.

One commit costs one flush of the disk however many rows it holds.
"""

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from cloud_connect.errors import CloudConnectError, JournalUnavailableError, Outcome
from cloud_connect_agent.journal import claims
from cloud_connect_agent.journal.database import STEPS_SECONDS, Database
from cloud_connect_agent.journal.entries import JournalEntry
from cloud_connect_agent.journal.keeper import JournalJob, JournalKeeper
from cloud_connect_agent.journal.presence import Presence

__all__ = ["Journal"]

_T = TypeVar("_T")

_MAX_BATCH: Final = 512  # bounds the time to the first answer of a batch
_TICK_SECONDS: Final = 1.0  # between two attempts while the journal cannot be used
_PURGE_SECONDS: Final = 3600.0
_MAX_BYTES: Final = 512 * 1024 * 1024  # a week of a busy agent; then the oldest answers go


class Journal:
    """The journal of one agent.

    Attributes:
        presence: When calls may have come here, to be kept up while there is a session.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float], max_bytes: int) -> None:
        self.presence: Final = Presence(path.with_name(f"{path.name}.presence"), clock=clock)
        self._clock: Final = clock
        self._keeper: Final = JournalKeeper(path, clock=clock, max_bytes=max_bytes)
        self._jobs: Final[queue.SimpleQueue[JournalJob | None]] = queue.SimpleQueue()
        self._closed = False
        self._loop: Final = asyncio.get_running_loop()
        self._news: Final = asyncio.Event()
        self._news.set()  # what an earlier process left behind is news

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        max_bytes: int = _MAX_BYTES,
    ) -> AsyncIterator["Journal"]:
        """Open the journal and settle what an earlier process left behind.

        A journal that cannot be used opens all the same: its ``problem`` says why, and each
        attempt to write raises :class:`JournalUnavailableError`.
        """
        journal = cls(path, clock=clock, max_bytes=max_bytes)
        opened: asyncio.Future[None] = journal._loop.create_future()
        thread = threading.Thread(
            target=journal._serve, args=(opened,), name="journal", daemon=True
        )
        thread.start()
        try:
            await asyncio.shield(opened)
            yield journal
        finally:
            journal._closed = True
            journal._jobs.put(None)
            await asyncio.shield(asyncio.to_thread(thread.join))

    @property
    def commits(self) -> int:
        """Transactions of this process."""
        return self._keeper.commits

    @property
    def problem(self) -> str | None:
        """Why the journal cannot be written; ``None`` while it can."""
        return self._keeper.problem

    @property
    def damaged(self) -> bool:
        """Whether writes stay refused until somebody accepts the loss."""
        return self._keeper.damage is not None

    async def receive(
        self, call_id: str, *, operation: str, fingerprint: str
    ) -> JournalEntry | None:
        """Enter a call; return the entry that exists already, which must not run again."""
        return await self._run(
            lambda database: database.receive(
                call_id, operation=operation, fingerprint=fingerprint, now=self._clock()
            )
        )

    async def intend(self, call_id: str, *, again: bool = False) -> None:
        """Note that the first byte of a write goes to Procore after this; durable on return.

        Args:
            again: It may have ended before, if only it was not carried out for certain.
        """
        await self._run(lambda database: database.intend(call_id, now=self._clock(), again=again))

    async def finish(
        self, call_id: str, *, outcome: Outcome, status: int, head: bytes, body: bytes | None
    ) -> None:
        """Note what became of the call; durable on return.

        What cannot be noted is tried again for as long as the process lives.
        """

        def work(database: Database) -> None:
            database.finish(
                call_id, outcome=outcome, status=status, head=head, body=body, now=self._clock()
            )
            self._loop.call_soon_threadsafe(self._news.set)

        await self._run(work, outcome=Outcome.UNKNOWN, owed=True)

    async def find(self, call_id: str) -> JournalEntry | None:
        """Return the call's entry; of a journal that was lost there is none."""
        if self.damaged:
            return None
        try:
            return await self._run(lambda database: database.find(call_id), writes=False)
        except JournalUnavailableError:
            if self._keeper.damage is None:
                raise
            return None  # that was found out by looking

    def vouches_for(self, age: float | None) -> bool:
        """Whether a call that has no entry surely never came here.

        Args:
            age: How many seconds ago it was sent here; ``None`` if nobody knows, so that it may
                be older than the journal.
        """
        since = self._keeper.complete_since
        if since is None or age is None:
            return False
        sent = self._clock() - age
        return sent > since and self.presence.covers(sent)

    async def begin_anew(self) -> None:
        """Vouch no more for calls from before now; durable on return."""
        if self.damaged:
            return  # what a journal was before it is damaged it vouches for no more
        await self._run(lambda database: database.begin_anew(self._clock()))

    async def to_tell(
        self, *, after: tuple[float, str], limit: int
    ) -> Sequence[tuple[float, JournalEntry]]:
        """Return ended calls that the relay has not acknowledged, without their bodies.

        Args:
            after: Time and id of the last one that was returned before.
        """
        return await self._run(lambda database: database.to_tell(after, limit), writes=False)

    async def ended_since(self, since: float) -> Sequence[JournalEntry]:
        """Return the calls that have ended since then, in UNIX time, without their answers."""
        return await self._run(lambda database: database.ended_since(since), writes=False)

    async def untold(self) -> int:
        """Return how many ended calls the relay has not acknowledged."""
        return await self._run(lambda database: database.untold(), writes=False)

    async def acknowledge(self, call_ids: Collection[str]) -> None:
        """Note that the relay has these on disk."""
        await self._run(lambda database: database.acknowledge(call_ids))

    async def steps(self, key: str) -> bytes | None:
        """Return how far a piece of work came within the last hour; ``None`` if nobody knows."""
        return await self._run(
            lambda database: database.steps(key, since=self._clock() - STEPS_SECONDS), writes=False
        )

    async def note_steps(self, key: str, data: bytes) -> None:
        """Note how far a piece of work came; durable on return."""
        await self._run(lambda database: database.note_steps(key, data, now=self._clock()))

    async def forget_steps(self, key: str) -> None:
        """Forget a piece of work: it is over."""
        await self._run(lambda database: database.forget_steps(key))

    async def claim(self, nonce: str, call_id: str) -> str | None:
        """Bind a number used once to a call, durably; return the call that had it before."""
        return await self._run(
            lambda database: claims.claim(database, nonce, call_id, now=self._clock())
        )

    async def release(self, nonce: str, call_id: str) -> None:
        """Let go of the number of a call that was refused before it was entered."""
        await self._run(lambda database: claims.release(database, nonce, call_id))

    async def news(self) -> None:
        """Wait until a call has ended since the last time."""
        await self._news.wait()
        self._news.clear()

    async def _run(
        self,
        work: Callable[[Database], _T],
        *,
        writes: bool = True,
        owed: bool = False,
        outcome: Outcome = Outcome.NOT_EXECUTED,
    ) -> _T:
        if self._closed:
            raise JournalUnavailableError("The agent's journal is closed.", outcome=outcome)
        answer: asyncio.Future[_T] = self._loop.create_future()

        def attempt(database: Database) -> Callable[[], None]:
            result = work(database)
            return lambda: self._tell(answer, lambda: answer.set_result(result))

        def refuse(error: CloudConnectError) -> None:
            self._tell(answer, lambda: answer.set_exception(error))

        self._jobs.put(
            JournalJob(attempt=attempt, refuse=refuse, writes=writes, owed=owed, outcome=outcome)
        )
        return await answer

    def _tell(self, answer: asyncio.Future[_T], settle: Callable[[], None]) -> None:
        """Settle *answer* in its loop, unless its caller is gone."""

        def unless_done() -> None:
            if not answer.done():
                settle()

        self._loop.call_soon_threadsafe(unless_done)

    def _serve(self, opened: asyncio.Future[None]) -> None:
        keeper = self._keeper
        keeper.probe()
        self._tell(opened, lambda: opened.set_result(None))
        purge_at = time.monotonic() + _PURGE_SECONDS
        probe_at = 0.0
        closing = False
        try:
            while not closing:
                batch, closing = self._next_batch(purge_at - time.monotonic())
                keeper.carry_out(batch)
                if keeper.waits and time.monotonic() >= probe_at:
                    keeper.probe()
                    probe_at = time.monotonic() + _TICK_SECONDS
                if time.monotonic() >= purge_at:
                    keeper.purge()
                    purge_at = time.monotonic() + _PURGE_SECONDS
        finally:
            keeper.close()

    def _next_batch(self, patience: float) -> tuple[list[JournalJob], bool]:
        """Return what waits, and whether the journal closes after it."""
        batch: list[JournalJob] = []
        within = _TICK_SECONDS if self._keeper.waits else max(0.0, patience)
        try:
            job = self._jobs.get(timeout=within)
            while job is not None:
                batch.append(job)
                if len(batch) == _MAX_BATCH:
                    return batch, False
                job = self._jobs.get_nowait()
        except queue.Empty:
            return batch, False
        return batch, True
