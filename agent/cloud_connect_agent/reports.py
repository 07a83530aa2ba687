"""What the agent tells its relay about itself, and when that changes."""

import asyncio
import uuid
from typing import TYPE_CHECKING, Final

import structlog

from cloud_connect.calls import Operation, Report
from cloud_connect.errors import QuotaExceededError, StreamResetError
from cloud_connect.tunnel import RequestHead

if TYPE_CHECKING:
    from cloud_connect.session import Session

__all__ = ["ReportBoard", "send_reports"]

log = structlog.get_logger(__name__)

_DEADLINE_MS: Final = 30_000
_RETRY_SECONDS: Final = 5.0


class ReportBoard:
    """The report of this moment; whoever knows better publishes another one."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._change = asyncio.Event()

    @property
    def report(self) -> Report:
        """What holds at the moment."""
        return self._report

    def publish(self, report: Report) -> None:
        """Replace it."""
        if report != self._report:
            self._report = report
            self._change.set()
            self._change = asyncio.Event()

    async def other_than(self, told: Report | None) -> Report:
        """Wait until there is another report than the one that was told."""
        while self._report == told:
            await self._change.wait()
        return self._report


async def send_reports(session: "Session", board: ReportBoard) -> None:
    """Tell the relay what holds, and every change of it, until the session ends.

    Raises:
        TunnelClosedError: When it ends.
    """
    told: Report | None = None
    while True:
        report = await board.other_than(told)
        head = RequestHead(
            operation=Operation.REPORT,
            call_id=f"report_{uuid.uuid4().hex}",
            deadline_ms=_DEADLINE_MS,
        )
        try:
            exchange = await session.open(head)
            await exchange.send(report.model_dump_json().encode(), end_stream=True)
            answer = await exchange.receive_head()
        except (StreamResetError, QuotaExceededError) as exc:
            log.warning("report_not_taken", error=exc.message)
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        told = report
        if answer.status >= 400:
            log.warning("report_refused", status=answer.status)
