"""The rows of a list of records on their way out."""

from typing import TYPE_CHECKING, Final

from cloud_connect_relay.api.call_response import answer_headers
from cloud_connect_relay.api.row_text import LineCounter, RowJoiner

if TYPE_CHECKING:
    from cloud_connect_relay.api.call_response import Reply
    from cloud_connect_relay.calls.answer import Answer

__all__ = ["LINES", "write_array", "write_lines"]

LINES: Final = "application/x-ndjson"
_JSON: Final = "application/json"


async def write_lines(answer: "Answer", reply: "Reply") -> None:
    """Stream rows, one a line."""
    counter = LineCounter()
    await reply.start(200, answer_headers(answer, media_type=LINES))
    async for piece in answer.chunks():
        await reply.write(counter.feed(piece))
        answer.rows = counter.total
    answer.rows = counter.total
    await reply.end()


async def write_array(answer: "Answer", reply: "Reply") -> None:
    """Stream rows as one JSON array."""
    joiner = RowJoiner()
    await reply.start(200, answer_headers(answer, media_type=_JSON))
    await reply.write(b"[")
    async for piece in answer.chunks():
        await reply.write(joiner.feed(piece))
        answer.rows = joiner.total
    answer.rows = joiner.total
    await reply.end(b"]")
