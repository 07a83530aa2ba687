"""The connection: dial, authenticate, serve, back off, and drain when the agent stops."""

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from cloud_connect.closing import CloseCode
from cloud_connect.errors import (
    CloudConnectError,
    ConfigurationError,
    TunnelClosedError,
    TunnelError,
)
from cloud_connect.handshake_messages import HandshakeError
from cloud_connect.session import Handler, Role, Session
from cloud_connect.signing import SigningKey
from cloud_connect_agent.backoff import Backoff
from cloud_connect_agent.close_reasons import FAULTS, REASONS, REFUSALS
from cloud_connect_agent.connection_health import ConnectionHealth
from cloud_connect_agent.dialling import DialError, allow_frames, dial
from cloud_connect_agent.greeting import greet
from cloud_connect_agent.health import SKEW_SECONDS
from cloud_connect_agent.identity import Generation
from cloud_connect_agent.key_renewal import renew
from cloud_connect_agent.keyring import Keyring
from cloud_connect_agent.network import Network
from cloud_connect_agent.relay_address import RelayAddress
from cloud_connect_agent.relocation import ask_tunnel_url
from cloud_connect_agent.reports import ReportBoard, send_reports
from cloud_connect_agent.session_work import SessionWork
from cloud_connect_agent.settings import TunnelSettings
from cloud_connect_agent.stopping import StopSignal
from cloud_connect_agent.suspension import suspended
from cloud_connect_agent.watching import NO_NETWORK, LinkWatch

__all__ = ["Connection", "connect_forever"]

log = structlog.get_logger(__name__)

_CUT_JITTER: Final = 0.5  # seconds before the dial after a link that this PC cut
_MISSED_BEFORE_ASKING: Final = 3  # dials; a relay that restarts is back after one or two
# Seconds at most between dials while calls still run over a session that a relay has ended: it
# asked to be dialled again soon.
_LEAVING_PAUSE: Final = 2.0
_RESTART_WINDOW: Final = 1.0  # seconds; for a relay that drains and names none


async def connect_forever(
    handler: Handler,
    *,
    relay: RelayAddress,
    generation: Generation,
    settings: TunnelSettings,
    health: ConnectionHealth,
    reports: ReportBoard,
    outbox: SessionWork | None = None,
    keyring: Keyring | None = None,
    stop: StopSignal,
) -> None:
    """Keep a session with the relay until the agent shall stop; returns after draining.

    Raises:
        ConfigurationError: If what enrolling wrote is missing or damaged.
    """
    await Connection(
        handler,
        relay=relay,
        generation=generation,
        settings=settings,
        health=health,
        reports=reports,
        outbox=outbox,
        keyring=keyring,
        stop=stop,
    ).run()


