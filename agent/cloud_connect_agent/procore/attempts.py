"""Getting one answer from Procore: token, slot, send; again only where that is safe."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import httpx

from cloud_connect.calls import Source
from cloud_connect.errors import (
    CloudConnectError,
    DeadlineExceededError,
    OutcomeUnknownError,
    RateLimitedError,
    SourceRejectedError,
    SourceUnavailableError,
)
from cloud_connect_agent.procore.bodies import BodyLimits, read_body
from cloud_connect_agent.procore.budget import own_limit, retry_after_of
from cloud_connect_agent.procore.circuits import Circuits
from cloud_connect_agent.procore.contacts import Contacts
from cloud_connect_agent.procore.failures import error_of, is_throttled, read_failure
from cloud_connect_agent.procore.messages import READ_METHODS, plain_headers
from cloud_connect_agent.procore.oauth import Authenticator
from cloud_connect_agent.procore.pacing import paced
from cloud_connect_agent.procore.scheduler import Grant, RateScheduler, Slot
from cloud_connect_agent.procore.streaming import StreamedResponse, broken_off
from cloud_connect_agent.procore.tokens import AccessToken
from cloud_connect_agent.procore.transport import Origin, Sent, describe_failure
from cloud_connect_agent.procore.writes import write_guard
from cloud_connect_agent.stages import Stage, Stages, call_stages, spent

__all__ = ["MAX_RETRIES", "Attempts", "Outgoing", "Retries"]

MAX_RETRIES: Final = 2  # of a read that failed
_MAX_THROTTLES: Final = 10  # 429s that one request waits out
_RETRY_PAUSE: Final = 0.25  # seconds before the first retry; doubles
_WRITE_GRACE: Final = 30.0  # seconds after the deadline in which a started write may end
# What streams for longer is as slow as its reader or sender: others need not wait for him.
_STREAM_SECONDS: Final = 1.0
_HEARD: Final = BodyLimits(max_body_bytes=64 * 1024)  # of a reason, unpacked
_FAILED: Final = frozenset({408, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A request as it goes out, but for its credentials.

    Attributes:
        content: An iterator can be sent once only; what makes one, as often as need be.
        probe: Send it even where Procore keeps refusing the app.
        raw: Whoever sends it reads the answer's body untouched.
    """

    method: str
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    content: bytes | AsyncIterator[bytes] | Callable[[], AsyncIterator[bytes]] | None
    source: Source
    deadline: float
    interactive: bool
    probe: bool = False
    raw: bool = False

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return self.method not in READ_METHODS

    @property
    def repeatable(self) -> bool:
        """Whether its body can be sent again."""
        content = self.content
        return content is None or isinstance(content, bytes) or callable(content)


