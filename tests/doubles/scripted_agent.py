"""An agent without Procore: a real session's handler that answers as a test scripts it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import Problem, RequestHead, ResponseHead, Trailers

__all__ = [
    "DRIFT",
    "Act",
    "Entry",
    "Heard",
    "ScriptedAgent",
    "hang",
    "holding",
    "problem",
    "row_lines",
]

DRIFT = {
    "version": 2,
    "previous_version": 1,
    "taken_at": "2026-11-26T10:00:00Z",
    "checked_at": "2026-11-26T11:00:00Z",
    "items": [
        {
            "resource": "rfis",
            "field": "custom_field_7",
            "kind": "gone",
            "last_seen_at": "2026-11-25T10:00:00Z",
            "used_by_queries": 3,
            "last_used_at": "2026-11-26T09:00:00Z",
        }
    ],
}

Act = Callable[[Exchange, bytes], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One call as the agent got it."""

    head: RequestHead
    body: bytes

    @property
    def params(self) -> dict[str, Any]:
        return self.head.params


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the journal keeps of a write; without a head it is still running."""

    head: ResponseHead | None
    body: bytes = b""


def problem(
    code: str,
    detail: str = "No.",
    *,
    status: int = 502,
    outcome: Outcome = Outcome.NOT_EXECUTED,
    **more: Any,
) -> ResponseHead:
    return ResponseHead(
        status=status,
        outcome=outcome,
        problem=Problem(code=code, detail=detail, status=status, outcome=outcome, **more),
    )


def row_lines(count: int, *, start: int = 0) -> bytes:
    return b"".join(
        orjson.dumps({"id": number, "subject": f"Row {number}"}) + b"\n"
        for number in range(start, start + count)
    )


def _record_answer(verb: Operation, body: bytes) -> tuple[ResponseHead, bytes]:
    done = ResponseHead(status=200, outcome=Outcome.COMPLETED)
    if verb is Operation.DELETE:
        return done, b"{}"
    if body.startswith(b"["):
        told = {"items": [{"index": 0, "status": "created"}], "count": 2, "failed": 1}
        return done.model_copy(update={"total_items": 2}), orjson.dumps(told)
    status = 201 if verb is Operation.CREATE else 200
    return done.model_copy(update={"status": status}), b'{"id":7,"name":"Dent"}'


@dataclass
class ScriptedAgent:
    """Records what it hears; answers by script, or with a plain success.

    Attributes:
        script: What to do per operation; takes the exchange and the request's body.
        executed: How often each call id was really carried out: the ledger of the tests.
        journal: Ended writes, kept across reconnects.
        reads_body: Read the request's body before the script acts.
        keeps_answers: Whether a journal's answer counts as the stored one.
    """

    script: dict[Operation, Act] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    executed: dict[str, int] = field(default_factory=dict)
    journal: dict[str, Entry] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    reads_body: bool = True
    keeps_answers: bool = True
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def calls(self) -> list[Heard]:
        return [one for one in self.heard if one.head.operation != Operation.JOURNAL]

    async def __call__(self, exchange: Exchange) -> None:
        operation = Operation(exchange.request.operation)
        if operation is Operation.ECHO:
            await exchange.send_head(ResponseHead(status=200), end_stream=True)
            return
        if operation is Operation.JOURNAL:
            self.heard.append(Heard(head=exchange.request, body=b""))
            await self._look_up(exchange)
            return
        try:
            body = b""
            if self.reads_body:
                body = b"".join([piece async for piece in exchange])
            self.heard.append(Heard(head=exchange.request, body=body))
            self.arrived.set()
            act = self.script.get(operation, self._succeed)
            await act(exchange, body)
        except asyncio.CancelledError:
            self.cancelled.append(exchange.request.call_id)
            raise

    def execute(self, call_id: str) -> None:
        self.executed[call_id] = self.executed.get(call_id, 0) + 1

    async def write(
        self, exchange: Exchange, body: bytes, *, head: ResponseHead, answer: bool = True
    ) -> None:
        """Carry a write out as the real agent does: once, journaled, then answered."""
        call_id = exchange.request.call_id
        if call_id not in self.journal:
            self.execute(call_id)
            self.journal[call_id] = Entry(head=head, body=body)
        if answer:
            await exchange.send_head(head, end_stream=not body)
            if body:
                await exchange.send(body, end_stream=True)

    async def _look_up(self, exchange: Exchange) -> None:
        entry = self.journal.get(exchange.request.params["call_id"])
        if entry is None:
            unheard = problem("not_found", "The connector does not know this call.", status=404)
            await exchange.send_head(unheard.model_copy(update={"outcome": None}), end_stream=True)
        elif entry.head is None:
            await exchange.send_head(ResponseHead(status=202), end_stream=True)
        else:
            head = entry.head.model_copy(update={"replayed": self.keeps_answers})
            await exchange.send_head(head, end_stream=not entry.body)
            if entry.body:
                await exchange.send(entry.body, end_stream=True)

    async def _succeed(self, exchange: Exchange, body: bytes) -> None:
        json = (("content-type", "application/json"),)
        match Operation(exchange.request.operation):
            case Operation.TEST:
                document: Any = {
                    "success": True,
                    "message": "Connection test succeeded",
                    "steps": [{"step": 1, "name": "policy", "status": "PASS", "message": "ok"}],
                }
                await self._whole(exchange, 200, orjson.dumps(document), json)
            case Operation.TREE | Operation.DRIFT as asked:
                known = DRIFT if asked is Operation.DRIFT else {"items": [{"name": "rfis"}]}
                await self._whole(exchange, 200, orjson.dumps(known), json)
            case Operation.LIST | Operation.QUERY_DRY_RUN:
                await self._rows(exchange, row_lines(3))
            case Operation.DRY_RUN:
                await self._rehearse(exchange)
            case Operation.QUERY:
                if orjson.loads(body)["action"] == "select":
                    await self._rows(exchange, row_lines(3))
                else:
                    head = ResponseHead(status=200, outcome=Outcome.COMPLETED)
                    await self.write(exchange, row_lines(1), head=head)
            case Operation.GET:
                await self._whole(exchange, 200, b'{"id":7}', json)
            case Operation.CREATE | Operation.UPDATE | Operation.DELETE as verb:
                head, record = _record_answer(verb, body)
                await self.write(exchange, record, head=head.model_copy(update={"headers": json}))
            case _:
                head = ResponseHead(status=200, headers=json, outcome=Outcome.COMPLETED)
                if exchange.request.params.get("method") in {"GET", "HEAD"}:
                    await self._whole(exchange, 200, b'{"ok":true}', json)
                else:
                    await self.write(exchange, b'{"ok":true}', head=head)

    async def _rehearse(self, exchange: Exchange) -> None:
        told = {"dryRun": True, "count": 1, "items": [{"id": 7}]}
        head = ResponseHead(status=200, outcome=Outcome.COMPLETED, total_items=1)
        await exchange.send_head(head)
        await exchange.send(orjson.dumps(told), end_stream=True)

    async def _whole(
        self,
        exchange: Exchange,
        status: int,
        body: bytes,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        await exchange.send_head(
            ResponseHead(status=status, headers=headers, outcome=Outcome.COMPLETED)
        )
        await exchange.send(body, end_stream=True)

    async def _rows(self, exchange: Exchange, rows: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200, outcome=Outcome.COMPLETED))
        await exchange.send(rows)
        await exchange.send_trailers(
            Trailers(outcome=Outcome.COMPLETED, total_items=rows.count(b"\n"), hops={"agent": 1.5})
        )


async def hang(_: Exchange, __: bytes) -> None:
    """Never answer."""
    await asyncio.Event().wait()


def holding(
    operation: Operation, head: ResponseHead, body: bytes = b'{"id":7}'
) -> tuple[ScriptedAgent, asyncio.Event]:
    """Make an agent that carries a write out and answers it once the event is set."""
    release = asyncio.Event()

    async def wait(exchange: Exchange, _: bytes) -> None:
        await release.wait()
        await agent.write(exchange, body, head=head)

    agent = ScriptedAgent(script={operation: wait})
    return agent, release
