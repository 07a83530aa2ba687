"""Request bodies of the pass-through: small ones whole, long ones as they come."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from cloud_connect.errors import (
    BodyTooLargeError,
    DeadlineExceededError,
    InvalidRequestError,
    Outcome,
    StreamResetError,
    TunnelClosedError,
)
from cloud_connect.tunnel import ResetCode
from cloud_connect_relay.api.request_body import (
    MAX_INLINE_BYTES,
    CallerGoneError,
    declared_length,
    next_piece,
)

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

    from cloud_connect.exchange import Exchange
    from cloud_connect_relay.api.hang_up import CallerWatch

__all__ = ["Intake", "StreamedUpload", "take_in"]

_WHOLE_BYTES: Final = 64 * 1024  # what the HTTP server may hold of a request anyway


class StreamedUpload:
    """A long request body on its way from its caller to an agent, a piece at a time.

    Attributes:
        failure: Why it ended early, if its caller is to blame.
        progressed_at: When a piece of it went on last, on the event loop's clock; 0 before.
    """

    def __init__(self, first: bytes, receive: "Receive") -> None:
        self.failure: InvalidRequestError | None = None
        self.progressed_at = 0.0
        self._first: Final = first
        self._receive: Final = receive
        self._attached: Final[asyncio.Future[tuple[Exchange, Callable[[int], None]]]] = (
            asyncio.get_running_loop().create_future()
        )

    def attach(self, exchange: "Exchange", progressed: Callable[[int], None]) -> None:
        """Begin to send the body over *exchange*."""
        if not self._attached.done():
            self._attached.set_result((exchange, progressed))

    async def pump(self, watch: "CallerWatch") -> None:
        """Send the body piece by piece, no faster than the agent takes it."""
        exchange, progressed = await self._attached
        loop = asyncio.get_running_loop()
        piece, more = self._first, True
        try:
            while more:
                await exchange.send(piece)
                progressed(len(piece))
                self.progressed_at = loop.time()
                piece, more = await next_piece(self._receive)
            await exchange.send(piece, end_stream=True)
            progressed(len(piece))
            self.progressed_at = loop.time()
        except (StreamResetError, TunnelClosedError):
            return  # the answer is here already, or it tells why there is none
        except InvalidRequestError as error:
            error.outcome = Outcome.UNKNOWN
            self.failure = error
            exchange.reset(ResetCode.CANCEL)  # half a body must not look like a whole one
            if isinstance(error, CallerGoneError):
                watch.hang_up()


class Intake:
    """A request body as it was taken in.

    Attributes:
        body: All of it, if it is short; ``None`` if there is none.
        upload: The way it goes on, if it is long.
    """

    def __init__(
        self, *, body: bytes | None, upload: StreamedUpload | None = None, taken_at: float = 0.0
    ) -> None:
        self.body: Final = body
        self.upload: Final = upload
        self._taken_at: Final = taken_at  # on the event loop's clock

    def left(self, timeout: float) -> float:
        """Return how many seconds are left of *timeout*, which runs since all of it came.

        Raises:
            DeadlineExceededError: If none are.
        """
        # An agent may answer before any piece of a long body went on.
        since = max(self._taken_at, 0.0 if self.upload is None else self.upload.progressed_at)
        left = since + timeout - asyncio.get_running_loop().time()
        if left <= 0:
            raise DeadlineExceededError(
                "The deadline passed when the file was uploaded, and it was not attached. The call"
                " changed nothing and may be repeated.",
                outcome=Outcome.NOT_EXECUTED,
            )
        return left

    @property
    def pump(self) -> "Callable[[CallerWatch], Awaitable[None]] | None":
        """What sends the body while the answer is awaited."""
        return None if self.upload is None else self.upload.pump


async def take_in(scope: "Scope", receive: "Receive", *, whole: bool) -> Intake:
    """Take in a request's body.

    Args:
        whole: Take it in whole or not at all: it may be sent twice, or is compared.

    Raises:
        BodyTooLargeError: If it is too long for that.
        CallerGoneError: If the caller hangs up meanwhile.
    """
    declared = declared_length(scope)
    if whole and (declared or 0) > MAX_INLINE_BYTES:
        raise _too_large()
    pieces: list[bytes] = []
    size = 0
    most = MAX_INLINE_BYTES if whole else _WHOLE_BYTES
    loop = asyncio.get_running_loop()
    more = True
    while more:
        piece, more = await next_piece(receive)
        size += len(piece)
        if piece:
            pieces.append(piece)
        if more and (size > most or (declared or 0) > most):
            if whole:
                raise _too_large()
            upload = StreamedUpload(b"".join(pieces), receive)
            return Intake(body=None, upload=upload, taken_at=loop.time())
    return Intake(body=b"".join(pieces) or None, taken_at=loop.time())


def _too_large() -> BodyTooLargeError:
    return BodyTooLargeError(
        f"A body that comes with an Idempotency-Key, or with a read, may have {MAX_INLINE_BYTES}"
        " bytes at most; a longer one passes without a key, and then runs at most once."
    )