class Retries:
    """How often one request may be sent again, and after what pauses."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        spread: Callable[[], float],
        most: int = MAX_RETRIES,
    ) -> None:
        self._most: Final = most
        self._clock: Final = clock
        self._spread: Final = spread
        self._made = 0
        self._out_of_time = False

    def next_pause(self, deadline: float) -> float | None:
        """Count a retry and return the pause before it; ``None`` if there is none left."""
        pause: float = _RETRY_PAUSE * 2**self._made * (0.5 + self._spread())
        if self._made >= self._most:
            return None
        if self._clock() + pause >= deadline:
            self._out_of_time = True
            return None
        self._made += 1
        return pause

    def cut_short(self, error: Exception) -> bool:
        """Whether a read ended with *error* for want of time, where another one has more."""
        if isinstance(error, SourceUnavailableError):
            return self._out_of_time
        return isinstance(error, (DeadlineExceededError, RateLimitedError))


class Attempts:
    """The context in which an answer is open; entering it sends the request.

    A write is sent again only if Procore surely did not carry it out: it refused the token
    or put the request off.

    Args:
        wrote: Told when a write has been answered, or never will be.
    """

    def __init__(
        self,
        outgoing: Outgoing,
        *,
        origin: Origin,
        authenticator: Authenticator,
        scheduler: RateScheduler,
        circuits: Circuits,
        contacts: Contacts,
        retries: Retries,
        wrote: Callable[[], None],
        max_headers: int,
        clock: Callable[[], float],
    ) -> None:
        self._out: Final = outgoing
        self._origin: Final = origin
        self._authenticator: Final = authenticator
        self._scheduler: Final = scheduler
        self._circuits: Final = circuits
        self._contacts: Final = contacts
        self._retries: Final = retries
        self._wrote: Final = wrote
        self._max_headers: Final = max_headers
        self._clock: Final = clock
        self._slot: Slot | None = None
        self._lending: asyncio.TimerHandle | None = None
        self._response: httpx.Response | None = None
        self._headers: Mapping[str, str] = {}
        self._grant: Grant | None = None
        self._hold = 0.0
        self._throttles = 0

    async def __aenter__(self) -> StreamedResponse:
        out, environment = self._out, self._out.source.environment
        company_id = out.source.company_id
        token = self._authenticator.ready(environment, company_id) or await self._in_time(
            self._authenticator.token(environment, company_id)
        )
        renewed, passed = False, out.probe
        while True:
            grant = self._grant = Grant(
                environment, token.stored.client_id, company_id, token.account.name
            )
            if not passed:
                self._circuits.check(grant)
                passed = True
            try:
                response = await self._open(grant, token)
            except SourceUnavailableError:
                if out.writes or not out.repeatable:
                    raise
                if (pause := self._retries.next_pause(out.deadline)) is None:
                    raise
                with spent(Stage.RETRY):
                    await asyncio.sleep(pause)
                continue
            status = response.status_code
            if status == 401 and not renewed and (fresh := await self._renewed(token)) is not None:
                renewed, token = True, fresh
                continue
            if (again := self._pause_after(grant, status)) is not None and out.repeatable:
                await self._close()
                with spent(Stage.LIMIT if self._hold else Stage.RETRY):
                    await asyncio.sleep(again)
                continue
            if status != 401 or (renewed and not out.probe):  # a person may try as often as need be
                self._circuits.answered(grant, out.target, status)
            if out.raw and not out.writes:
                loop = asyncio.get_running_loop()
                self._lending = loop.call_later(_STREAM_SECONDS, self._give_slot_back)
            return StreamedResponse(
                response,
                headers=self._headers,
                write=out.writes,
                host=self._origin.host,
                hold=self._hold,
                deadline=out.deadline + (_WRITE_GRACE if out.writes else 0.0),
                clock=self._clock,
                heard=self._hear if out.raw and status == 403 else None,
            )

    async def _renewed(self, token: AccessToken) -> AccessToken | None:
        """Get another token; ``None`` if only requests to come can have it."""
        if self._out.repeatable:
            await self._close()
            return await self._in_time(self._authenticator.renew(token))
        with suppress(CloudConnectError):  # its body is gone
            await self._in_time(self._authenticator.renew(token))
        return None

    async def _hear(self, body: bytes) -> None:
        """Learn from the reason of a refusal that goes by."""
        try:
            plain = await read_body(
                _whole(body), encoding=self._headers.get("content-encoding"), limits=_HEARD
            )
        except SourceUnavailableError:
            return  # packed in a way that only its caller knows
        failure = read_failure(403, self._headers, plain)
        self.explained(error_of(failure, write=self._out.writes, throttled=False))

    def explained(self, error: CloudConnectError) -> None:
        """Learn from what the answer that is open says in words."""
        probed = self._out.probe and error.status == 403
        if isinstance(error, SourceRejectedError) and self._grant is not None and not probed:
            self._circuits.explained(self._grant, error)

    def _pause_after(self, grant: Grant, status: int) -> float | None:
        """Return how long to wait before the request is sent again; ``None`` if it is not."""
        out, headers = self._out, self._headers
        self._hold = 0.0
        if not is_throttled(status, headers):
            retried = status in _FAILED and not out.writes
            return self._retries.next_pause(out.deadline) if retried else None
        if own_limit(status, headers):
            wait = retry_after_of(headers)
            if wait is None:  # nobody knows how long: an hour, for some operations
                return self._retries.next_pause(out.deadline)
            pause = self._hold = max(wait, _RETRY_PAUSE)
        else:
            self._hold = self._scheduler.hold(grant)
            pause = 0.0  # the next slot comes when the limit allows
        self._throttles += 1
        in_time = self._clock() + self._hold < out.deadline
        return pause if in_time and self._throttles <= _MAX_THROTTLES else None

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._close()

    async def _open(self, grant: Grant, token: AccessToken) -> httpx.Response:
        out, stages = self._out, call_stages.get()
        slot = self._slot = await self._scheduler.acquire(
            grant,
            write=out.writes,
            deadline=out.deadline - (0.0 if stages is None else stages.spare),
            interactive=out.interactive,
        )
        began = self._clock()
        try:
            response = self._response = await self._send(token)
            self._headers = headers = plain_headers(response.headers)
            self._scheduler.answered(slot, response.status_code, headers)
            self._contacts.answered(grant, response.status_code, began=began)
            self._check(response)
        except BaseException:
            await self._close()
            raise
        finally:
            if out.writes:
                self._wrote()
        return response

    def _check(self, response: httpx.Response) -> None:
        write = self._out.writes
        if len(response.headers.raw) > self._max_headers:
            exc = httpx.RemoteProtocolError(f"more than {self._max_headers} header lines")
            raise broken_off(exc, self._origin.host, write=write)
        guard = write_guard.get()
        if guard is not None and write and 200 <= response.status_code < 300:
            guard.carried_out()

    async def _close(self) -> None:
        response, self._response = self._response, None
        if self._lending is not None:
            self._lending.cancel()
        try:
            if response is not None:
                await response.aclose()
        finally:
            self._give_slot_back()

    def _lend_later(self) -> None:
        """Let others go before the request's body has come, if that takes long."""

        def lend() -> None:
            if self._slot is not None:
                self._scheduler.lend(self._slot)

        self._lending = asyncio.get_running_loop().call_later(_STREAM_SECONDS, lend)

    def _give_slot_back(self) -> None:
        slot, self._slot = self._slot, None
        if slot is not None:
            self._scheduler.release(slot)

    async def _send(self, token: AccessToken) -> httpx.Response:
        out, sent = self._out, Sent()
        stages, guard = call_stages.get(), write_guard.get()
        if guard is not None and out.writes:
            _check_worth(stages)  # before the intent is written: what is too late never began
            await guard.before_write()
        left = out.deadline - self._clock()
        if left <= 0:
            raise DeadlineExceededError("The call's deadline passed before it went to Procore.")
        if out.writes:
            left += _WRITE_GRACE
        else:
            _check_worth(stages)
        content = out.content() if callable(out.content) else out.content
        try:
            async with asyncio.timeout(left) as bound:
                if content is not None and not isinstance(content, bytes):
                    content = paced(content, bound, left)
                    self._lend_later()
                return await self._origin.send(
                    out.method,
                    out.target,
                    headers=(
                        (b"authorization", token.header),
                        (b"procore-company-id", b"%d" % out.source.company_id),
                        *out.headers,
                    ),
                    content=content,
                    reuse=not out.writes,
                    sent=sent if out.writes else None,
                    read_timeout=left if out.writes else None,
                )
        except TimeoutError as exc:
            raise self._late(started=sent.started) from exc
        except httpx.TransportError as exc:
            if out.writes and not sent.started:
                raise SourceUnavailableError(describe_failure(exc, self._origin.host)) from exc
            raise broken_off(exc, self._origin.host, write=out.writes) from exc

    def _late(self, *, started: bool) -> CloudConnectError:
        if self._out.writes and started:
            return OutcomeUnknownError(
                "Procore did not answer in time; whether the change was carried out is not known."
            )
        return DeadlineExceededError("Procore did not answer before the call's deadline.")

    async def _in_time(self, token: Coroutine[None, None, AccessToken]) -> AccessToken:
        try:
            async with asyncio.timeout(max(0.0, self._out.deadline - self._clock())):
                with spent(Stage.SIGNIN):
                    return await token
        except TimeoutError as exc:
            raise DeadlineExceededError(
                "Procore's login host gave no token before the call's deadline."
            ) from exc


def _check_worth(stages: Stages | None) -> None:
    """Keep a call back that waited so long that its answer could not come in time.

    Raises:
        DeadlineExceededError: If nothing of it went out yet and hardly any time is left.
    """
    if stages is not None and not stages.worth_sending():
        raise DeadlineExceededError(
            "So little of the call's deadline was left that it was not sent to Procore."
        )


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    yield body
