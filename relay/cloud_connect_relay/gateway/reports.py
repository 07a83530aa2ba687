"""What agents send of their own accord: reports about themselves, and results of writes."""

from typing import TYPE_CHECKING, Final, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from cloud_connect import strict_json
from cloud_connect.audit import AuditExchange
from cloud_connect.calls import Operation, Report, ReportedResults, ResultsAnswer
from cloud_connect.closing import CloseCode
from cloud_connect.errors import ErrorCode, Outcome, RemoteProtocolError
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import Problem, ResponseHead
from cloud_connect_relay.gateway.misconduct import Misconduct
from cloud_connect_relay.gateway.registry import LiveSession, Registry
from cloud_connect_relay.storage.connector_sessions import ConnectorSessions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cloud_connect.calls import ReportedResult
    from cloud_connect_relay.gateway.checkpoint_desk import CheckpointDesk

__all__ = ["ReportReceiver"]

log = structlog.get_logger(__name__)

_MAX_BYTES: Final = 64 * 1024
_TAKEN: Final = frozenset({Operation.REPORT, Operation.RESULTS, Operation.AUDIT})


class Results(Protocol):
    """Who takes results of writes."""

    async def take_results(
        self, connector_id: str, results: "Sequence[ReportedResult]", *, since: float
    ) -> list[str]:
        """Note them durably; return the ids that need not be told again.

        Raises:
            RemoteProtocolError: If there are results of calls that the connector never had.
        """
        ...


class ReportReceiver:
    """The handler of streams that an agent opens.

    Args:
        results: Gets who takes results of writes.
        desk: Trades checkpoints of the audit logs.
        misconduct: Is told of forgeries.

    Attributes:
        live: The session they come over; set once it is built.
    """

    def __init__(
        self,
        registry: Registry,
        connectors: ConnectorSessions,
        *,
        results: "Callable[[], Results]",
        desk: "CheckpointDesk",
        misconduct: Misconduct,
    ) -> None:
        self.live: LiveSession | None = None
        self._registry: Final = registry
        self._connectors: Final = connectors
        self._results: Final = results
        self._desk: Final = desk
        self._misconduct: Final = misconduct

    async def __call__(self, exchange: Exchange) -> None:
        """Take in one report, or results; refuse anything else."""
        if exchange.request.operation not in _TAKEN:
            await _refuse(exchange, 405, "A relay takes reports only.")
            return
        body = bytearray()
        async for chunk in exchange:
            body += chunk
            if len(body) > _MAX_BYTES:
                await _refuse(exchange, 413, f"A report has at most {_MAX_BYTES} bytes.")
                return
        try:
            if exchange.request.operation == Operation.RESULTS:
                await self._take_results(exchange, bytes(body))
            elif exchange.request.operation == Operation.AUDIT:
                await self._trade(exchange, bytes(body))
            else:
                await self._take_report(exchange, bytes(body))
        except ValueError:  # ValidationError and StrictJsonError are ones
            await _refuse(exchange, 400, "This is no report.")

    async def _take_report(self, exchange: Exchange, body: bytes) -> None:
        report = strict_json.read(Report, body)
        if self.live is not None:
            self._registry.reported(self.live, report)
            await self._connectors.reported(self.live.connector_id, report)
            log.debug("agent_reported", connector_id=self.live.connector_id)
        await exchange.send_head(ResponseHead(status=204), end_stream=True)

    async def _take_results(self, exchange: Exchange, body: bytes) -> None:
        told = strict_json.read(ReportedResults, body).results
        taken: list[str] = []
        if self.live is not None:
            try:
                taken = await self._results().take_results(
                    self.live.connector_id, told, since=self.live.connected_since
                )
            except RemoteProtocolError:
                await self._misconduct.note(self.live, "connector.forged_result")
                await self._registry.cut(self.live.connector_id, CloseCode.PROTOCOL_ERROR)
                return
            except (SQLAlchemyError, OSError):
                log.warning("results_not_stored", exc_info=True)
                await _refuse(exchange, 503, "The relay's store is away; tell it again later.")
                return
        await exchange.send_head(ResponseHead(status=200))
        answer = ResultsAnswer(acknowledged=tuple(taken)).model_dump_json()
        await exchange.send(answer.encode(), end_stream=True)

    async def _trade(self, exchange: Exchange, body: bytes) -> None:
        told, live = strict_json.read(AuditExchange, body), self.live
        if live is None:
            await _refuse(exchange, 503, "The session has not begun; tell it again later.")
            return
        try:
            answer = await self._desk.trade(live.connector_id, live.subscription_id, told)
        except (SQLAlchemyError, OSError):
            log.warning("checkpoints_not_stored", exc_info=True)
            await _refuse(exchange, 503, "The relay's store is away; tell it again later.")
            return
        await exchange.send_head(ResponseHead(status=200))
        await exchange.send(answer.model_dump_json().encode(), end_stream=True)


async def _refuse(exchange: Exchange, status: int, detail: str) -> None:
    problem = Problem(
        code=ErrorCode.INVALID_REQUEST,
        detail=detail,
        outcome=Outcome.NOT_EXECUTED,
        status=status,
    )
    await exchange.send_head(ResponseHead(status=status, problem=problem), end_stream=True)
