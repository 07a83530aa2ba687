"""The outbox: results of writes, told to the relay until it has each of them on its disk."""

import asyncio
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import structlog
from pydantic import ValidationError

from cloud_connect.calls import (
    MAX_RESULTS,
    Operation,
    ReportedResult,
    ReportedResults,
    ResultsAnswer,
)
from cloud_connect.errors import CloudConnectError, Outcome, TunnelClosedError
from cloud_connect.tunnel import ResponseHead
from cloud_connect_agent.asking_relay import ask_relay
from cloud_connect_agent.journal import JournalEntry

if TYPE_CHECKING:
    from cloud_connect.session import Session

__all__ = ["Outbox", "ResultJournal"]

log = structlog.get_logger(__name__)

_DEADLINE_SECONDS: Final = 30.0  # for one batch, with a store that is slow
_RETRY_SECONDS: Final = 2.0  # before what was not taken is told again
_GATHER_SECONDS: Final = 1.0  # for the relay to note by itself what it has been answered
_MAX_ANSWER_BYTES: Final = 64 * 1024
_MAX_DETAIL: Final = 500  # characters
_MAX_BATCH_BYTES: Final = 48 * 1024  # a relay takes 64 KiB at once
_STOPPED: Final = "The connector stopped while the call was under way to Procore."


class ResultJournal(Protocol):
    """The journal, as far as its results are told."""

    async def to_tell(
        self, *, after: tuple[float, str], limit: int
    ) -> Sequence[tuple[float, JournalEntry]]:
        """Return ended calls that are not acknowledged, from *after* on."""
        ...

    async def acknowledge(self, call_ids: Collection[str]) -> None:
        """Note that the relay has them."""
        ...

    async def news(self) -> None:
        """Wait until a call has ended."""
        ...


class Outbox:
    """Tells the relay of the results that it has not acknowledged, over one session after another.

    The relay takes a result any number of times. One whose answer is on its way by itself it
    leaves for later; it comes again then.
    """

    def __init__(self, journal: ResultJournal) -> None:
        self._journal: Final = journal

    async def run(self, session: "Session") -> None:
        """Tell what there is, and what comes, until the session ends.

        Raises:
            TunnelClosedError: When it ends.
        """
        said = ""
        while True:
            try:
                is_clear = await self._tell_all(session)
            except TunnelClosedError:
                raise
            except (CloudConnectError, TimeoutError, ValidationError) as exc:
                if str(exc) != said:  # a damaged journal stays so until a person comes
                    said = str(exc)
                    log.info("results_not_told", reason=said)
                is_clear = False
            else:
                said = ""
            if is_clear is None:
                return  # an older relay, which asks for results by itself
            if is_clear:
                await self._journal.news()
            await asyncio.sleep(_GATHER_SECONDS if is_clear else _RETRY_SECONDS)

    async def _tell_all(self, session: "Session") -> bool | None:
        """Return whether nothing is left to tell; ``None`` if the relay takes no results."""
        after, is_clear = (0.0, ""), True
        while batch := await self._journal.to_tell(after=after, limit=MAX_RESULTS):
            results = _fitting([_result(entry) for _, entry in batch])
            batch = batch[: len(results)]
            taken = await self._tell(session, results)
            if taken is None:
                return None
            if taken:
                await self._journal.acknowledge(taken)
            is_clear = is_clear and len(taken) == len(batch)
            after = (batch[-1][0], batch[-1][1].call_id)
        return is_clear

    async def _tell(
        self, session: "Session", results: list[ReportedResult]
    ) -> frozenset[str] | None:
        answer = await ask_relay(
            session,
            Operation.RESULTS,
            ReportedResults(results=tuple(results)).model_dump_json(),
            seconds=_DEADLINE_SECONDS,
            max_bytes=_MAX_ANSWER_BYTES,
        )
        if answer is None:
            return None
        told = {result.call_id for result in results}
        return frozenset(ResultsAnswer.model_validate_json(answer).acknowledged) & told


def _fitting(results: list[ReportedResult]) -> list[ReportedResult]:
    """Return as many of the first as a relay takes at once, and one at least."""
    size = 0
    for place, result in enumerate(results):
        size += len(result.model_dump_json().encode())
        if place and size > _MAX_BATCH_BYTES:
            return results[:place]
    return results


def _result(entry: JournalEntry) -> ReportedResult:
    head = None if entry.head is None else ResponseHead.model_validate_json(entry.head)
    problem = None if head is None else head.problem
    detail = None if problem is None else problem.detail
    if head is None and entry.outcome is Outcome.UNKNOWN:
        detail = _STOPPED
    return ReportedResult(
        call_id=entry.call_id,
        outcome=entry.outcome or Outcome.UNKNOWN,
        status=entry.status,
        code=None if problem is None else problem.code,
        detail=None if detail is None else detail[:_MAX_DETAIL],
        already_absent=head is not None and head.already_absent,
    )
