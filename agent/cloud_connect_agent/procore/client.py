"""The client of Procore's API: signs in, keeps to the limits, says what is certain."""

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

import anyio.lowlevel
import structlog

from cloud_connect.calls import Environment, ReportedGrant, Source
from cloud_connect.errors import (
    CloudConnectError,
    InternalError,
    OutcomeUnknownError,
    SourceRejectedError,
    SourceUnavailableError,
)
from cloud_connect_agent.procore.attempts import MAX_RETRIES, Attempts, Outgoing, Retries
from cloud_connect_agent.procore.bodies import BodyLimits, read_body
from cloud_connect_agent.procore.circuits import Circuits
from cloud_connect_agent.procore.client_settings import ClientSettings
from cloud_connect_agent.procore.contacts import Contacts
from cloud_connect_agent.procore.encoding import Answer, body_of, decode, target_of
from cloud_connect_agent.procore.environments import Endpoints
from cloud_connect_agent.procore.failures import UNCLEAR, error_of, is_throttled, read_failure
from cloud_connect_agent.procore.grants.accounts import AccountBook
from cloud_connect_agent.procore.grants.identity import IdentityHost
from cloud_connect_agent.procore.grants.signing_in import Hosts
from cloud_connect_agent.procore.login import LoginHost
from cloud_connect_agent.procore.messages import ApiRequest, ApiResponse
from cloud_connect_agent.procore.oauth import Authenticator
from cloud_connect_agent.procore.origins import Origins
from cloud_connect_agent.procore.scheduler import RateScheduler
from cloud_connect_agent.procore.shared_reads import SharedReads
from cloud_connect_agent.procore.standing import with_standing
from cloud_connect_agent.procore.streaming import StreamedResponse, TruncatedAnswerError
from cloud_connect_agent.procore.transport import Origin, Timeouts
from cloud_connect_agent.proxies import Proxies
from cloud_connect_agent.stages import Stage, spent
from cloud_connect_agent.vault.base import SharedVault

__all__ = ["ApiRequest", "ApiResponse", "ClientSettings", "ProcoreClient"]

log = structlog.get_logger(__name__)

_UNTOLD_HOLD: Final = 60.0  # seconds of a limit of which Procore does not say how long it lasts
_MAX_KEPT_BYTES: Final = 256 * 1024  # of an answer that a burst's latecomers get
_ACCEPT: Final = ((b"accept", b"application/json"), (b"accept-encoding", b"gzip"))


