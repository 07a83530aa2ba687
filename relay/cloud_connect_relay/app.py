"""The composition root: builds the parts of a relay, runs them, and lets them end in order."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from cloud_connect.memory import keep_small
from cloud_connect.services.notifying import ServiceManager
from cloud_connect_relay.addresses import Addresses
from cloud_connect_relay.api.factory import build_app
from cloud_connect_relay.audit_keeper import AuditKeeper
from cloud_connect_relay.authentication import Authenticator
from cloud_connect_relay.calls.service import CallService
from cloud_connect_relay.console import Console
from cloud_connect_relay.custom_connector.answers import MAX_KEPT_BYTES
from cloud_connect_relay.custom_connector.entrance import REQUEST_RETENTION
from cloud_connect_relay.events.connectors import ConnectorWatch
from cloud_connect_relay.events.hub import EventHub
from cloud_connect_relay.gateway.certificates import KnownCertificates, certificate_files
from cloud_connect_relay.gateway.registry import Registry
from cloud_connect_relay.gateway.server import serve_tunnel
from cloud_connect_relay.http_server import HttpServer, bind, listen_error
from cloud_connect_relay.live_requests import LiveRequests
from cloud_connect_relay.metrics import Metrics
from cloud_connect_relay.services import Services
from cloud_connect_relay.storage.authorizations import AuthorizationsOfAll
from cloud_connect_relay.storage.custom_requests import CustomRequests
from cloud_connect_relay.storage.keys import Grants
from cloud_connect_relay.storage.presence import Presence
from cloud_connect_relay.uptime import DAY, HISTORY_DAYS

if TYPE_CHECKING:
    from cloud_connect_relay.gateway.server import Gateway
    from cloud_connect_relay.identity import RelayIdentity
    from cloud_connect_relay.settings import RelaySettings
    from cloud_connect_relay.storage import Storage

__all__ = ["run_relay"]

log = structlog.get_logger(__name__)

_GATEWAY_SECONDS: Final = 3.0  # at the end of the drain: the agents' farewell
_CLOSING_SECONDS: Final = 3.0  # after it: closing handshakes, the last records
_SIGNING_SECONDS: Final = 2.0  # for the last checkpoint
_HOUSEKEEPING_INTERVAL: Final = 3600.0  # seconds between two looks for what may be deleted
_TOKEN_RETENTION: Final = 86_400.0  # seconds that ended tokens are kept: somebody may ask why


class _Readiness:
    """Whether the relay takes calls."""

    def __init__(self) -> None:
        self.is_ready = False

    def __call__(self) -> bool:
        return self.is_ready


class _Vitality:
    """What the service manager is told: as long as the event loop moves, the relay does."""

    is_stuck = False

    def __init__(self, services: Services) -> None:
        self._services: Final = services

    @property
    def summary(self) -> str:
        """How many connectors and calls there are."""
        connectors, calls = len(self._services.registry), self._services.calls.running
        return f"{connectors} connectors online, {calls} calls running"


async def run_relay(
    settings: "RelaySettings",
    *,
    storage: "Storage",
    identity: "RelayIdentity",
    stop: asyncio.Event,
    on_ready: Callable[[Addresses], None],
    manager: ServiceManager | None = None,
    clock: Callable[[], float] = time.time,
) -> None:
    """Serve until *stop* is set, then let the running calls end.

    Args:
        on_ready: Called once, when both listeners take connections.
        manager: What runs the relay as a service, if anything does.

    Raises:
        ConfigurationError: If a certificate or a setting cannot be used.
        ListenError: If an address is taken.
    """
    readiness = _Readiness()
    certificates = KnownCertificates.load(certificate_files(settings))
    metrics, registry = Metrics(), Registry()
    metrics.watch_connectors(
        lambda: len(registry), streams=lambda: sum(live.in_flight for live in registry)
    )
    hub = EventHub(max_listeners=settings.api.max_event_streams)
    async with CallService.open(
        storage=storage,
        registry=registry,
        metrics=metrics,
        settings=settings.calls,
        node=settings.node,
        alone=settings.alone,
        keyed=identity.pepper.digest,
        hub=hub,
        clock=clock,
    ) as calls:
        authenticator = Authenticator(
            storage,
            pepper=identity.pepper,
            settings=settings.auth,
            metrics=metrics,
            learner=calls.quotas,
            clock=clock,
        )
        services = Services(
            settings=settings,
            identity=identity,
            addresses=Addresses(
                host=settings.host, secure=settings.secure, public_url=settings.public_url
            ),
            storage=storage,
            authenticator=authenticator,
            requests=LiveRequests(storage, clock=clock, forget=authenticator.forget),
            registry=registry,
            calls=calls,
            metrics=metrics,
            certificates=certificates,
            events=hub,
            connector_watch=ConnectorWatch(
                hub, registry=registry, storage=storage, statistics=metrics.statistics
            ),
            clock=clock,
            ready=readiness,
        )
        await _serve(
            services, readiness, stop=stop, on_ready=on_ready, manager=manager or ServiceManager()
        )


async def _serve(
    services: Services,
    readiness: _Readiness,
    *,
    stop: asyncio.Event,
    on_ready: Callable[[Addresses], None],
    manager: ServiceManager,
) -> None:
    settings = services.settings
    with bind(settings.host, settings.port) as listener:
        address, port, *_ = listener.getsockname()
        server = HttpServer(build_app(services, pages=Console(services)), settings)
        async with _tunnel(services, address) as gateway, asyncio.TaskGroup() as tasks:
            services.addresses.bind(port=port, tunnel_port=gateway.port)
            api = tasks.create_task(server.serve(sockets=[listener]), name="api")
            keeper = AuditKeeper(services.storage, services.identity.key, clock=services.clock)
            housekeeping = tasks.create_task(_keep_house(services, keeper), name="housekeeping")
            signing = tasks.create_task(keeper.run(), name="audit-keeper")
            following = tasks.create_task(services.requests.follow(), name="revocations")
            tidying = tasks.create_task(keep_small(), name="memory")
            watching = tasks.create_task(services.connector_watch.run(), name="connector-watch")
            readiness.is_ready = True
            log.info("relay_ready", api=services.addresses.api_url, node=settings.node)
            on_ready(services.addresses)
            manager.ready()
            attending = tasks.create_task(
                manager.attend(_Vitality(services)), name="service-manager"
            )
            await stop.wait()
            readiness.is_ready = False
            manager.stopping()
            await _drain(services, server, gateway)
            await api
            await gateway.drain(_GATEWAY_SECONDS)
            housekeeping.cancel()
            following.cancel()
            watching.cancel()
            signing.cancel()
            tidying.cancel()
            attending.cancel()
            await _sign_the_rest(keeper)
    log.info("relay_stopped")


async def _drain(services: Services, server: HttpServer, gateway: "Gateway") -> None:
    """Let what runs end, refuse what comes, and have the agents look for another node."""
    settings = services.settings
    loop = asyncio.get_running_loop()
    until = loop.time() + settings.drain_timeout - _GATEWAY_SECONDS - _CLOSING_SECONDS
    log.info("relay_draining", calls=services.calls.running, connectors=len(services.registry))
    await asyncio.sleep(settings.drain_notice)
    services.calls.drain()
    services.events.close()  # their readers look for another node, too
    gateway.send_away()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            await services.calls.quiet()
    server.drain(until - loop.time())


@contextlib.asynccontextmanager
async def _tunnel(services: Services, address: str) -> AsyncIterator["Gateway"]:
    port = services.settings.tunnel_port
    async with contextlib.AsyncExitStack() as stack:
        try:
            gateway = await stack.enter_async_context(serve_tunnel(services, address, port))
        except OSError as error:
            raise listen_error(address, port, "--tunnel-port", error) from error
        yield gateway


async def _sign_the_rest(keeper: AuditKeeper) -> None:
    with contextlib.suppress(SQLAlchemyError, TimeoutError):  # the next node or start signs it
        async with asyncio.timeout(_SIGNING_SECONDS):
            await keeper.sign(all_now=True)


async def _keep_house(services: Services, keeper: AuditKeeper) -> None:
    """Delete what nobody can ask for any more."""
    while True:
        try:
            tokens = await Grants(services.storage).forget_tokens(
                expired_before=services.clock() - _TOKEN_RETENTION
            )
            calls = await services.calls.forget()
            await CustomRequests.forget(
                services.storage,
                before=services.clock() - REQUEST_RETENTION,
                max_kept_bytes=MAX_KEPT_BYTES,
            )
            await AuthorizationsOfAll(services.storage).forget(expired_before=services.clock())
            await Presence(services.storage).forget(
                before=services.clock() - (HISTORY_DAYS + 1) * DAY
            )
            audit = await keeper.cut(retention=services.settings.audit.retention)
            log.debug("old_records_deleted", tokens=tokens, calls=calls, audit=audit)
        except SQLAlchemyError:
            log.warning("store_unavailable", exc_info=True)
        await asyncio.sleep(_HOUSEKEEPING_INTERVAL)
