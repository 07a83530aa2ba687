"""Rows of a query on their way to a browser: as they come for a script, or a page of them.

For a script: a row a line, each an object, and a last line that is an array with one object: how
it ended. So a reader knows a broken stream from one that is complete, and why it broke.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from cloud_connect.errors import CloudConnectError
from cloud_connect_relay.api.bodies import to_json
from cloud_connect_relay.api.call_response import CallResponse, answer_headers
from cloud_connect_relay.api.record_rows import LINES
from cloud_connect_relay.api.row_text import LineCounter
from cloud_connect_relay.console.hops import Hop, hop_documents, hops_of

if TYPE_CHECKING:
    from cloud_connect_relay.api.call_response import Reply
    from cloud_connect_relay.api.query_requests import QueryCall
    from cloud_connect_relay.calls.answer import Answer
    from cloud_connect_relay.services import Services

__all__ = ["RowPage", "read_rows", "stream_rows"]

_MAX_PAGE_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPage:
    """Rows that have come, all of them.

    Attributes:
        total: How many there are in all, where that is known.
        cursor: Where the next ones begin, while there are more.
        message: A sentence about what was done, or would be.
    """

    call_id: str
    rows: list[dict[str, Any]]
    total: int | None
    cursor: str | None
    message: str | None
    hops: list[Hop]
    replayed: bool


def stream_rows(services: "Services", call: "QueryCall") -> CallResponse:
    """Return the response that passes rows on as they come; hanging up cancels the call."""

    async def run(reply: "Reply") -> None:
        counter = LineCounter()
        try:
            async with call.run(services) as answer:
                await reply.start(200, answer_headers(answer, media_type=LINES))
                async for piece in answer.chunks():
                    await reply.write(counter.feed(piece))
                    answer.rows = counter.total
                answer.rows = counter.total
        except CloudConnectError as error:
            if not reply.started:
                raise
            await reply.end(_last(_failure(error, rows=counter.rows)))
        else:
            await reply.end(_last(_success(answer, rows=counter.total)))

    return CallResponse(run)


async def read_rows(services: "Services", call: "QueryCall") -> RowPage:
    """Return the rows of a query that asks for few.

    Raises:
        CloudConnectError: Why there are none.
    """
    async with call.run(services) as answer:
        text = await answer.collect(max_bytes=_MAX_PAGE_BYTES)
        rows = [row for line in text.splitlines() if isinstance(row := orjson.loads(line), dict)]
        answer.rows = len(rows)
    return RowPage(
        call_id=answer.call_id,
        rows=rows,
        total=answer.total_items,
        cursor=answer.paging,
        message=answer.message,
        hops=hops_of(answer.spent),
        replayed=answer.replayed,
    )


def _success(answer: "Answer", *, rows: int) -> dict[str, Any]:
    return {
        "call_id": answer.call_id,
        "rows": rows,
        "total": answer.total_items,
        "cursor": answer.paging,
        "message": answer.message,
        "hops": hop_documents(answer.spent),
    }


def _failure(error: CloudConnectError, *, rows: int) -> dict[str, Any]:
    return {
        "call_id": error.call_id,
        "rows": rows,
        "problem": {"message": error.message, "code": error.code.value},
        "hops": hop_documents(error.hops),
    }


def _last(document: dict[str, Any]) -> bytes:
    """Return the last line; it begins with a line's end, since the row before may be cut."""
    return b"\n" + to_json([document]) + b"\n"
