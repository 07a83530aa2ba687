"""Responses that run a call while their caller listens."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import structlog
from starlette.responses import Response

from cloud_connect.errors import CloudConnectError, DeadlineExceededError, Outcome
from cloud_connect_relay.api.hang_up import until_hang_up
from cloud_connect_relay.api.problems import problem_response
from cloud_connect_relay.caller import caller_of
from cloud_connect_relay.calls.times import server_timing
from cloud_connect_relay.corked_transport import UNREAD_SECONDS

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from cloud_connect_relay.api.hang_up import CallerWatch
    from cloud_connect_relay.caller import Caller
    from cloud_connect_relay.calls.answer import Answer

__all__ = [
    "CallResponse",
    "Reply",
    "answer_headers",
    "call_problem",
    "lookup_of",
    "with_call",
]

log = structlog.get_logger(__name__)

_EXPOSED: Final = b"Total-Items, Cloud-Connect-Call-Id, Idempotency-Replayed, Server-Timing"


def call_problem(error: CloudConnectError) -> Response:
    """Return a call's failure as a problem document, with where its fate can be read."""
    return with_call(problem_response(error, call_id=error.call_id, lookup=lookup_of(error)), error)


def lookup_of(error: CloudConnectError) -> str | None:
    """Return where the fate of a failed call can be read."""
    return None if error.call_id is None else f"/api/calls/{error.call_id}"


def with_call(response: Response, error: CloudConnectError) -> Response:
    """Add the headers that every failure of a call carries."""
    if error.call_id is not None:
        response.headers["Cloud-Connect-Call-Id"] = error.call_id
    if error.hops:
        response.headers["Server-Timing"] = server_timing(error.hops)
    if error.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    if error.outcome is Outcome.UNKNOWN:
        response.headers["Should-Retry"] = "false"
    return response


def answer_headers(answer: "Answer", *, media_type: str | None) -> list[tuple[bytes, bytes]]:
    """Return the headers that every answer of a call carries."""
    headers = [
        (b"cloud-connect-call-id", answer.call_id.encode()),
        (b"access-control-expose-headers", _EXPOSED),
        (b"cache-control", b"no-store"),
    ]
    if media_type is not None:
        headers.append((b"content-type", media_type.encode()))
    if answer.total_items is not None:
        headers.append((b"total-items", str(answer.total_items).encode()))
    if spent := answer.spent:
        headers.append((b"server-timing", server_timing(spent).encode()))
    if answer.replayed:
        headers.append((b"idempotency-replayed", b"true"))
    return headers


class Reply:
    """What a call's answer is written to: a status once, then pieces, then the end.

    Each waits while the caller does not read, and raises :class:`DeadlineExceededError` once it
    has read nothing for minutes, and its connection is cut.
    """

    def __init__(self, send: "Send", caller: "Caller | None") -> None:
        self._send: Final = send
        self._caller: Final = caller
        self.started = False

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the status line and the headers."""
        self.started = True
        await self._sent({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, piece: bytes) -> None:
        """Send a piece of body."""
        if piece:
            await self._sent({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self, piece: bytes = b"") -> None:
        """Send the last piece."""
        await self._sent({"type": "http.response.body", "body": piece, "more_body": False})

    async def whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Send an answer whose body is complete."""
        length = (b"content-length", str(len(body)).encode())
        await self.start(status, [*headers, length])
        await self.end(body)

    async def _sent(self, message: dict[str, object]) -> None:
        try:
            async with asyncio.timeout(UNREAD_SECONDS):
                await self._send(message)
        except TimeoutError:
            if self._caller is not None:
                self._caller.cut()
            raise DeadlineExceededError("The caller stopped reading the answer.") from None


class CallResponse(Response):
    """Runs a call and writes its answer; a caller who hangs up ends it.

    A failure before the first byte becomes a problem document. One after it breaks the
    connection without the body's end, so that nobody takes a part for the whole.

    Args:
        body: Reads the request's body while the call runs, if it is a long one.
    """

    def __init__(
        self,
        run: Callable[[Reply], Awaitable[None]],
        *,
        refuse: Callable[[CloudConnectError], Response] = call_problem,
        body: "Callable[[CallerWatch], Awaitable[None]] | None" = None,
    ) -> None:
        super().__init__()
        self._body: Final = body
        self._run: Final = run
        self._refuse: Final = refuse

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Run the call and answer."""
        reply = Reply(send, caller_of(scope))
        refusal: Response | None = None
        async with until_hang_up(scope, receive, body=self._body):
            try:
                await self._run(reply)
            except CloudConnectError as error:
                if reply.started:
                    log.info("answer_broken_off", call_id=error.call_id, code=error.code.value)
                else:
                    refusal = self._refuse(error)
        if refusal is not None:
            await refusal(scope, receive, send)


def json_headers(answer: "Answer") -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer in JSON."""
    return answer_headers(answer, media_type="application/json")
