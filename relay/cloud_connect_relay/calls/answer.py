"""An answer as it comes through the tunnel: its head at once, its body piece by piece."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

from cloud_connect.errors import (
    BodyTooLargeError,
    CloudConnectError,
    Outcome,
    SourceUnavailableError,
    StreamResetError,
    TunnelClosedError,
)
from cloud_connect.problems import error_of
from cloud_connect.tunnel import ResetCode

if TYPE_CHECKING:
    from cloud_connect.exchange import Exchange
    from cloud_connect.tunnel import ResponseHead, Trailers
    from cloud_connect_relay.calls.times import CallTimes

__all__ = ["Answer", "BrokenAnswerError"]

_STALL_SECONDS: Final = 60.0  # without a byte from the agent, after which an answer is given up


class BrokenAnswerError(SourceUnavailableError):
    """The way to the agent broke before the answer's end; another agent may have it whole."""


class Answer:
    """What a caller gets: a head, and a body that may still be on its way.

    Attributes:
        replayed: It is the stored answer to an earlier request with the same key.
        total_items: How many rows the query has in all, once that is known.
        paging: The cursor of the rows that remain, once the body has ended.
        message: A sentence for people about what was done.
        already_absent: It is that of a deletion which found deleted what it had deleted.
        rows: The rows of the body so far, if whoever passes it on counts them.
        received_bytes: Its bytes so far.
        ended: Whether all of the body has come.
        hops: Milliseconds per hop, as the agent tells them; its last word counts.
        times: Where the time of the call went; an answer of old has none.
        body_available: Whether there is a body to come at all; the answer to a write that was
            executed before may be out of reach, on a PC that is not connected.
        again: Asks for the whole answer once more, if that is possible, after it broke off, and
            tells whether it could; only for whoever has not passed any of it on.
    """

    def __init__(
        self,
        call_id: str,
        *,
        status: int,
        headers: tuple[tuple[str, str], ...] = (),
        body: "bytes | Exchange" = b"",
        replayed: bool = False,
        total_items: int | None = None,
        paging: str | None = None,
    ) -> None:
        self.call_id: Final = call_id
        self.status = status
        self.headers = headers
        self.replayed = replayed
        self.total_items = total_items
        self.paging = paging
        self.outcome: Outcome | None = None
        self.message: str | None = None
        self.already_absent = False
        self.hops: Mapping[str, float] = {}
        self.times: CallTimes | None = None
        self.received_bytes = 0
        self.rows: int | None = None
        self.ended = False
        self.body_available = True
        self.again: Callable[[BrokenAnswerError], Awaitable[bool]] | None = None
        self._body = body
        self._first: bytes | None = None

    @classmethod
    def of(
        cls,
        call_id: str,
        head: "ResponseHead",
        exchange: "Exchange",
        *,
        times: "CallTimes | None" = None,
    ) -> "Answer":
        """Return the answer that *head* opens and *exchange* goes on delivering."""
        answer = cls(call_id, status=head.status)
        answer.times = times
        answer.take(head, exchange)
        return answer

    def take(self, head: "ResponseHead", exchange: "Exchange") -> None:
        """Be the answer that *head* opens, from its beginning; what came before is void."""
        self.status = head.status
        self.headers = head.headers
        self.replayed = head.replayed
        self.total_items = head.total_items
        self.outcome = head.outcome
        self.message = head.message
        self.already_absent = head.already_absent
        self.hops = head.hops
        self.received_bytes = 0
        self.rows = None
        self.ended = False
        self._body = exchange
        self._first = None

    @property
    def spent(self) -> Mapping[str, float]:
        """Milliseconds per hop until now, of the whole way; nothing of an answer of old."""
        return {} if self.times is None else self.times.milliseconds()

    def copy(self) -> "Answer":
        """Return the same answer once more, of one that was collected and not read."""
        body = self._body if isinstance(self._body, bytes) else b""
        same = Answer(
            self.call_id,
            status=self.status,
            headers=self.headers,
            body=body,
            replayed=self.replayed,
            total_items=self.total_items,
            paging=self.paging,
        )
        same.outcome, same.message, same.hops = self.outcome, self.message, self.hops
        same.times, same.body_available = self.times, self.body_available
        return same

    async def begin(self) -> None:
        """Wait until there is some of the body, or its end.

        Raises:
            BrokenAnswerError: If it broke off before.
            CloudConnectError: What the agent tells instead.
        """
        if not isinstance(self._body, bytes):
            self._first = await self._next(self._body)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body's pieces as they come; iterate once.

        Raises:
            CloudConnectError: What ended the body early; what came before is incomplete.
        """
        while piece := await self.receive():
            yield piece

    async def receive(self) -> bytes:
        """Return the body's next piece; ``ended`` tells whether it is the last one.

        Raises:
            CloudConnectError: What ended the body early; what came before is incomplete.
        """
        body = self._body
        if isinstance(body, bytes):
            self._body = b""
            self.ended = True
            if body:
                self.received_bytes = len(body)
            return body
        if self._first is not None:
            piece, self._first = self._first, None
        else:
            piece = await self._next(body)
        self.received_bytes += len(piece)
        return piece

    async def collect(
        self, *, max_bytes: int, progressed: Callable[[], None] | None = None
    ) -> bytes:
        """Read the whole body, keep it, and return it.

        Args:
            progressed: Told of each piece.

        Raises:
            BodyTooLargeError: If it is longer than *max_bytes*.
            CloudConnectError: What ended the body early.
        """
        while True:
            try:
                self._body = await self._whole(max_bytes, progressed)
            except BrokenAnswerError as error:
                if not await self.renewed(error):
                    raise
            else:
                return self._body

    async def renewed(self, error: BrokenAnswerError) -> bool:
        """Begin anew after *error*, if that is possible; nothing of it was passed on so far.

        Raises:
            CloudConnectError: Why there is no second answer.
        """
        return self.again is not None and await self.again(error)

    async def _whole(self, max_bytes: int, progressed: Callable[[], None] | None) -> bytes:
        pieces = []
        async for piece in self.chunks():
            if self.received_bytes > max_bytes:
                raise self._blamed(
                    BodyTooLargeError(
                        f"The answer is larger than {max_bytes} bytes, which is the most that is"
                        " passed on here.",
                        outcome=Outcome.COMPLETED,
                    )
                )
            pieces.append(piece)
            if progressed is not None:
                progressed()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _next(self, body: "Exchange") -> bytes:
        """Return the next piece, and take in what ends the body if it is the last one."""
        piece = await self._receive(body)
        if piece and (not body.all_received or _is_failure(body.trailers)):
            return piece  # what ends the body is told after it
        self._take_trailers(body)
        self.ended = True
        return piece

    async def _receive(self, exchange: "Exchange") -> bytes:
        try:
            piece = exchange.receive_nowait()
            if piece is None:
                async with asyncio.timeout(_STALL_SECONDS):
                    piece = await exchange.receive()
        except TimeoutError:
            exchange.reset(ResetCode.SLOW)
            raise self._blamed(
                SourceUnavailableError(
                    "The answer is incomplete: the connector sent nothing for a minute.",
                    outcome=Outcome.UNKNOWN,
                )
            ) from None
        except StreamResetError as error:
            raise self._broken("the connector broke it off") from error
        except TunnelClosedError as error:
            raise self._broken("the connection to the connector was lost") from error
        else:
            return piece

    def _take_trailers(self, exchange: "Exchange") -> None:
        trailers = exchange.trailers
        if trailers is None:
            return
        if trailers.total_items is not None:
            self.total_items = trailers.total_items
        self.paging = trailers.paging
        self.outcome = trailers.outcome or self.outcome
        self.hops = trailers.hops or self.hops
        if trailers.problem is not None:
            raise error_of(trailers.problem, call_id=self.call_id)

    def _broken(self, why: str) -> BrokenAnswerError:
        error = BrokenAnswerError(f"The answer is incomplete: {why}.", outcome=Outcome.UNKNOWN)
        error.call_id = self.call_id
        return error

    def _blamed(self, error: CloudConnectError) -> CloudConnectError:
        error.call_id = self.call_id
        return error


def _is_failure(trailers: "Trailers | None") -> bool:
    return trailers is not None and trailers.problem is not None
