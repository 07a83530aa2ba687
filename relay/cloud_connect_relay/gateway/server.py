"""The gateway: authenticates agents, runs their sessions, and keeps the store informed."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError
from websockets.exceptions import ConnectionClosed

from cloud_connect.closing import CloseCode
from cloud_connect.errors import RemoteProtocolError, TunnelError
from cloud_connect.handshake_messages import HandshakeError
from cloud_connect.session import Role, Session
from cloud_connect.tunnel import GoAwayCode
from cloud_connect_relay.gateway.admission import Admission
from cloud_connect_relay.gateway.authentication import AgentAuthenticator, Authenticated
from cloud_connect_relay.gateway.certificates import server_context
from cloud_connect_relay.gateway.checkpoint_desk import CheckpointDesk
from cloud_connect_relay.gateway.clones import CloneWatch
from cloud_connect_relay.gateway.echoes import Echoes
from cloud_connect_relay.gateway.listener import AgentSocket, check_speedups, listen
from cloud_connect_relay.gateway.misconduct import Misconduct
from cloud_connect_relay.gateway.presence_log import PresenceLog
from cloud_connect_relay.gateway.registry import LiveSession
from cloud_connect_relay.gateway.reports import ReportReceiver
from cloud_connect_relay.storage.connector_keys import ConnectorKeys
from cloud_connect_relay.storage.connector_sessions import ConnectorSessions
from cloud_connect_relay.storage.connectors import ConnectorFlag, Standing

if TYPE_CHECKING:
    from cloud_connect_relay.services import Services
    from cloud_connect_relay.settings import TunnelSettings

__all__ = ["Gateway", "GatewayTimes", "serve_tunnel"]

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

_ACTIVE: Final = Standing(ConnectorFlag.ACTIVE, 0.0)
_BROKEN: Final = "connector.protocol_broken"
_CLOSE_CODES: Final = {
    ConnectorFlag.PENDING: CloseCode.AWAITING_APPROVAL,
    ConnectorFlag.REVOKED: CloseCode.REVOKED,
    ConnectorFlag.CLONE_SUSPECTED: CloseCode.CLONE_SUSPECTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayTimes:
    """Intervals and bounds of the gateway, in seconds.

    Attributes:
        flags_interval: How often the store is asked who is revoked: other processes write it.
        seen_interval: How often the store is told who was heard.
        reconnect_window: How far a restart spreads the redials of a few agents; of many it is
            as long as their handshakes take.
        drain_timeout: What running calls have left when the relay drains.
    """

    flags_interval: float = 2.0
    seen_interval: float = 15.0
    reconnect_window: float = 1.0
    drain_timeout: float = 30.0


class Gateway:
    """The agents' side of one relay node.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, services: "Services", *, times: GatewayTimes) -> None:
        settings = services.settings
        self.port = 0
        self.admission: Final = _admission(settings.tunnel, proxied=_is_proxied(services))
        services.metrics.handshakes_pending.set_function(lambda: self.admission.pending)
        self._services: Final = services
        self._times: Final = times
        self._connectors: Final = ConnectorSessions(services.storage)
        self._registry: Final = services.registry
        self._presence: Final = PresenceLog(services.storage, clock=services.clock)
        self._clones: Final = CloneWatch()
        self._misconduct: Final = Misconduct(services.storage, clock=services.clock)
        self._echoes: Final = Echoes(
            services.registry,
            interval=settings.tunnel.echo_interval,
            clock=services.clock,
        )
        self._desk: Final = CheckpointDesk(
            services.storage, key=services.identity.public_key, clock=services.clock
        )
        self._tasks: Final = asyncio.TaskGroup()
        self._draining = False
        self._sessions = 0
        self._idle: Final = asyncio.Event()
        self._idle.set()
        self._authenticator: Final = AgentAuthenticator(
            relay_id=services.identity.relay_id,
            key=services.identity.key,
            connectors=self._connectors,
            keys=ConnectorKeys(services.storage),
            registry=services.registry,
            certificates=services.certificates,
            clock=services.clock,
        )

    def send_away(self) -> None:
        """Take no more agents, and have those that are here dial anew, spread over a window."""
        self._draining = True
        for live in self._registry:
            self._send_away(live)

    async def drain(self, within: float | None = None) -> None:
        """Send the agents away, let the running calls end, and cut who is not done in time."""
        self.send_away()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._times.drain_timeout if within is None else within):
                await self._idle.wait()
        async with asyncio.TaskGroup() as tasks:
            for live in self._registry:
                tasks.create_task(
                    live.link.close(CloseCode.SERVICE_RESTART, "The relay restarts."),
                    name=f"cut-{live.connector_id}",
                )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the store and the sessions in step until the block ends."""
        failure: Exception | None = None
        async with self._tasks:
            loops = [
                self._tasks.create_task(self._follow_flags(), name="gateway-flags"),
                self._tasks.create_task(self._note_seen(), name="gateway-seen"),
                self._tasks.create_task(self._echoes.run(), name="gateway-echoes"),
            ]
            try:
                yield
            except Exception as error:  # noqa: BLE001  re-raised below, outside the group
                failure = error
            for loop in loops:
                loop.cancel()
        if failure is not None:
            raise failure

    def accepting(self) -> bool:
        """Whether agents may connect."""
        return not self._draining

    async def handle(self, socket: AgentSocket) -> None:
        """Serve one socket, from its first message to its end."""
        try:
            until = socket.connected_at + self._services.settings.tunnel.auth_timeout
            async with asyncio.timeout_at(until):
                agent = await self._authenticator.authenticate(socket)
        except TimeoutError:
            await socket.close(CloseCode.HANDSHAKE_TIMEOUT, "The handshake took too long.")
        except HandshakeError as exc:
            log.warning("agent_refused", reason=exc.close_code.name.lower())
            await socket.close(exc.close_code, exc.message)
        except ConnectionClosed:
            log.debug("agent_left_before_authentication")
        else:
            await self._serve(socket, agent)

    async def _serve(self, socket: AgentSocket, agent: Authenticated) -> None:
        socket.authenticated()
        connector = agent.connector
        receiver = ReportReceiver(
            self._registry,
            self._connectors,
            results=lambda: self._services.calls,
            desk=self._desk,
            misconduct=self._misconduct,
        )
        session = Session(socket, role=Role.RELAY, handler=receiver)
        live = LiveSession(
            connector_id=connector.id,
            subscription_id=connector.subscription_id,
            name=connector.name,
            group=connector.group,
            hosted=connector.hosted,
            session=session,
            link=socket,
            connected_since=self._services.clock(),
            instance=agent.instance,
            certificate=agent.certificate,
            policy_class=connector.policy_class,
            flagged_draining=connector.flag is ConnectorFlag.DRAINING,
            held_until=connector.paused_until or 0.0,
            clock=self._services.clock,
        )
        receiver.live = live
        self._sessions += 1
        self._idle.clear()
        try:
            if await self._take_over(live, agent):
                await self._run(live)
        finally:
            self._sessions -= 1
            if self._sessions == 0:
                self._idle.set()

    async def _take_over(self, live: LiveSession, agent: Authenticated) -> bool:
        """List the session and close the one it replaces; whether it may go on."""
        older = self._registry.add(live)
        if older is not None:
            log.info("session_superseded", connector_id=live.connector_id)
            # The one that was replaced may wake up later: nothing of it is taken any more.
            older.session.fence(CloseCode.SUPERSEDED, "A newer session took over.")
            self._tasks.create_task(
                older.link.close(CloseCode.SUPERSEDED, "A newer session took over."),
                name=f"supersede-{live.connector_id}",
            )
            if self._clones.took_over(
                live.connector_id, replaced=older.instance, instance=live.instance
            ):
                self._clones.forget(live.connector_id)
                await self._authenticator.suspect(agent.connector, sign="alternation")
                return False
        return True

    async def _run(self, live: LiveSession) -> None:
        connector_id, session_id = live.connector_id, uuid.uuid4().hex
        log.info("agent_connected", connector_id=connector_id, certificate=live.certificate)
        if self._draining:
            self._send_away(live)
        reason = "drained"
        try:
            async with asyncio.TaskGroup() as tasks:
                noting = [
                    tasks.create_task(work, name=f"online-{connector_id}")
                    for work in (
                        _survive(self._connectors.online(connector_id, now=live.connected_since)),
                        self._presence.began(session_id, live),
                    )
                ]
                try:
                    await live.session.run()
                except TunnelError as exc:
                    reason = exc.message
                    if isinstance(exc.__cause__, RemoteProtocolError):
                        self._registry.remove(live)
                        await self._misconduct.note(live, _BROKEN, reason=reason)
                self._registry.remove(live)  # also while the store does not answer
                for note in noting:
                    await note
        finally:
            self._registry.remove(live)
            log.info("agent_disconnected", connector_id=connector_id, reason=reason)
            await self._presence.ended(session_id, seen=self._heard(live))
            if self._registry.get(connector_id) is None:
                await _survive(self._connectors.offline(connector_id, seen=self._heard(live)))

    def _send_away(self, live: LiveSession) -> None:
        rate = self._services.settings.tunnel.handshakes_per_second
        window = max(self._times.reconnect_window, len(self._registry) / rate)
        live.session.drain(
            code=GoAwayCode.RESTART,
            reconnect_window_ms=int(window * 1000),
            reason="The relay restarts.",
        )

    async def _follow_flags(self) -> None:
        """Cut whoever another process revoked, and take over who is drained or paused."""
        while True:
            await asyncio.sleep(self._times.flags_interval)
            if len(self._registry) == 0:
                continue
            flags = await _survive(self._connectors.flagged(now=self._services.clock()))
            if flags is None:
                continue
            for live in self._registry:
                flag, held_until = flags.get(live.connector_id, _ACTIVE)
                draining = flag is ConnectorFlag.DRAINING
                self._registry.flagged(live, draining=draining, held_until=held_until)
                if not flag.may_connect:
                    self._tasks.create_task(
                        self._registry.cut(live.connector_id, _CLOSE_CODES[flag]),
                        name=f"cut-{live.connector_id}",
                    )

    async def _note_seen(self) -> None:
        while True:
            await self._presence.go_on()
            await asyncio.sleep(self._times.seen_interval)
            heard = {live.connector_id: self._heard(live) for live in self._registry}
            await _survive(self._connectors.seen(heard))

    def _heard(self, live: LiveSession) -> float:
        """When the agent was heard last, in UNIX time."""
        return self._services.clock() - max(0.0, time.monotonic() - live.session.last_received)


@contextlib.asynccontextmanager
async def serve_tunnel(
    services: "Services", host: str, port: int, *, times: GatewayTimes | None = None
) -> AsyncIterator[Gateway]:
    """Listen for agents until the block ends.

    Raises:
        ConfigurationError: If certificates cannot be read, or websockets is not compiled.
    """
    check_speedups()
    settings = services.settings
    tls = None
    if settings.tls_cert is not None and settings.tls_key is not None:
        tls = server_context(settings.tls_cert, settings.tls_key)
    gateway = Gateway(services, times=times or GatewayTimes(drain_timeout=settings.drain_timeout))
    async with (
        gateway.running(),
        listen(
            gateway.handle,
            host=host,
            port=port,
            tls=tls,
            admission=gateway.admission,
            accepting=gateway.accepting,
            upgrade_timeout=settings.tunnel.upgrade_timeout,
        ) as gateway.port,
    ):
        yield gateway


async def _survive(storing: Awaitable[_T]) -> _T | None:
    """Go on without the store: sessions outlive its outages."""
    try:
        return await storing
    except SQLAlchemyError:
        log.warning("store_unavailable", exc_info=True)
        return None


def _is_proxied(services: "Services") -> bool:
    """Whether a proxy on this machine stands in front, so that all agents share its address."""
    settings = services.settings
    return settings.public_url is not None and not settings.secure


def _admission(settings: "TunnelSettings", *, proxied: bool) -> Admission:
    return Admission(
        max_pending=settings.max_pending,
        max_pending_per_source=None if proxied else settings.max_pending_per_source,
        handshakes_per_second=settings.handshakes_per_second,
    )
