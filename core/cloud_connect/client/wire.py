"""Requests to the relay and their answers, sealed or not, read in one way."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import httpx
import orjson
from pydantic import JsonValue

from cloud_connect.client.failures import RelayUnreachableError, failure_of
from cloud_connect.client.protection import Request
from cloud_connect.errors import (
    BodyTooLargeError,
    CloudConnectError,
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
    Outcome,
    RemoteProtocolError,
    SourceUnavailableError,
)
from cloud_connect.problems import error_of
from cloud_connect.sealing import SEALED_TYPE, AnswerOpener, Part
from cloud_connect.tunnel.heads import decode_response_head, decode_trailers

__all__ = ["Answer", "Wire", "answer_away", "decoded"]

_MAX_FAILURE_BYTES: Final = 1024 * 1024
_MAX_WHOLE_BYTES: Final = 64 * 1024 * 1024  # of an answer that is not streamed
_ANSWER_SECONDS: Final = 5.0  # that the relay has beyond the deadline to say that it passed
_CONNECT_SECONDS: Final = 10.0
_NEVER_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,  # it refuses to connect us
)
_FOR_THE_RELAY: Final = frozenset({502, 503, 504})  # what a proxy says where there is none


@dataclass(slots=True, kw_only=True)
class Answer:
    """A good answer, while its body comes.

    Attributes:
        replayed: It is the stored answer to an earlier request with the same key.
        total_items: How many rows there are in all, once that is known.
        paging: The cursor of the rows that remain, once the body of a sealed one has ended.
        message: What a sealed answer says about what was done.
    """

    call_id: str
    body: AsyncGenerator[bytes, None] = field(repr=False)
    replayed: bool = False
    total_items: int | None = None
    paging: str | None = None
    message: str | None = None


class Wire:
    """Sends requests over one HTTP client."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http: Final = http

    @asynccontextmanager
    async def send(self, request: Request, *, seconds: float) -> AsyncIterator[Answer]:
        """Send a request and hold its answer.

        Args:
            seconds: How long the relay has for it.

        Raises:
            RelayUnreachableError: If there is none.
            CloudConnectError: The failure that is the answer.
        """
        opening = self._http.stream(
            request.method,
            request.path,
            params=request.query,
            headers={**request.headers, "Cloud-Connect-Deadline-Ms": str(int(seconds * 1000))},
            content=request.body or None,
            timeout=httpx.Timeout(seconds + _ANSWER_SECONDS, connect=_CONNECT_SECONDS),
        )
        try:
            async with opening as response:
                if not response.is_success:
                    if response.status_code < 400:
                        raise ConfigurationError(
                            f"The relay's address answers {response.status_code} and sends "
                            "elsewhere, where no API key is shown: give the relay's own address."
                        )
                    if _speaks_for(response):
                        raise RelayUnreachableError(
                            f"A proxy answered {response.status_code} for the relay, which is "
                            "restarting or cannot be reached from there.",
                            outcome=request.doubt,
                        )
                    body = await _bounded(response.aiter_bytes(), _MAX_FAILURE_BYTES)
                    raise failure_of(
                        body,
                        status=response.status_code,
                        retry_after=response.headers.get("retry-after"),
                    )
                opener = None if request.opener is None else request.opener()
                answer = await _answer_of(response, opener)
                async with aclosing(answer.body):
                    yield answer
        except _NEVER_SENT as exc:
            raise RelayUnreachableError(
                f"The relay cannot be reached ({type(exc).__name__}): check its address, its "
                "certificate and the network."
            ) from exc
        except httpx.LocalProtocolError as exc:
            raise InvalidRequestError(f"The request cannot be sent: {exc}.") from exc
        except httpx.TransportError as exc:
            raise RelayUnreachableError(
                f"The relay did not answer: {type(exc).__name__}.", outcome=request.doubt
            ) from exc
        except CloudConnectError as error:
            if isinstance(error, RemoteProtocolError) or error.outcome is Outcome.UNKNOWN:
                error.outcome = request.doubt
            raise

    async def collect(self, request: Request, *, seconds: float) -> tuple[Answer, bytes]:
        """Send a request and read its whole answer; raises as :meth:`send`."""
        async with self.send(request, seconds=seconds) as answer:
            return answer, await _bounded(answer.body, _MAX_WHOLE_BYTES)


