"""Calls for records: reads that stream, writes that are journaled, and their dry runs."""

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from cloud_connect.calls import CallParams, DryRunParams, Operation, QueryParams, RecordParams
from cloud_connect.errors import InvalidRequestError, Outcome
from cloud_connect.mappings import records_of
from cloud_connect.query import Action, Query
from cloud_connect.tunnel import ResponseHead, Trailers
from cloud_connect_agent.audit.notes import call_note
from cloud_connect_agent.bounded_rows import BoundedRows
from cloud_connect_agent.policy.gate import Gate, Granted
from cloud_connect_agent.record_source import RecordSource, Rows
from cloud_connect_agent.reply import (
    JSON_HEADERS,
    ROWS_HEADERS,
    Call,
    by_deadline,
    completed,
    lines_of,
    read_all,
)
from cloud_connect_agent.write_answers import Answer, check_again, send_answer
from cloud_connect_agent.write_calls import Settle, Work, WriteCalls, fingerprint_of

__all__ = ["RecordCalls"]

_Record = Mapping[str, object]
_VERBS: Final = {
    "create": Operation.CREATE,
    "update": Operation.UPDATE,
    "delete": Operation.DELETE,
}


class RecordCalls:
    """Serves ``query`` and ``records.*``.

    Args:
        gate: Raises for what the policy refuses, and says how far the rest may go.
    """

    def __init__(
        self,
        executor: RecordSource,
        writes: WriteCalls,
        *,
        gate: Gate,
    ) -> None:
        self._executor: Final = executor
        self._writes: Final = writes
        self._gate: Final = gate

    async def read(self, call: Call, operation: Operation, params: RecordParams) -> None:
        """Answer ``records.list`` and ``records.get``.

        Raises:
            CloudConnectError: Why there is no answer, or not all of it.
        """
        accesses = self._executor.accesses(operation, params)
        async with by_deadline(call):
            granted = await self._gate.allow(
                accesses, call.deadline, executes=not params.replay_only
            )
        if operation is Operation.LIST:
            async with by_deadline(call):
                rows = await self._executor.list(params, call.deadline)
            await self._send_rows(call, rows, granted, params.limit)
            return
        async with by_deadline(call):
            record = await self._executor.get(params, call.deadline)
        await call.reply.send(completed(200, JSON_HEADERS), orjson.dumps(record))

    async def query(self, call: Call, params: QueryParams, *, dry_run: bool) -> None:
        """Answer a query of the platform.

        Args:
            dry_run: Change nothing, whatever the query itself says.

        Raises:
            CloudConnectError: Why there is no answer, or not all of it.
        """
        body = await read_all(call)
        query = Query.parse(body)
        if dry_run:
            query = query.model_copy(update={"dry_run": True})
        accesses = self._executor.accesses_of_query(params.source, query)
        async with by_deadline(call):
            granted = await self._gate.allow(
                accesses, call.deadline, executes=not params.replay_only
            )
        granted.check_body(len(body))
        ceiling = granted.ceiling
        if any(access.verb.writes for access in accesses) and not query.dry_run:
            self._check_again(params, query.info.name, creates=query.action is Action.INSERT)

            async def work(_: Settle) -> Answer:
                rows = await self._executor.query(
                    params.source,
                    query,
                    call.deadline,
                    interactive=params.interactive,
                    ceiling=ceiling,
                    seed=params.seed,
                )
                kept = await _collect(rows)
                return Answer(head=_told(rows, ROWS_HEADERS), body=kept)

            await self.journaled(call, Operation.QUERY, params, body, work)
            return
        note = call_note.get()
        if note is not None:
            note.asked = body
        async with by_deadline(call):
            rows = await self._executor.query(
                params.source,
                query,
                call.deadline,
                interactive=params.interactive,
                ceiling=ceiling,
            )
        await self._send_rows(call, rows, granted, query.row_limit)

    async def write(self, call: Call, operation: Operation, params: RecordParams) -> None:
        """Answer ``records.create``, of one record or of a list, ``update`` and ``delete``.

        Raises:
            CloudConnectError: Why there is no answer.
        """
        body = await read_all(call)
        self._check_again(params, params.resource, creates=operation is Operation.CREATE)
        document = {} if operation is Operation.DELETE else _document_of(body)
        if operation is Operation.CREATE and isinstance(document, list):
            await self._create_many(call, params, body, records_of(document))
            return
        record = _record_of(document)
        accesses = self._executor.accesses(operation, params, record)
        async with by_deadline(call):
            granted = await self._gate.allow(
                accesses, call.deadline, executes=not params.replay_only
            )
        granted.check_body(len(body))

        async def work(_: Settle) -> Answer:
            status = 200
            if operation is Operation.CREATE:
                status = 201
                done = await self._executor.create(params, record, call.deadline)
            elif operation is Operation.UPDATE:
                done = await self._executor.update(params, record, call.deadline)
            else:
                done = await self._executor.delete(params, call.deadline)
            head = completed(status, JSON_HEADERS).model_copy(
                update={"already_absent": done.get("already_absent") is True}
            )
            return Answer(head=head, body=orjson.dumps(done))

        await self.journaled(call, operation, params, body, work)

    async def dry_run(self, call: Call, params: DryRunParams) -> None:
        """Answer ``records.dry_run``.

        Raises:
            CloudConnectError: Why the write itself would be refused.
        """
        body = await read_all(call)
        operation = _VERBS[params.verb]
        records: Sequence[_Record] = ()
        if operation is not Operation.DELETE:
            document = _document_of(body)
            several = operation is Operation.CREATE and isinstance(document, list)
            records = records_of(document) if several else (_record_of(document),)
        accesses = self._executor.accesses_of_dry_run(operation, params, records)
        async with by_deadline(call):
            granted = await self._gate.allow(
                accesses, call.deadline, executes=not params.replay_only
            )
            granted.check_body(len(body))
            ceiling = granted.ceiling
            rows = await self._executor.dry_run(
                operation, params, records, call.deadline, ceiling=ceiling
            )
            items = await _rows_of(rows)
        document = {"dryRun": True, "count": len(items), "message": rows.message, "items": items}
        await call.reply.send(_told(rows, JSON_HEADERS), orjson.dumps(document))

    async def _create_many(
        self, call: Call, params: RecordParams, body: bytes, records: Sequence[_Record]
    ) -> None:
        accesses = self._executor.accesses_of_records(params, records)
        async with by_deadline(call):
            granted = await self._gate.allow(
                accesses, call.deadline, executes=not params.replay_only
            )
        granted.check_body(len(body))
        ceiling = granted.ceiling

        async def work(_: Settle) -> Answer:
            rows = await self._executor.create_many(params, records, call.deadline, ceiling=ceiling)
            items = await _rows_of(rows)
            failed = sum(item.get("status") not in _SUCCEEDED for item in items)
            document = {"items": items, "count": len(items), "failed": failed}
            return Answer(head=_told(rows, JSON_HEADERS), body=orjson.dumps(document))

        await self.journaled(call, Operation.CREATE, params, body, work)

    def _check_again(
        self, params: QueryParams | RecordParams, resource: str, *, creates: bool
    ) -> None:
        repeatable = bool(creates and params.seed and self._executor.upserts(resource))
        check_again(again=params.again, repeatable=repeatable)

    async def journaled(
        self, call: Call, operation: Operation, params: CallParams, body: bytes, work: Work
    ) -> None:
        """Answer a write with what *work* makes of it, or what it made of it before.

        Raises:
            CloudConnectError: Why there is no answer.
        """
        fingerprint = fingerprint_of(operation, call.head.params, body, seal=call.seal)
        if params.replay_only:
            answer: Answer | None = await self._writes.replay(call, fingerprint)
        else:
            answer = await self._writes.run(call, operation, fingerprint, work, again=params.again)
        if answer is not None:
            await send_answer(call, answer)

    async def _send_rows(self, call: Call, rows: Rows, granted: Granted, limit: int | None) -> None:
        head = _told(rows, ROWS_HEADERS)
        rows = BoundedRows(rows, granted, limit)
        try:
            rows.check_announced()
            await call.reply.send_rows(
                head, rows, lambda: Trailers(outcome=Outcome.COMPLETED, hops=call.hops)
            )
        finally:
            await rows.aclose()


_SUCCEEDED: Final = frozenset({"created", "updated"})


def _told(rows: Rows, headers: tuple[tuple[str, str], ...]) -> ResponseHead:
    """The head of rows, with what is known of them by now."""
    outcome = Outcome.UNKNOWN if rows.unclear else Outcome.COMPLETED
    return completed(200, headers).model_copy(
        update={"outcome": outcome, "total_items": rows.total_items, "message": rows.message}
    )


def _document_of(body: bytes) -> object:
    try:
        document: object = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequestError(f"The record is not valid JSON: {exc}.") from exc
    return document


def _record_of(document: object) -> _Record:
    if not isinstance(document, dict):
        raise InvalidRequestError("The record must be a JSON object.")
    return document


async def _rows_of(rows: Rows) -> list[Mapping[str, object]]:
    try:
        return [row async for batch in rows.batches() for row in batch]
    finally:
        await rows.aclose()


async def _collect(rows: Rows) -> bytes:
    kept = bytearray()
    try:
        async for batch in rows.batches():
            for piece in lines_of(batch):
                kept += piece
    finally:
        await rows.aclose()
    return bytes(kept)