class ProcoreClient:
    """Sends requests to Procore, for every environment and company."""

    def __init__(
        self,
        settings: ClientSettings,
        *,
        limits: BodyLimits,
        timeouts: Timeouts,
        proxies: Proxies | None,
        clock: Callable[[], float],
        wall: Callable[[], float],
        spread: Callable[[], float],
    ) -> None:
        self._settings: Final = settings
        self._limits: Final = limits
        self._clock: Final = clock
        self._wall: Final = wall
        self._spread: Final = spread
        self._origins: Final = Origins(settings, timeouts=timeouts, proxies=proxies)
        self.user_agent: Final = f"cloud-connect/{version('cloud-connect')}"
        self._agent_header: Final = (b"user-agent", self.user_agent.encode("ascii"))
        self.scheduler: Final = RateScheduler(
            read_concurrency=settings.read_concurrency,
            write_concurrency=settings.write_concurrency,
            clock=clock,
            spread=spread,
        )
        self.circuits: Final = Circuits(clock=clock, spread=spread)
        self.contacts: Final = Contacts(clock=clock, wall=wall)
        self._shared: Final[SharedReads[Answer]] = SharedReads(
            clock=clock, keeps=lambda answer: len(answer.body) <= _MAX_KEPT_BYTES
        )
        self._authenticator: Authenticator | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: ClientSettings,
        vault: SharedVault,
        *,
        limits: BodyLimits | None = None,
        timeouts: Timeouts | None = None,
        proxies: Proxies | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        spread: Callable[[], float] = random.random,
    ) -> AsyncIterator["ProcoreClient"]:
        """Open the client; nothing is connected before the first request.

        Args:
            clock: Monotonic seconds, on which deadlines count.
            wall: Unix seconds of this machine.
            spread: Random numbers from 0 to 1, for waits.
        """
        client = cls(
            settings,
            limits=limits or BodyLimits(),
            timeouts=timeouts or Timeouts(),
            proxies=proxies,
            clock=clock,
            wall=wall,
            spread=spread,
        )

        def hosts(environment: Environment) -> Hosts:
            login, api = client.hosts(environment)
            return Hosts(
                login=LoginHost(login, user_agent=client.user_agent, wall=wall, spread=spread),
                identity=IdentityHost(api, user_agent=client.user_agent),
            )

        # httpx loads its network layer at the first connection: 5 MB and 0.1 s for some write.
        await anyio.lowlevel.checkpoint()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(client._origins.aclose)
            client._authenticator = await stack.enter_async_context(
                Authenticator.open(
                    vault,
                    hosts,
                    accounts=AccountBook(lambda: settings.environments),
                    login_url=lambda environment: client.endpoints(environment).login_url,
                    clock=clock,
                    wall=wall,
                )
            )
            yield client

    @property
    def authenticator(self) -> Authenticator:
        """Signs in and out, and lists grants."""
        if self._authenticator is None:
            raise InternalError("The Procore client is not open.")
        return self._authenticator

    @property
    def remote_authorize(self) -> bool:
        """Whether a person may sign this PC in through the relay."""
        return self._settings.remote_authorize

    def reload(self) -> None:
        """Use what vault and settings hold from the next request on."""
        self.authenticator.reload()
        self.scheduler.resize(
            read_concurrency=self._settings.read_concurrency,
            write_concurrency=self._settings.write_concurrency,
        )
        self.circuits.reset()

    async def grants(self) -> list[ReportedGrant]:
        """Return each account, with what is left of its limits and where it is refused."""
        return with_standing(
            await self.authenticator.grants(),
            self.scheduler.views(),
            self.circuits.open_ones(),
            self.contacts.last,
            wall=self._wall(),
        )

    def endpoints(self, environment: Environment) -> Endpoints:
        """Return where an environment lives.

        Raises:
            ConfigurationError: If a URL of the settings cannot be used.
        """
        return self._origins.endpoints(environment)

    def trust(self, ca_file: Path | None) -> ssl.SSLContext:
        """Whom to trust; each context holds the whole store, some 3 MB."""
        return self._origins.trust(ca_file)

    def hosts(self, environment: Environment) -> tuple[Origin, Origin]:
        """Return the login host and the API host of an environment.

        Raises:
            ConfigurationError: If the settings are wrong.
        """
        return self._origins.login(environment), self._origins.api(environment)

    async def request(
        self,
        request: ApiRequest,
        *,
        source: Source,
        deadline: float,
        interactive: bool = True,
        probe: bool = False,
    ) -> ApiResponse:
        """Send one request and return its 2xx answer.

        Args:
            deadline: When to give up, on the client's clock; a write that went out is waited
                for a little longer.
            interactive: A person waits; bulk requests go later.
            probe: Send it even where Procore keeps refusing the app.

        Raises:
            SourceRejectedError: Procore said no (4xx).
            SourceUnavailableError: It could not be reached or failed; nothing was changed.
            OutcomeUnknownError: A write went out and its answer did not come back.
            RateLimitedError: Its limit outlasts the deadline; nothing was changed.
            SignInRequiredError: Somebody has to sign in on the PC.
            DeadlineExceededError: The deadline passed first; nothing was changed.
        """
        content, headers = body_of(request)
        outgoing = Outgoing(
            method=request.method,
            target=target_of(request),
            headers=(*_ACCEPT, *headers, self._agent_header),
            content=content,
            source=source,
            deadline=deadline,
            interactive=interactive,
            probe=probe,
        )
        if outgoing.writes:
            return await self._write(outgoing)
        key = (
            source,
            request.method,
            outgoing.target,
            outgoing.headers,
            content,
            interactive,
            probe,
        )
        retries = self.retries()
        answer = await self._shared.run(
            key,
            lambda: self._read(outgoing, retries),
            deadline=deadline,
            hasty=retries.cut_short,
        )
        return decode(answer, write=False, later=request.read_ahead)

    async def _read(self, outgoing: Outgoing, retries: Retries) -> Answer:
        """Read, and again if an answer broke off."""
        while True:
            try:
                return await self._fetch(outgoing, retries)
            except TruncatedAnswerError:
                pause = retries.next_pause(outgoing.deadline)
                if pause is None:
                    raise
            with spent(Stage.RETRY):
                await asyncio.sleep(pause)

    async def _write(self, outgoing: Outgoing) -> ApiResponse:
        try:
            return decode(await self._fetch(outgoing, self.retries()), write=True)
        except OutcomeUnknownError as unknown:
            pause = self.retries().next_pause(outgoing.deadline)
            if outgoing.method != "DELETE" or outgoing.content is not None or pause is None:
                raise
            return await self._delete_again(outgoing, unknown, pause)

    async def _delete_again(
        self, outgoing: Outgoing, unknown: OutcomeUnknownError, pause: float
    ) -> ApiResponse:
        """Repeat a deletion once: what is gone cannot be deleted twice."""
        with spent(Stage.RETRY):
            await asyncio.sleep(pause)
        try:
            return decode(await self._fetch(outgoing, self.retries()), write=True)
        except SourceRejectedError as rejected:
            if rejected.status != 404:
                raise unknown from rejected
            return ApiResponse(status=200, headers={}, already_absent=True)
        except CloudConnectError as error:
            raise unknown from error

    async def _fetch(self, outgoing: Outgoing, retries: Retries) -> Answer:
        attempts = self._attempts(outgoing, retries)
        async with attempts as answer:
            status, headers = answer.status, answer.headers
            async with answer.reading():
                try:
                    body = await read_body(
                        answer.chunks(),
                        encoding=headers.get("content-encoding"),
                        limits=self._limits,
                    )
                except SourceUnavailableError as exc:
                    if not outgoing.writes:
                        raise
                    raise OutcomeUnknownError(f"{exc.message} {UNCLEAR}") from exc
            if 200 <= status < 300:
                return Answer(status, headers, body)
            throttled = is_throttled(status, headers)
            failure = read_failure(status, headers, body)
            log.info(
                "procore_refused",
                method=outgoing.method,
                status=status,
                code=failure.code,
                request_id=failure.request_id,
            )
            error = error_of(
                failure,
                write=outgoing.writes,
                throttled=throttled,
                retry_after=(answer.hold or _UNTOLD_HOLD) if throttled else None,
            )
            attempts.explained(error)
            raise error

    def stream(
        self,
        method: str,
        raw_target: str,
        *,
        source: Source,
        headers: tuple[tuple[str, str], ...] = (),
        content: bytes | AsyncIterator[bytes] | None = None,
        deadline: float,
        interactive: bool = True,
    ) -> AbstractAsyncContextManager[StreamedResponse]:
        """Return the context in which the answer to a request is open, whatever its status.

        Entering it sends the request, as it is.

        Args:
            raw_target: Path and query from ``/rest/`` on, sent untouched.
            content: An iterator's body is sent once; the deadline counts from its end then.

        Raises:
            SourceUnavailableError: There was no answer; nothing was changed.
            OutcomeUnknownError: A write went out and its answer did not come back.
            RateLimitedError: Procore's limit outlasts the deadline; nothing was changed.
            SignInRequiredError: Somebody has to sign in on the PC.
            DeadlineExceededError: The deadline passed first; nothing was changed.
        """
        outgoing = Outgoing(
            method=method,
            target=raw_target.encode("ascii"),
            headers=(
                *((name.encode("ascii"), value.encode("latin-1")) for name, value in headers),
                self._agent_header,
            ),
            content=content,
            source=source,
            deadline=deadline,
            interactive=interactive,
            raw=True,
        )
        return self._attempts(outgoing, self.retries())

    def retries(self, most: int = MAX_RETRIES) -> Retries:
        """Return how often, and after what pauses, something may be sent again."""
        return Retries(clock=self._clock, spread=self._spread, most=most)

    def _attempts(self, outgoing: Outgoing, retries: Retries) -> Attempts:
        return Attempts(
            outgoing,
            origin=self._origins.api(outgoing.source.environment),
            authenticator=self.authenticator,
            scheduler=self.scheduler,
            circuits=self.circuits,
            contacts=self.contacts,
            retries=retries,
            wrote=self._shared.part,
            max_headers=self._limits.max_headers,
            clock=self._clock,
        )
