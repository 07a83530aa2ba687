"""What agents send of their own accord: reports about themselves."""

from typing import Final

import structlog
from pydantic import ValidationError

from cloud_connect.calls import Operation, Report
from cloud_connect.errors import ErrorCode, Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import Problem, ResponseHead
from cloud_connect_relay.gateway.registry import LiveSession, Registry
from cloud_connect_relay.storage.connector_sessions import ConnectorSessions

__all__ = ["ReportReceiver"]

log = structlog.get_logger(__name__)

_MAX_BYTES: Final = 64 * 1024


class ReportReceiver:
    """The handler of streams that an agent opens.

    Attributes:
        live: The session they come over; set once it is built.
    """

    def __init__(self, registry: Registry, connectors: ConnectorSessions) -> None:
        self.live: LiveSession | None = None
        self._registry: Final = registry
        self._connectors: Final = connectors

    async def __call__(self, exchange: Exchange) -> None:
        """Take in one report; refuse anything else."""
        if exchange.request.operation != Operation.REPORT:
            await _refuse(exchange, 405, "A relay takes reports only.")
            return
        body = bytearray()
        async for chunk in exchange:
            body += chunk
            if len(body) > _MAX_BYTES:
                await _refuse(exchange, 413, f"A report has at most {_MAX_BYTES} bytes.")
                return
        try:
            report = Report.model_validate_json(bytes(body))
        except ValidationError:
            await _refuse(exchange, 400, "This is no report.")
            return
        if self.live is not None:
            self._registry.reported(self.live, report)
            await self._connectors.reported(self.live.connector_id, report)
            log.debug("agent_reported", connector_id=self.live.connector_id)
        await exchange.send_head(ResponseHead(status=204), end_stream=True)


async def _refuse(exchange: Exchange, status: int, detail: str) -> None:
    problem = Problem(
        code=ErrorCode.INVALID_REQUEST,
        detail=detail,
        outcome=Outcome.NOT_EXECUTED,
        status=status,
    )
    await exchange.send_head(ResponseHead(status=status, problem=problem), end_stream=True)
