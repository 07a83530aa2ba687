"""Agents' journals: what became of a call whose answer did not arrive, and the answer itself."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from cloud_connect.calls import Operation
from cloud_connect.errors import CloudConnectError, ErrorCode, Outcome
from cloud_connect.tunnel import RequestHead, ResetCode

if TYPE_CHECKING:
    from cloud_connect.exchange import Exchange
    from cloud_connect.tunnel import ResponseHead
    from cloud_connect_relay.calls.spec import CallSpec
    from cloud_connect_relay.gateway.registry import LiveSession, Registry
    from cloud_connect_relay.storage.calls import CallRecord

__all__ = ["Finding", "Journals"]

log = structlog.get_logger(__name__)

_ASK_SECONDS: Final = 5.0  # for an answer from a journal, which is one look into a local file


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


class Journals:
    """Asks the journals of connected agents."""

    def __init__(self, registry: "Registry") -> None:
        self._registry: Final = registry

    async def find(self, record: "CallRecord") -> Finding | None:
        """Return what the agent knows of the call; ``None`` if it cannot be asked now."""
        live = self._session(record)
        if live is None:
            return None
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                exchange = await live.session.open(
                    RequestHead(
                        operation=Operation.JOURNAL,
                        call_id=record.id,
                        deadline_ms=int(_ASK_SECONDS * 1000),
                        params={"call_id": record.id},
                    ),
                    end_stream=True,
                )
                try:
                    return _finding(await exchange.receive_head(), since=live.connected_since)
                finally:
                    exchange.reset(ResetCode.CANCEL)
        except (CloudConnectError, TimeoutError) as error:
            log.info("journal_not_asked", call_id=record.id, reason=str(error))
            return None

    async def replay(
        self, record: "CallRecord", spec: "CallSpec"
    ) -> "tuple[Exchange, ResponseHead] | None":
        """Return the stored answer to the call as a stream; ``None`` if it cannot be had now.

        Args:
            spec: The repeated request, equal to the first; nothing of it is executed.
        """
        live = self._session(record)
        if live is None:
            return None
        exchange: Exchange | None = None
        head: ResponseHead | None = None
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                exchange = await live.session.open(
                    RequestHead(
                        operation=spec.operation,
                        call_id=record.id,
                        deadline_ms=int(_ASK_SECONDS * 1000),
                        params=_replay_only(spec),
                        headers=spec.headers,
                    ),
                    end_stream=not spec.body,
                )
                if spec.body:
                    await exchange.send(spec.body, end_stream=True)
                head = await exchange.receive_head()
        except (CloudConnectError, TimeoutError) as error:
            log.info("answer_not_replayed", call_id=record.id, reason=str(error))
            return None
        finally:
            if exchange is not None and head is None:
                exchange.reset(ResetCode.CANCEL)
        if not head.replayed:
            # The journal has forgotten the call, or its answer was too large to be kept.
            exchange.reset(ResetCode.CANCEL)
            return None
        return exchange, head

    def _session(self, record: "CallRecord") -> "LiveSession | None":
        if record.connector_id is None:
            return None
        live = self._registry.get(record.connector_id)
        if live is None or live.subscription_id != record.subscription_id:
            return None
        return live


def _replay_only(spec: "CallSpec") -> Mapping[str, Any]:
    return {"source": spec.target.source, **spec.params, "replay_only": True}


def _finding(head: "ResponseHead", *, since: float) -> Finding:
    problem = head.problem
    if problem is None:
        return Finding(outcome=head.outcome, since=since, status=head.status)
    return Finding(
        outcome=head.outcome or problem.outcome,
        heard=head.outcome is not None or problem.code != ErrorCode.NOT_FOUND,
        since=since,
        status=problem.status,
        code=problem.code,
        detail=problem.detail,
    )
