"""Answers that come from an agent's journal: after a broken connection, and to a repeat."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import orjson

from cloud_connect.errors import AgentOfflineError, CloudConnectError, Outcome
from cloud_connect_relay.calls.answer import Answer
from cloud_connect_relay.calls.failures import restored
from cloud_connect_relay.calls.resolution import settled_by

if TYPE_CHECKING:
    from cloud_connect_relay.calls.journals import Finding, Journals
    from cloud_connect_relay.calls.resolution import Resolution
    from cloud_connect_relay.calls.running import RunningCall
    from cloud_connect_relay.storage.calls import CallRecord

__all__ = ["Recovery"]

_PAUSE_SECONDS: Final = 0.5  # between two looks for the agent
_ANSWER_SECONDS: Final = 0.5  # of the deadline, left for telling that the outcome is unknown


class Recovery:
    """Gets the answers of executed writes from where they were executed."""

    def __init__(self, journals: "Journals", resolution: "Resolution") -> None:
        self._journals: Final = journals
        self._resolution: Final = resolution

    async def after(
        self, error: CloudConnectError, call: "RunningCall", *, wanted: Callable[[], bool]
    ) -> Answer:
        """Wait for the agent that has *call*, as long as the deadline lasts, for its answer.

        Args:
            wanted: Whether somebody still waits; if not, the outcome is settled later.

        Raises:
            CloudConnectError: What the journal tells instead, or *error* when it tells nothing.
        """
        call.give_turns_back()  # no connector works on it for this relay any more
        record = call.record()
        try:
            async with asyncio.timeout_at(call.deadline - _ANSWER_SECONDS):
                finding = await self._finding(record, wanted)
                if finding is None:
                    raise error
                if finding.outcome is Outcome.COMPLETED:
                    known = settled_by(record, finding, now=record.started_at)
                    return await self._first(known)
        except TimeoutError:
            raise error from None
        if finding.outcome is Outcome.NOT_EXECUTED:
            raise AgentOfflineError(
                "The connection to the connector was lost before it began; nothing was executed,"
                " so the request may be repeated."
            ) from None
        raise error

    async def stored(self, record: "CallRecord") -> Answer:
        """Return the answer that the completed call of *record* got.

        Raises:
            CloudConnectError: If its answer was a failure.
        """
        answer = await self._journals.stored(record)
        if answer is None:
            answer = _without_body(record) if record.code is None else restored(record)
        if isinstance(answer, CloudConnectError):
            answer.replayed = True
            raise answer
        return answer

    async def left_open(self, record: "CallRecord") -> Answer:
        """Return the answer of a call of unknown outcome that tells more.

        That of a list of new records does: whoever repeats the call learns what became of each.

        Raises:
            OutcomeUnknownError: If there is none, or it is out of reach.
        """
        answer = None if record.code is not None else await self._journals.stored(record)
        if not isinstance(answer, Answer):
            raise restored(record)
        return answer

    async def _finding(self, record: "CallRecord", wanted: Callable[[], bool]) -> "Finding | None":
        while wanted():
            finding = await self._resolution.ask(record)
            if finding is not None:
                return finding
            await asyncio.sleep(_PAUSE_SECONDS)
        return None

    async def _first(self, record: "CallRecord") -> Answer:
        """Return a call's answer to the caller who has not got it yet."""
        try:
            answer = await self.stored(record)
        except CloudConnectError as error:
            error.replayed = False
            raise
        answer.replayed = False
        return answer


def _without_body(record: "CallRecord") -> Answer:
    status = record.status or 200
    body = orjson.dumps(
        {
            "call_id": record.id,
            "outcome": Outcome.COMPLETED.value,
            "status": status,
            "body_available": False,
        }
    )
    answer = Answer(
        record.id,
        status=status,
        headers=(("content-type", "application/json"),),
        body=body,
        replayed=True,
    )
    answer.body_available = False
    return answer
