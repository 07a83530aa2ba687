"""One call on its way: a session, a stream, the request, and the head of the answer."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from cloud_connect.calls import Operation
from cloud_connect.errors import (
    AgentOfflineError,
    CloudConnectError,
    ErrorCode,
    Outcome,
    OutcomeUnknownError,
    QuotaExceededError,
    StreamResetError,
    TunnelClosedError,
)
from cloud_connect.tunnel import RequestHead, ResetCode
from cloud_connect_relay.calls.deadline import hop_deadline_ms
from cloud_connect_relay.calls.idempotency import seed_of
from cloud_connect_relay.calls.policy_class import check_policy_class

if TYPE_CHECKING:
    from cloud_connect.exchange import Exchange
    from cloud_connect.tunnel import ResponseHead
    from cloud_connect_relay.calls.ledger import Ledger
    from cloud_connect_relay.calls.running import RunningCall
    from cloud_connect_relay.calls.turn_desk import TurnDesk
    from cloud_connect_relay.gateway.registry import LiveSession
    from cloud_connect_relay.router import Router

__all__ = ["Attempts", "Dispatched", "Dispatcher", "Upload"]

_MAX_DISPATCHED: Final = 2  # sessions that one call is sent to
_MAX_SESSIONS: Final = 8  # sessions tried, those that were gone already included
_INLINE_BODY: Final = 16 * 1024  # bytes that fit any window: sent without a task of their own
# Said by an agent before it begins with a call.
_TAKES_NONE: Final = frozenset(
    {
        ErrorCode.CONNECTOR_PAUSED,
        ErrorCode.CONNECTOR_DRAINING,
        ErrorCode.JOURNAL_UNAVAILABLE,
        ErrorCode.QUOTA_EXCEEDED,
    }
)
# Each agent keeps versions of its own, so one that answered is asked the next time, too.
_STEADY: Final = frozenset({Operation.DRIFT.value})

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


@dataclass(slots=True)
class Attempts:
    """What became of one call so far.

    Attributes:
        dispatched: How often it may have reached an agent.
        unopened: Sessions that could not be given it.
        broken: Sessions that broke it off.
    """

    dispatched: int = 0
    unopened: "list[LiveSession]" = field(default_factory=list)
    broken: "list[LiveSession]" = field(default_factory=list)
    live: "LiveSession | None" = None

    @property
    def exhausted(self) -> bool:
        """Whether it may not be sent once more."""
        return self.dispatched >= _MAX_DISPATCHED

    def broke(self) -> None:
        """Note that the session that has the call broke it off."""
        if self.live is not None:
            self.live.broke_at = time.monotonic()
            self.broken.append(self.live)

    def unopen(self, call: "RunningCall") -> None:
        """Note that nothing of *call* left this relay; an attempt before this one stays."""
        call.started = call.again or self.dispatched > 0

    def unseen(self, call: "RunningCall") -> None:
        """Note that the agent which had *call* certainly did nothing about it."""
        self.dispatched -= 1
        self.unopen(call)


class Dispatcher:
    """Brings calls to agents, as far as repeating them does no harm."""

    def __init__(
        self,
        router: "Router",
        desk: "TurnDesk",
        ledger: "Ledger",
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._router: Final = router
        self._desk: Final = desk
        self._ledger: Final = ledger
        self._clock: Final = clock

    def is_ready(self, call: "RunningCall") -> bool:
        """Whether a connector would take *call* at once.

        Raises:
            QuotaExceededError: If it would not even let it wait.
        """
        live = self._router.best(call.spec.subscription_id, call.spec.target)
        if live is None:
            return False
        self._desk.check_room(call, live)
        return self._desk.is_free(call, live)

    async def dispatch(
        self,
        call: "RunningCall",
        *,
        upload: Upload | None = None,
        attempts: Attempts | None = None,
    ) -> Dispatched:
        """Run *call* until its answer's head is here.

        A read whose connection breaks is tried once more, on another connector if there is one.
        A write is tried again only while no agent can have seen it. What the caller sends piece
        by piece is not kept, so it cannot be sent again.

        Args:
            attempts: What became of the call before, if its answer broke off.

        Raises:
            AgentOfflineError: If no connector took it in time, or those that took a read broke.
            OutcomeUnknownError: If the connection broke after a write was dispatched.
            QuotaExceededError: If each connector has as many calls as it takes, or too many
                calls wait for it.
            BodyTooLargeError: If its parameters do not fit a head.
        """
        attempts = attempts or Attempts()
        while True:
            exchange = await self._open(call, attempts, bodiless=upload is None)
            try:
                head = await _head(call, exchange, upload)
            except (StreamResetError, TunnelClosedError) as error:
                attempts.broke()
                unseen = error.outcome is Outcome.NOT_EXECUTED
                if call.spec.writes and not unseen:
                    raise _unknown(error) from error
                if upload is not None:
                    raise _lost_upload() from error
                if unseen:
                    attempts.unseen(call)
                if attempts.exhausted or len(attempts.broken) >= _MAX_SESSIONS:
                    raise _lost() from error
            else:
                if upload is None and self._is_elsewhere(call, head, attempts):
                    continue
                call.answered(head.hops)
                return exchange, head

    def _is_elsewhere(self, call: "RunningCall", head: "ResponseHead", attempts: Attempts) -> bool:
        """Whether another connector should have *call*: its agent takes no more for the moment.

        What an agent answers for good, such as that its policy denies the call, is not asked of
        another one.
        """
        problem, live = head.problem, attempts.live
        if (
            live is None
            or problem is None
            or problem.code not in _TAKES_NONE
            or problem.outcome is not Outcome.NOT_EXECUTED
        ):
            return False
        attempts.unopened.append(live)
        attempts.unseen(call)
        spec = call.spec
        return (
            len(attempts.unopened) < _MAX_SESSIONS
            and self._router.best(spec.subscription_id, spec.target, exclude=attempts.unopened)
            is not None
        )

    async def _open(self, call: "RunningCall", attempts: Attempts, *, bodiless: bool) -> "Exchange":
        """Open a stream for *call* on the best session that can be given it."""
        spec = call.spec
        while True:
            call.give_turns_back()  # of an attempt before: waiting takes no place of those that go
            live = await self._router.pick(
                spec.subscription_id,
                spec.target,
                deadline=call.deadline,
                held_bytes=len(spec.body or b""),
                exclude=attempts.unopened,
                avoid=attempts.broken,
                # As a plain create a repeat could make a second record.
                fits=(lambda one: spec.resource in one.report.upserts) if call.again else None,
                steady=spec.operation in _STEADY,
            )
            check_policy_class(spec, live)
            before, exchange = call.whereabouts, None
            try:
                await self._desk.admit(call, live)
                if spec.writes:
                    call.started = True
                    # This one's word, not that of one that never got it.
                    call.upsert = call.again or (
                        spec.creates and spec.resource in live.report.upserts
                    )
                    call.dispatched(live.connector_id, name=live.name, now=self._clock())
                    call.times.sent = None  # it leaves when its record is written
                    await self._ledger.dispatching(call)
                exchange = await live.session.open(
                    _request(call), end_stream=bodiless and not spec.body
                )
            except TunnelClosedError as error:  # nothing of the call left this relay
                attempts.unopened.append(live)
                attempts.unopen(call)
                if len(attempts.unopened) >= _MAX_SESSIONS:
                    raise _lost() from error
            except QuotaExceededError:
                attempts.unopened.append(live)
                attempts.unopen(call)
                if (
                    self._router.best(spec.subscription_id, spec.target, exclude=attempts.unopened)
                    is None
                ):
                    raise
            finally:
                if exchange is None:
                    call.put_back(before)
            if exchange is not None:
                call.dispatched(live.connector_id, name=live.name, now=self._clock())
                call.started = True
                attempts.live = live
                attempts.dispatched += 1
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
            **({"again": True} if call.again else {}),
            **({"seed": seed_of(call.id)} if spec.creates else {}),
            **spec.params,
        },
        headers=spec.headers,
    )


async def _head(call: "RunningCall", exchange: "Exchange", upload: Upload | None) -> "ResponseHead":
    done = False
    try:
        if upload is not None:
            call.streams()
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


def _unknown(error: StreamResetError | TunnelClosedError) -> OutcomeUnknownError:
    why = "the connector broke the call off"
    if isinstance(error, TunnelClosedError):
        why = "the connection to the connector was lost"
    return OutcomeUnknownError(
        f"It is not known whether the call was executed: {why} after it was dispatched. Look the"
        " call up before you repeat it."
    )


def _lost() -> AgentOfflineError:
    return AgentOfflineError(
        "The connector was lost while the call ran; it had no effect and may be repeated.",
        retry_after=1,
    )


def _lost_upload() -> AgentOfflineError:
    return AgentOfflineError(
        "The connector was lost while the body was on its way. The relay keeps no part of it, so"
        " it could not go to another connector; it had no effect, so send it again.",
        retry_after=1,
    )