def decoded(body: bytes) -> JsonValue:
    """Decode an answer.

    Raises:
        RemoteProtocolError: If it is no JSON.
    """
    try:
        document: JsonValue = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise RemoteProtocolError("The relay's answer is no JSON.") from exc
    return document


def answer_away() -> NotFoundError:
    """Return what is raised for a write that was done, and whose answer is out of reach."""
    return NotFoundError(
        "The call was carried out before; its answer is kept on the connector's PC, which "
        "cannot be asked at the moment, or was too large to be kept.",
        outcome=Outcome.COMPLETED,
    )


def _speaks_for(response: httpx.Response) -> bool:
    """Whether a failure is a proxy's own: the relay's have a document."""
    kind = response.headers.get("content-type", "")
    return response.status_code in _FOR_THE_RELAY and "json" not in kind


async def _answer_of(response: httpx.Response, opener: AnswerOpener | None) -> Answer:
    headers = response.headers
    answer = Answer(
        call_id=headers.get("cloud-connect-call-id", ""),
        body=_plain(response),
        replayed=headers.get("idempotency-replayed") == "true",
    )
    if opener is None:
        total = headers.get("total-items", "")
        answer.total_items = int(total) if total.isdecimal() else None
        return answer
    kind = headers.get("content-type", "")
    if answer.replayed and kind.startswith("application/json"):
        raise answer_away()
    if kind != SEALED_TYPE:
        raise RemoteProtocolError("The relay's answer is not sealed: do not trust it.")
    parts = _parts(response, opener)
    part, data = await anext(parts)
    if part is not Part.HEAD:
        raise RemoteProtocolError("The sealed answer does not begin with its head.")
    head = decode_response_head(data)
    if head.problem is not None:
        await parts.aclose()
        raise error_of(head.problem, call_id=answer.call_id)
    answer.replayed |= head.replayed
    answer.total_items, answer.message = head.total_items, head.message
    answer.body = _opened(parts, answer)
    return answer


async def _plain(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    try:
        async for piece in response.aiter_bytes():
            yield piece
    except httpx.TransportError as exc:
        raise SourceUnavailableError(
            "The answer broke off; the call's record says why.", outcome=Outcome.UNKNOWN
        ) from exc


async def _parts(
    response: httpx.Response, opener: AnswerOpener
) -> AsyncGenerator[tuple[Part, bytes], None]:
    async with aclosing(_plain(response)) as pieces:
        async for piece in pieces:
            for part in opener.feed(piece):
                yield part
    opener.close()


async def _opened(
    parts: AsyncGenerator[tuple[Part, bytes], None], answer: Answer
) -> AsyncGenerator[bytes, None]:
    async with aclosing(parts):
        async for part, data in parts:
            match part:
                case Part.DATA:
                    yield data
                case Part.END:
                    trailers = decode_trailers(data)
                    if trailers.problem is not None:
                        raise error_of(trailers.problem, call_id=answer.call_id)
                    answer.paging = trailers.paging
                    found = trailers.total_items
                    answer.total_items = answer.total_items if found is None else found
                case _:
                    raise RemoteProtocolError("The sealed answer has two heads.")


async def _bounded(pieces: AsyncIterator[bytes], max_bytes: int) -> bytes:
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) > max_bytes:
            raise BodyTooLargeError(
                f"The answer is larger than {max_bytes} bytes.", outcome=Outcome.UNKNOWN
            )
    return bytes(body)
