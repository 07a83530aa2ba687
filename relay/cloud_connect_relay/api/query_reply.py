"""A query's answer in the platform's shape: whole while it is small, streamed beyond."""

from typing import TYPE_CHECKING, Final

from cloud_connect_relay.api.bodies import to_json
from cloud_connect_relay.api.call_response import Reply, answer_headers
from cloud_connect_relay.api.row_text import RowJoiner
from cloud_connect_relay.calls.answer import BrokenAnswerError

if TYPE_CHECKING:
    from cloud_connect_relay.calls.answer import Answer

__all__ = ["write_query_answer"]

_MAX_WHOLE_BYTES: Final = 1024 * 1024
_MAX_WHOLE_ROWS: Final = 5000
_OUT_OF_REACH: Final = (
    "The request was carried out before; its answer is kept on the connector's PC, which cannot"
    " be asked at the moment."
)


async def write_query_answer(answer: "Answer", reply: Reply, *, dry_run: bool = False) -> None:
    """Write ``{"success":true,"items":[…]}``.

    A dry run's answer says that it is one, and how many records would be changed; without
    a count, they were too many to be counted.
    A small answer is complete before its first byte goes out: a failure on its way becomes
    the platform's ``success: false``, and ``Total-Items`` is known.

    Raises:
        CloudConnectError: What ended the rows early.
    """
    if not answer.body_available:
        answer.message = _OUT_OF_REACH
        await _whole(answer, reply, [], b"")
        return
    joiner, pieces = await _begin(answer)
    answer.rows = joiner.total
    if answer.ended:
        rehearsed = _rehearsed(answer) if dry_run else b""
        await _whole(answer, reply, pieces, rehearsed)
        return
    await reply.start(200, answer_headers(answer, media_type="application/json"))
    await reply.write(b'{"success":true,"items":[')
    await reply.write(b"".join(pieces))
    pieces.clear()
    async for piece in answer.chunks():
        answer.rows = joiner.total
        await reply.write(joiner.feed(piece))
    answer.rows = joiner.total
    rehearsed = _rehearsed(answer) if dry_run else b""
    await reply.end(b"]" + rehearsed + _tail(answer) + b"}")


async def _begin(answer: "Answer") -> tuple[RowJoiner, list[bytes]]:
    """Read the answer, or its beginning if it is long; until then it can come once more."""
    while True:
        joiner = RowJoiner()
        pieces: list[bytes] = []
        size = 0
        try:
            async for piece in answer.chunks():
                pieces.append(joiner.feed(piece))
                size += len(piece)
                if size > _MAX_WHOLE_BYTES or joiner.rows > _MAX_WHOLE_ROWS:
                    break
        except BrokenAnswerError as error:
            if not await answer.renewed(error):
                raise
        else:
            return joiner, pieces


async def _whole(answer: "Answer", reply: Reply, pieces: list[bytes], rehearsed: bytes) -> None:
    told = b"" if answer.message is None else b',"message":' + to_json(answer.message)
    body = b"".join(
        [b'{"success":true', told, b',"items":[', *pieces, b"]", rehearsed, _tail(answer), b"}"]
    )
    await reply.whole(200, answer_headers(answer, media_type="application/json"), body)


def _rehearsed(answer: "Answer") -> bytes:
    count = answer.total_items
    return b',"dryRun":true' + (b"" if count is None else b',"count":%d' % count)


def _tail(answer: "Answer") -> bytes:
    return b"" if answer.paging is None else b',"paging":' + to_json(answer.paging)
