"""Answering a call: its head once, its rows joined, its failure as a problem."""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import aclosing, asynccontextmanager
from typing import Final, Protocol, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from cloud_connect.errors import (
    BodyTooLargeError,
    CloudConnectError,
    DeadlineExceededError,
    InvalidRequestError,
    Outcome,
)
from cloud_connect.tunnel import Problem, ResponseHead, Trailers
from cloud_connect_agent.call_exchange import CallExchange
from cloud_connect_agent.record_source import Rows
from cloud_connect_agent.sealed_exchange import AnswerSeal
from cloud_connect_agent.stages import Stage, Stages, call_stages, spent

__all__ = [
    "INTERNAL_FAILURE",
    "JSON_HEADERS",
    "ROWS_HEADERS",
    "Call",
    "Reply",
    "by_deadline",
    "completed",
    "lines_of",
    "params_of",
    "pieces_of",
    "problem_of",
    "read_all",
    "stream_body",
]

INTERNAL_FAILURE: Final = "The connector failed on this call; its log has the reason."
JSON_HEADERS: Final = (("content-type", "application/json"),)
ROWS_HEADERS: Final = (("content-type", "application/x-ndjson"),)

_MAX_SOURCE_BYTES: Final = 4096  # of Procore's own answer inside a problem
_MAX_DETAIL: Final = 2000  # characters
_MAX_BODY: Final = 100 * 1024 * 1024  # bytes of a record or query
_BODY_STALL: Final = 60.0  # seconds without a byte of the request's body
_PIECE: Final = 64 * 1024  # bytes of rows that are sent together
_LEAST_SECONDS: Final = 1.0  # that a call needs to be started at all
_LEAST_SHARE: Final = 0.5  # but of a short deadline no more than half

_ModelT = TypeVar("_ModelT", bound=BaseModel)


class Call:
    """One call and how far it came.

    Attributes:
        seal: Of a sealed call: how what is kept of its answer is sealed.
        outer: Of a sealed call: where an answer goes that is sealed already.
    """

    def __init__(
        self,
        exchange: CallExchange,
        clock: Callable[[], float],
        *,
        seal: AnswerSeal | None = None,
        outer: "Reply | None" = None,
    ) -> None:
        head = exchange.request
        self._clock: Final = clock
        self._started: Final = clock()
        self._budget: Final = head.deadline_ms / 1000
        self.exchange = exchange
        self.seal: Final = seal
        self.outer: Final = outer
        self.head: Final = head
        self.call_id: Final = head.call_id
        self.operation: Final = head.operation
        self.deadline = self._started + self._budget
        self.stages: Final = Stages(
            deadline=self.deadline,
            least=min(_LEAST_SECONDS, self._budget * _LEAST_SHARE),
            clock=clock,
        )
        self.reply: Final = Reply(exchange, lambda: self.hops)
        call_stages.set(self.stages)  # of the task that answers, and of those that it starts

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self.deadline - self._clock())

    @property
    def hops(self) -> dict[str, float]:
        """Milliseconds since the request came, and those of each stage, as the relay is told."""
        total = float(int((self._clock() - self._started) * 1000 + 0.5))
        return {"agent": total, **self.stages.milliseconds()}

    def progress(self) -> None:
        """Note that a piece of a long body came: its time is not the answer's."""
        self.deadline = max(self.deadline, self._clock() + self._budget)
        self.stages.deadline = self.deadline


def params_of(model: type[_ModelT], call: Call) -> _ModelT:
    """Return a call's parameters.

    Raises:
        InvalidRequestError: Naming the first that is wrong.
    """
    try:
        return model.model_validate(call.head.params)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidRequestError(f"The call's {place or 'parameters'}: {first['msg']}.") from exc


def completed(status: int, headers: tuple[tuple[str, str], ...]) -> ResponseHead:
    """Return the head of an answer that tells all that there is to tell."""
    return ResponseHead(status=status, headers=headers, outcome=Outcome.COMPLETED)


@asynccontextmanager
async def by_deadline(call: Call) -> AsyncIterator[None]:
    """Bound a read by the call's deadline.

    Raises:
        DeadlineExceededError: If it passes first.
    """
    try:
        async with asyncio.timeout(call.left):
            yield
    except TimeoutError as exc:
        raise DeadlineExceededError("Procore did not answer before the call's deadline.") from exc


async def pieces_of(call: Call) -> AsyncGenerator[bytes, None]:
    """Yield a call's body as it comes; the time that it takes is not the answer's.

    Raises:
        DeadlineExceededError: If it stops coming.
    """
    while True:
        try:
            async with asyncio.timeout(_BODY_STALL):
                with spent(Stage.REQUEST):
                    piece = await call.exchange.receive()
        except TimeoutError as exc:
            raise DeadlineExceededError("The request's body stopped coming.") from exc
        if not piece:
            return
        call.progress()
        yield piece