class Connection:
    """The loop behind :func:`connect_forever`."""

    def __init__(
        self,
        handler: Handler,
        *,
        relay: RelayAddress,
        generation: Generation,
        settings: TunnelSettings,
        health: ConnectionHealth,
        reports: ReportBoard,
        outbox: SessionWork | None = None,
        keyring: Keyring | None = None,
        stop: StopSignal,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
        sleeping: Callable[[], Awaitable[float]] = suspended,
        network: Network | None = None,
    ) -> None:
        self._handler: Final = handler
        self._relay: Final = relay
        self._keyring: Final = keyring or Keyring(relay.credentials.key)
        self._generation: Final = generation
        self._settings: Final = settings
        self._health: Final = health
        self._reports: Final = reports
        self._outbox: Final = outbox
        self._stop: Final = stop
        self._clock: Final = clock
        self._uniform: Final = uniform
        self._watch: Final = LinkWatch(uniform=uniform, sleeping=sleeping, network=network)
        self._hurry = False  # whether to dial as soon as this PC is awake and has a network
        self._instance: Final = secrets.token_urlsafe(12)
        self._backoff: Final = Backoff(
            base=settings.backoff_base,
            cap=settings.backoff_cap,
            healthy_after=settings.healthy_after,
            uniform=uniform,
        )
        self._dials = 0
        self._leaving: Final[set[asyncio.Task[float | ConfigurationError]]] = set()
        self._tunnel_url = relay.tunnel_url
        self._missed = 0  # dials in a row that reached no relay of ours

    async def run(self) -> None:
        """Dial, serve and dial again, until the agent shall stop."""
        failure: ConfigurationError | None = None
        async with asyncio.TaskGroup() as sessions:
            while not self._stop.requested:
                self._health.connecting()
                self._hurry = False
                if self._missed >= _MISSED_BEFORE_ASKING:
                    await self._ask_where()
                delay = await self._next_session(sessions)
                if isinstance(delay, ConfigurationError):
                    failure = delay
                    break
                with contextlib.suppress(TimeoutError):
                    async with self._stop.interrupting():
                        await self._watch.rest(delay, hurry=self._hurry)
        if failure is not None:
            raise failure

    async def _next_session(self, sessions: asyncio.TaskGroup) -> float | ConfigurationError:
        """Serve one session until its end, or until the relay sends us elsewhere.

        A relay that drains finishes the calls that run over the old session, which may take half
        a minute: new ones come over the next session meanwhile, from another node or the same.
        """
        left: asyncio.Future[tuple[float, float]] = asyncio.get_running_loop().create_future()
        task = sessions.create_task(self._one_session(left), name="connection-session")
        waited: set[asyncio.Future[Any]] = {task, left}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not left.done():
            delay = task.result()
            if self._leaving and not isinstance(delay, ConfigurationError):
                return min(delay, _LEAVING_PAUSE)
            return delay
        if not task.done():
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        self._health.offline("The relay restarts.")
        window, lived = left.result()
        return self._backoff.after_restart(window or _RESTART_WINDOW, lived=lived)

    async def _one_session(
        self, left: "asyncio.Future[tuple[float, float]]"
    ) -> float | ConfigurationError:
        """Connect once and serve until the end; return the seconds until the next dial.

        Args:
            left: Told when the relay sends us away: its window, and how long the session lived.
        """
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with self._stop.interrupting():
                    link = await stack.enter_async_context(
                        dial(
                            self._tunnel_url,
                            tls=self._relay.tls,
                            settings=self._settings,
                            proxy=await self._relay.proxies.way(self._tunnel_url, afresh=True),
                            attempt=self._dials,
                        )
                    )
                    key = await self._authenticate(link)
                self._missed = 0
                allow_frames(link)
                return await self._serve(link, key, left)
        except ConfigurationError as exc:
            return exc
        except DialError as exc:
            return self._failed(exc.message, retry_after=exc.retry_after)
        except HandshakeError as exc:
            return self._refused(exc.message, code=exc.close_code)
        except ConnectionClosed as exc:
            code = exc.rcvd.code if exc.rcvd is not None else None
            return self._ended(code, lived=0.0, otherwise="The relay hung up before the session.")
        except TimeoutError:
            if self._stop.requested:
                return 0.0
            return self._failed("The relay does not answer the handshake.")
        except OSError as exc:
            return self._failed(f"The state folder cannot be written: {exc.strerror}.")
        except Exception:  # the loop goes on whatever happens
            log.exception("connection_failed")
            return self._failed("The connection failed; the log has the details.")
        finally:
            self._dials += 1

    async def _ask_where(self) -> None:
        """Have the relay say where its tunnel is by now; only the pinned one is believed."""
        self._missed = 0
        if self._relay.api_url is None:
            return
        try:
            async with self._stop.interrupting():
                found = await ask_tunnel_url(
                    self._relay.api_url,
                    self._relay.credentials,
                    tls=self._relay.tls,
                    proxy=await self._relay.proxies.way(self._relay.api_url),
                    enrolled_at=self._relay.tunnel_url,
                )
        except CloudConnectError as exc:
            log.info("tunnel_not_told", reason=exc.message)
        except TimeoutError:
            return  # the agent stops
        else:
            if found != self._tunnel_url:
                log.warning("tunnel_moved", url=found)
                self._tunnel_url = found

    async def _authenticate(self, link: ClientConnection) -> SigningKey:
        """Prove who we are, and believe the relay only when it has done so, too."""
        key = self._keyring.key
        async with asyncio.timeout(self._settings.handshake_timeout):
            welcome = await greet(
                link, self._relay, key=key, generation=self._generation, instance=self._instance
            )
        skew = round(time.time() - welcome.time, 1)
        self._health.clock_skew(skew)
        self._health.certificate(welcome.certificate)
        log.info(
            "relay_authenticated",
            connector_id=self._relay.credentials.connector_id,
            certificate=welcome.certificate,
            clock_skew_seconds=skew,
        )
        if welcome.certificate == "intercepted":
            log.warning("link_intercepted")
        if abs(skew) > SKEW_SECONDS:
            log.warning("clock_skewed", clock_skew_seconds=skew)
        return key

    async def _serve(
        self, link: ClientConnection, key: SigningKey, left: "asyncio.Future[tuple[float, float]]"
    ) -> float:
        began = self._clock()
        session = Session(link, role=Role.AGENT, handler=self._handler)

        def leave() -> None:
            if session.go_away is not None and not left.done():
                window = session.go_away.reconnect_window_ms / 1000
                left.set_result((window, self._clock() - began))

        reason = "The session has ended."
        async with asyncio.TaskGroup() as tasks:
            companions = [
                tasks.create_task(self._measure(session, key), name="connection-round-trip"),
                tasks.create_task(self._report(session), name="connection-reports"),
                tasks.create_task(self._tell_results(session), name="connection-outbox"),
                tasks.create_task(self._watch.over(session, link), name="connection-watch"),
                tasks.create_task(
                    renew(session, link, self._keyring, key, drain=self._settings.drain_timeout),
                    name="connection-renew",
                ),
            ]
            ending = [
                tasks.create_task(self._drain(session, link), name="connection-drain"),
                tasks.create_task(_sent_away(session, companions, leave), name="connection-leave"),
            ]
            try:
                await session.run()
            except TunnelError as exc:
                reason = f"The connection to the relay is lost: {exc.message}."
            finally:
                for task in (*companions, *ending):
                    task.cancel()
        lived = self._clock() - began
        log.info("session_ended", reason=reason, lived_seconds=round(lived, 3))
        if self._stop.requested:
            self._health.offline("The agent stops.")
            return 0.0
        if session.go_away is not None:
            leave()
            return 0.0  # the next session takes over
        delay = self._ended(link.close_code, lived=lived, otherwise=self._watch.reason or reason)
        # It was this PC that cut the link: that says nothing against the relay.
        return delay if self._watch.reason is None else min(delay, self._uniform(0.0, _CUT_JITTER))

    async def _measure(self, session: Session, key: SigningKey) -> None:
        """Only a round trip says that the connector works; a socket that is open does not."""
        with contextlib.suppress(TunnelClosedError):
            seconds = await session.ping()
            await self._keyring.accepted(key)
            self._health.connected(session)
            while True:
                self._health.round_trip(seconds)
                await asyncio.sleep(self._settings.round_trip_interval)
                seconds = await session.ping()

    async def _report(self, session: Session) -> None:
        with contextlib.suppress(TunnelClosedError):
            await send_reports(session, self._reports)

    async def _tell_results(self, session: Session) -> None:
        if self._outbox is not None:
            with contextlib.suppress(TunnelClosedError):
                await self._outbox.run(session)

    async def _drain(self, session: Session, link: ClientConnection) -> None:
        await self._stop.wait()
        self._health.drain()
        log.info("draining", in_flight=session.in_flight)
        session.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_timeout):
                await self._stop.wait_urgent()
        log.warning("drain_cut_short", in_flight=session.in_flight)
        await link.close(CloseCode.GOING_AWAY, "The agent stops.")

    def _ended(self, code: int | None, *, lived: float, otherwise: str) -> float:
        """Say why there is no session, and how long to stay away for that."""
        if code == CloseCode.REVOKED:
            self._health.revoked(REASONS[CloseCode.REVOKED])
            log.warning("connector_revoked")
            return self._backoff.after_revocation()
        if code == CloseCode.AWAITING_APPROVAL:
            self._health.offline(REASONS[CloseCode.AWAITING_APPROVAL])
            return self._backoff.after_waiting()
        if code == CloseCode.UNAUTHORIZED and self._keyring.refused():
            log.info("other_key_tried")
            return 0.0
        if code in REFUSALS:
            return self._refused(REASONS[CloseCode(code)], code=CloseCode(code))
        reason = REASONS[CloseCode(code)] if code in set(REASONS) else otherwise
        self._health.offline(reason)
        log.warning("offline", reason=reason)
        if code == CloseCode.SUPERSEDED:
            return self._backoff.after_supersession()
        self._hurry = True
        return self._backoff.after_session(lived, faulty=code in FAULTS)

    def _failed(self, reason: str, *, retry_after: float | None = None) -> float:
        if self._watch.offline:
            reason = NO_NETWORK
        self._hurry = retry_after is None
        self._missed += 1
        self._health.offline(reason)
        log.warning("dial_failed", reason=reason)
        delay = self._backoff.after_failure()
        if retry_after is None:
            return delay
        # The relay counts in whole seconds: come back some time within that one.
        return max(delay, retry_after + self._uniform(0.0, 1.0))

    def _refused(self, reason: str, *, code: CloseCode) -> float:
        self._missed = _MISSED_BEFORE_ASKING  # perhaps it is another relay by now
        if code is CloseCode.INTERCEPTED:
            self._health.intercepted(reason)
        else:
            self._health.offline(reason)
        log.warning("relay_refused", reason=reason)
        return self._backoff.after_refusal()


async def _sent_away(
    session: Session, companions: list[asyncio.Task[None]], leave: Callable[[], None]
) -> None:
    """When the relay sends us away, leave the session to the calls that run over it."""
    await session.sent_away.wait()
    for task in companions:
        task.cancel()
    leave()
