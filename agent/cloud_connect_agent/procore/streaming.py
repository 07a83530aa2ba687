"""An answer whose body is still on its way."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import httpx

from cloud_connect.errors import (
    CloudConnectError,
    DeadlineExceededError,
    OutcomeUnknownError,
    SourceUnavailableError,
)
from cloud_connect_agent.procore.transport import describe_failure
from cloud_connect_agent.stages import Stage, spent

__all__ = ["StreamedResponse", "TruncatedAnswerError", "broken_off"]

_MAX_HEARD: Final = 4096  # bytes of a body; reasons are shorter


class TruncatedAnswerError(SourceUnavailableError):
    """Procore's answer to a read broke off: what came of it is not the whole."""


class StreamedResponse:
    """Status and headers of an answer, and its body as raw chunks.

    Attributes:
        headers: By lower-case name, without control characters.
        hold: Seconds for which Procore's limits keep the next request back.

    Args:
        heard: Told the body once it has come whole, still packed, if it is short.
    """

    def __init__(
        self,
        response: httpx.Response,
        *,
        headers: Mapping[str, str],
        write: bool,
        host: str,
        hold: float,
        deadline: float,
        clock: Callable[[], float],
        heard: Callable[[bytes], Awaitable[None]] | None = None,
    ) -> None:
        self._heard: Final = heard
        self._response: Final = response
        self._write: Final = write
        self._host: Final = host
        self._deadline: Final = deadline
        self._clock: Final = clock
        self.headers: Final = headers
        self.hold: Final = hold

    @property
    def status(self) -> int:
        """Procore's status."""
        return self._response.status_code

    @property
    def raw_headers(self) -> Sequence[tuple[bytes, bytes]]:
        """Procore's headers, as it sent them."""
        return self._response.headers.raw

    @property
    def length(self) -> int | None:
        """How many bytes of body follow, if the answer says so."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body's bytes as Procore sent them, still packed if it packed them.

        Raises:
            TruncatedAnswerError: If a read's answer breaks off.
            OutcomeUnknownError: If a write's answer does.
        """
        stream = self._response.stream
        assert isinstance(stream, httpx.AsyncByteStream)  # noqa: S101 - async transports give nothing else
        kept = bytearray()
        try:
            async for chunk in stream:
                if self._heard is not None and len(kept) <= _MAX_HEARD:
                    kept += chunk
                yield chunk
        except httpx.TransportError as exc:
            raise broken_off(exc, self._host, write=self._write) from exc
        if self._heard is not None and len(kept) <= _MAX_HEARD:
            await self._heard(bytes(kept))

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Bound what is read inside by the request's deadline."""
        try:
            async with asyncio.timeout(max(0.0, self._deadline - self._clock())):
                with spent(Stage.BODY):
                    yield
        except TimeoutError as exc:
            if self._write:
                raise OutcomeUnknownError(
                    "Procore did not finish its answer in time; whether the change was carried "
                    "out is not known."
                ) from exc
            raise DeadlineExceededError(
                "Procore did not finish its answer before the call's deadline."
            ) from exc


def broken_off(exc: BaseException, host: str, *, write: bool) -> CloudConnectError:
    """Return the error for a connection that failed after the request went out."""
    said = describe_failure(exc, host)
    if write:
        return OutcomeUnknownError(f"{said} Whether the change was carried out is not known.")
    return TruncatedAnswerError(said)