async def read_all(call: Call, *, max_bytes: int | None = None) -> bytes:
    """Read a call's whole body.

    Raises:
        BodyTooLargeError: If it is over the limit.
        DeadlineExceededError: If it stops coming.
    """
    limit = _MAX_BODY if max_bytes is None else max_bytes
    parts: list[bytes] = []
    size = 0
    async with aclosing(pieces_of(call)) as pieces:
        async for piece in pieces:
            size += len(piece)
            if size > limit:
                raise BodyTooLargeError(f"The body is over the limit of {limit} bytes.")
            parts.append(piece)
    return b"".join(parts)


class Body(Protocol):
    """An answer's body on its way."""

    @property
    def length(self) -> int | None:
        """Its bytes, if they are known."""
        ...

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield it."""
        ...


async def stream_body(exchange: CallExchange, answer: Body) -> None:
    """Pass an answer's body on, no faster than it is read.

    Raises:
        CloudConnectError: What broke it off.
    """
    left = answer.length
    async with aclosing(answer.chunks()) as chunks:
        async for chunk in chunks:
            left = None if left is None else left - len(chunk)
            await exchange.send(chunk, end_stream=left == 0)  # a frame less than end()
    if not exchange.send_ended:
        await exchange.end()


def problem_of(error: CloudConnectError) -> Problem:
    """Return an error as it crosses the tunnel."""
    source = None if error.body is None else _small(error.body)
    detail = error.message.encode("utf-8", "replace").decode()
    return Problem(
        code=error.code.value,
        detail=detail if len(detail) <= _MAX_DETAIL else f"{detail[:_MAX_DETAIL]}…",
        outcome=error.outcome,
        status=error.status,
        retry_after=error.retry_after,
        source=source,
    )


def _small(body: object) -> object:
    """Return Procore's answer if it fits a head, else what fits of its text."""
    try:
        data = orjson.dumps(body)
    except TypeError:
        return None  # holds what JSON cannot
    if len(data) <= _MAX_SOURCE_BYTES:
        return body
    return data[: _MAX_SOURCE_BYTES // 2].decode("utf-8", "ignore")


class Reply:
    """The answer to one exchange, whose head goes out once.

    Args:
        hops: Tells where the time went until now.
    """

    def __init__(self, exchange: CallExchange, hops: Callable[[], dict[str, float]]) -> None:
        self._exchange: Final = exchange
        self._hops: Final = hops
        self.head: ResponseHead | None = None
        self.rows = 0

    async def send_head(self, head: ResponseHead, *, end_stream: bool = False) -> None:
        """Send the head, with where the time went until here."""
        self.head = head
        if not head.hops:
            head = head.model_copy(update={"hops": self._hops()})
        await self._exchange.send_head(head, end_stream=end_stream)

    async def send(self, head: ResponseHead, body: bytes) -> None:
        """Send a whole answer; where a head went out ahead of it, what is left of it."""
        if self.head is None:
            await self.send_head(head, end_stream=not body)
            if body:
                await self._exchange.send(body, end_stream=True)
            return
        if body:
            await self._exchange.send(body)
        await self._exchange.send_trailers(
            Trailers(outcome=head.outcome, problem=head.problem, hops=self._hops())
        )

    async def fail(self, error: CloudConnectError, *, why: str | None = None) -> None:
        """Send a failure: as the head, or behind what went out already.

        Args:
            why: A sentence that says what took so long.
        """
        if self._exchange.send_ended:
            return
        problem = problem_of(error)
        if why is not None:
            problem = problem.model_copy(update={"detail": f"{problem.detail} {why}"})
        if self.head is None:
            head = ResponseHead(status=error.status, outcome=error.outcome, problem=problem)
            await self.send_head(head, end_stream=True)
        else:
            trailers = Trailers(outcome=error.outcome, problem=problem, hops=self._hops())
            await self._exchange.send_trailers(trailers)

    async def send_rows(
        self, head: ResponseHead, rows: Rows, trailers: Callable[[], Trailers]
    ) -> None:
        """Stream rows as they come, those of one batch together, and end with *trailers*.

        Args:
            trailers: Made at the end; completed with what the rows tell then.

        Raises:
            CloudConnectError: What reading them failed with; those before it are sent.
        """
        await self.send_head(head)
        async for batch in rows.batches():
            for piece in lines_of(batch):
                await self._exchange.send(piece)
            self.rows += len(batch)
        await self._exchange.send_trailers(
            trailers().model_copy(update={"total_items": rows.total_items, "paging": rows.paging})
        )


def lines_of(rows: Iterable[Mapping[str, object]]) -> Iterator[bytes]:
    """Yield rows as lines of JSON, joined into pieces of a good size."""
    pending = bytearray()
    for row in rows:
        pending += orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        if len(pending) >= _PIECE:
            yield bytes(pending)
            pending.clear()
    if pending:
        yield bytes(pending)
