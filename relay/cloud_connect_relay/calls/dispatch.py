"""One call on its way: a session, a stream, the request, and the head of the answer."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from cloud_connect.errors import (
    AgentOfflineError,
    CloudConnectError,
    OutcomeUnknownError,
    QuotaExceededError,
    StreamResetError,
    TunnelClosedError,
)
from cloud_connect.tunnel import RequestHead, ResetCode
from cloud_connect_relay.calls.deadline import hop_deadline_ms

if TYPE_CHECKING:
    from cloud_connect.exchange import Exchange
    from cloud_connect.tunnel import ResponseHead
    from cloud_connect_relay.calls.ledger import Ledger
    from cloud_connect_relay.calls.running import RunningCall
    from cloud_connect_relay.gateway.registry import LiveSession
    from cloud_connect_relay.router import Router

__all__ = ["Dispatched", "Dispatcher", "Upload"]

_MAX_DISPATCHED: Final = 2  # sessions that one call is sent to
_MAX_SESSIONS: Final = 8  # sessions tried, those that were gone already included
_INLINE_BODY: Final = 16 * 1024  # bytes that fit any window: sent without a task of their own

Dispatched = tuple["Exchange", "ResponseHead"]


class Upload(Protocol):
    """A request body that comes from its caller piece by piece, so it can be sent only once."""

    @property
    def failure(self) -> CloudConnectError | None:
        """Why it ended early, if its caller is to blame."""
        ...

    def attach(self, exchange: "Exchange", progressed: Callable[[int], None]) -> None:
        """Begin to send the body over *exchange*; call *progressed* with each piece's size."""
        ...


class Dispatcher:
    """Brings calls to agents, as far as repeating them does no harm."""

    def __init__(
        self, router: "Router", ledger: "Ledger", *, clock: Callable[[], float] = time.time
    ) -> None:
        self._router: Final = router
        self._ledger: Final = ledger
        self._clock: Final = clock

    def is_ready(self, call: "RunningCall") -> bool:
        """Whether a connector would take *call* at once."""
        return self._router.best(call.spec.subscription_id, call.spec.target) is not None

    async def dispatch(self, call: "RunningCall", *, upload: Upload | None = None) -> Dispatched:
        """Run *call* until its answer's head is here.

        A read whose connection breaks is tried once more. A write is tried again only while no
        agent can have seen it.

        Raises:
            AgentOfflineError: If no connector took it in time, or those that took a read broke.
            OutcomeUnknownError: If the connection broke after a write was dispatched.
            QuotaExceededError: If each connector has as many calls as its session may carry.
            BodyTooLargeError: If its parameters do not fit a head.
        """
        failed: list[LiveSession] = []
        dispatched = 0
        while True:
            exchange = await self._open(call, failed, bodiless=upload is None)
            dispatched += 1
            try:
                head = await _head(call, exchange, upload)
            except (StreamResetError, TunnelClosedError) as error:
                _check_repeatable(call, error)
                if upload is not None or dispatched >= _MAX_DISPATCHED:
                    raise _lost() from error
            else:
                call.answered(head.hops)
                return exchange, head

    async def _open(
        self, call: "RunningCall", failed: "list[LiveSession]", *, bodiless: bool
    ) -> "Exchange":
        """Open a stream for *call* on the best session that has not failed it yet."""
        spec = call.spec
        while True:
            live = await self._router.pick(
                spec.subscription_id, spec.target, deadline=call.deadline, exclude=failed
            )
            failed.append(live)
            if spec.writes:
                call.started = True
                call.dispatched(live.connector_id, name=live.name, now=self._clock())
                await self._ledger.dispatching(call)
            try:
                exchange = await live.session.open(
                    _request(call), end_stream=bodiless and not spec.body
                )
            except TunnelClosedError as error:  # nothing of the call left this relay
                if len(failed) >= _MAX_SESSIONS:
                    raise _lost() from error
            except QuotaExceededError:
                if self._router.best(spec.subscription_id, spec.target, exclude=failed) is None:
                    raise
            else:
                call.dispatched(live.connector_id, name=live.name, now=self._clock())
                call.started = True
                return exchange


def _request(call: "RunningCall") -> RequestHead:
    spec = call.spec
    return RequestHead(
        operation=spec.operation,
        call_id=call.id,
        deadline_ms=hop_deadline_ms(call.deadline - asyncio.get_running_loop().time()),
        params={
            "source": spec.target.source,
            **({} if spec.interactive else {"interactive": False}),
            **spec.params,
        },
        headers=spec.headers,
    )


def _check_repeatable(call: "RunningCall", error: StreamResetError | TunnelClosedError) -> None:
    """Go on only if *call* may be sent to another session after *error*.

    Raises:
        OutcomeUnknownError: If it may have been executed.
    """
    if not call.spec.writes:
        return
    if isinstance(error, TunnelClosedError):
        raise _unknown("the connection to the connector was lost") from error
    if error.reason != ResetCode.REFUSED:  # refused: nothing of it was looked at
        raise _unknown("the connector broke the call off") from error


async def _head(call: "RunningCall", exchange: "Exchange", upload: Upload | None) -> "ResponseHead":
    done = False
    try:
        if upload is not None:
            upload.attach(exchange, call.progressed)
            head = await exchange.receive_head()
        elif call.spec.body:
            head = await _send(exchange, call.spec.body)
        else:
            head = await exchange.receive_head()
        done = True
    finally:
        if not done:
            exchange.reset(ResetCode.CANCEL)
    return head


async def _send(exchange: "Exchange", body: bytes) -> "ResponseHead":
    """Send *body* and return the head, which may come before the agent took all of it."""
    if len(body) <= _INLINE_BODY:
        await _send_all(exchange, body)
        return await exchange.receive_head()
    failure: CloudConnectError
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(_send_all(exchange, body), name="call-body")
        try:
            return await exchange.receive_head()
        except CloudConnectError as error:
            failure = error
        finally:
            sending.cancel()
    raise failure


async def _send_all(exchange: "Exchange", body: bytes) -> None:
    # When the stream has ended early, receiving its head tells why.
    with contextlib.suppress(StreamResetError, TunnelClosedError):
        await exchange.send(body, end_stream=True)


def _unknown(why: str) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"It is not known whether the call was executed: {why} after it was dispatched. Look the"
        " call up before you repeat it."
    )


def _lost() -> AgentOfflineError:
    return AgentOfflineError(
        "The connector was lost while the call ran; it had no effect and may be repeated.",
        retry_after=1,
    )
