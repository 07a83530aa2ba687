"""Results that agents tell of their own accord, until they are told that they are on disk."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import structlog

from cloud_connect.errors import Outcome, RemoteProtocolError
from cloud_connect_relay.calls.auditing import drafts_of_resolutions
from cloud_connect_relay.calls.journals import Finding
from cloud_connect_relay.calls.resolution import settled_by
from cloud_connect_relay.storage.calls import CallRecord, CallsOfAll, CallState

if TYPE_CHECKING:
    from cloud_connect.calls import ReportedResult
    from cloud_connect_relay.calls.ledger import Ledger
    from cloud_connect_relay.calls.running import RunningCall, RunningCalls
    from cloud_connect_relay.events.calls import CallEvents

__all__ = ["ForgedResultError", "Results"]

log = structlog.get_logger(__name__)

_UNDER_WAY: Final = frozenset({CallState.ACCEPTED, CallState.DISPATCHED})


class ForgedResultError(RemoteProtocolError):
    """An agent says that it carried out what another connector was asked for."""


class Results:
    """Settles calls by what their agents tell; a result may come any number of times."""

    def __init__(
        self,
        running: "RunningCalls",
        ledger: "Ledger",
        calls: CallsOfAll,
        events: "CallEvents",
        *,
        clock: Callable[[], float],
    ) -> None:
        self._running: Final = running
        self._ledger: Final = ledger
        self._calls: Final = calls
        self._events: Final = events
        self._clock: Final = clock

    async def take(
        self, connector_id: str, results: "Sequence[ReportedResult]", *, since: float
    ) -> list[str]:
        """Settle the connector's calls, durably; return the ids that need not come again.

        A call that runs here has its answer on the way, which tells more: its result is left to
        come again. What is not this connector's call is none of its business, now or later.

        Raises:
            ForgedResultError: If it claims to have carried out a call that another connector has.
        """
        _refuse_forgeries(connector_id, results, self._running.get)
        ended = [one for one in results if one.call_id not in self._running]
        await self._ledger.flush()
        known = {
            record.id: record for record in await self._calls.named([one.call_id for one in ended])
        }
        _refuse_forgeries(connector_id, ended, known.get)
        open_still: list[CallRecord] = []
        settled: list[CallRecord] = []
        taken: list[str] = []
        for result in ended:
            record = known.get(result.call_id)
            if record is not None and record.connector_id != connector_id:
                record = None
            if record is not None and record.state in _UNDER_WAY:
                continue  # its end is about to be recorded
            taken.append(result.call_id)
            if record is None:
                log.info("result_of_no_call", call_id=result.call_id, connector_id=connector_id)
            elif record.state is CallState.UNKNOWN and not record.final:
                open_still.append(record)
                settled.append(settled_by(record, _finding(result, since), now=self._clock()))
        await self._calls.settle_all(settled, audit=drafts_of_resolutions(open_still, settled))
        for record in settled:
            log.info("call_told", call_id=record.id, outcome=record.outcome)
            self._events.settled(record)
        return taken


def _refuse_forgeries(
    connector_id: str,
    results: "Sequence[ReportedResult]",
    find: "Callable[[str], RunningCall | CallRecord | None]",
) -> None:
    """Refuse claims that no honest agent can make.

    What another connector took over was not executed here; only an upsert is repeated elsewhere
    while its outcome is open.
    """
    for result in results:
        call = find(result.call_id)
        if call is None or call.upsert or result.outcome is not Outcome.COMPLETED:
            continue
        if call.connector_id not in {None, connector_id}:
            raise ForgedResultError(f"{connector_id} claims the result of another's call.")


def _finding(result: "ReportedResult", since: float) -> Finding:
    return Finding(
        outcome=result.outcome,
        since=since,
        status=result.status,
        code=result.code,
        detail=result.detail,
        already_absent=result.already_absent,
    )
