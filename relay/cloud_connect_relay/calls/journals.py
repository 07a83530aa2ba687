"""Agents' journals: what became of a call whose answer did not arrive, and the answer itself."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from cloud_connect.calls import Operation
from cloud_connect.errors import CloudConnectError, ErrorCode, Outcome
from cloud_connect.problems import error_of
from cloud_connect.tunnel import RequestHead, ResetCode
from cloud_connect_relay.calls.answer import Answer

if TYPE_CHECKING:
    from cloud_connect.exchange import Exchange
    from cloud_connect.tunnel import ResponseHead
    from cloud_connect_relay.gateway.registry import LiveSession, Registry
    from cloud_connect_relay.storage.calls import CallRecord

__all__ = ["Finding", "Journals"]

log = structlog.get_logger(__name__)

_ASK_SECONDS: Final = 5.0  # for an answer from a journal, which is one look into a local file
_MAX_STORED_BYTES: Final = 1024 * 1024  # a journal keeps less


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a journal tells of a call.

    Attributes:
        outcome: ``None`` while the call runs.
        heard: Whether the agent has an entry for it.
        since: When the session began over which the journal was asked, in UNIX seconds.
    """

    outcome: Outcome | None
    heard: bool = True
    since: float
    status: int | None = None
    code: str | None = None
    detail: str | None = None
    already_absent: bool = False


class Journals:
    """Asks the journals of connected agents."""

    def __init__(self, registry: "Registry", *, clock: Callable[[], float] = time.time) -> None:
        self._registry: Final = registry
        self._clock: Final = clock

    async def find(self, record: "CallRecord") -> Finding | None:
        """Return what the agent knows of the call; ``None`` if it cannot be asked now."""
        live = self._session(record)
        if live is None:
            return None
        try:
            async with asyncio.timeout(_ASK_SECONDS), self._asked(live, record) as exchange:
                return _finding(await exchange.receive_head(), since=live.connected_since)
        except (CloudConnectError, TimeoutError) as error:
            log.info("journal_not_asked", call_id=record.id, reason=str(error))
            return None

    async def stored(self, record: "CallRecord") -> Answer | CloudConnectError | None:
        """Return the stored answer to the call, or the failure that was its answer.

        The request is not sent again, so there is nothing that could be executed. ``None`` if
        the answer was not kept, or is out of reach.
        """
        live = self._session(record)
        if live is None:
            return None
        try:
            async with asyncio.timeout(_ASK_SECONDS), self._asked(live, record) as exchange:
                head = await exchange.receive_head()
                if not head.replayed:
                    return None
                if head.problem is not None:
                    return error_of(head.problem, call_id=record.id)
                answer = Answer.of(record.id, head, exchange)
                await answer.collect(max_bytes=_MAX_STORED_BYTES)
                return answer
        except (CloudConnectError, TimeoutError) as error:
            log.info("answer_not_replayed", call_id=record.id, reason=str(error))
            return None

    def _session(self, record: "CallRecord") -> "LiveSession | None":
        if record.connector_id is None:
            return None
        live = self._registry.get(record.connector_id)
        if live is None or live.subscription_id != record.subscription_id:
            return None
        return live

    @contextlib.asynccontextmanager
    async def _asked(self, live: "LiveSession", record: "CallRecord") -> AsyncIterator["Exchange"]:
        age = self._clock() - (record.dispatched_at or record.started_at)
        exchange = await live.session.open(
            RequestHead(
                operation=Operation.JOURNAL,
                call_id=record.id,
                deadline_ms=int(_ASK_SECONDS * 1000),
                params={"call_id": record.id, "age_ms": int(max(0.0, age) * 1000)},
            ),
            end_stream=True,
        )
        try:
            yield exchange
        finally:
            if not exchange.receive_ended:
                exchange.reset(ResetCode.CANCEL)


def _finding(head: "ResponseHead", *, since: float) -> Finding | None:
    problem = head.problem
    if problem is None:
        return Finding(
            outcome=head.outcome,
            since=since,
            status=head.status,
            already_absent=head.already_absent,
        )
    if problem.code == ErrorCode.NOT_FOUND:
        # Either the agent never heard of the call, or it did not keep the answer.
        return Finding(
            outcome=head.outcome or problem.outcome, heard=head.outcome is not None, since=since
        )
    if not head.replayed:
        return None  # it refused the question, and tells of no call
    return Finding(
        outcome=head.outcome or problem.outcome,
        since=since,
        status=problem.status,
        code=problem.code,
        detail=problem.detail,
    )
