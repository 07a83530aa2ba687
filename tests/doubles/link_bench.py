"""Both ends of the link on loopback: a relay's gateway with a real store, and agents for it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvicorn
from fastapi import FastAPI
from sqlalchemy import insert

from cloud_connect.calls import Report
from cloud_connect.exchange import Exchange
from cloud_connect.handshake import AgentCredentials
from cloud_connect.join_token import JoinToken
from cloud_connect.session import Handler, Session
from cloud_connect.signing import SigningKey
from cloud_connect.tunnel import ResponseHead
from cloud_connect_agent.connection import Connection
from cloud_connect_agent.identity import Generation
from cloud_connect_agent.keyring import Keyring
from cloud_connect_agent.network import Network
from cloud_connect_agent.proxies import Proxies
from cloud_connect_agent.relay_address import RelayAddress
from cloud_connect_agent.reports import ReportBoard
from cloud_connect_agent.settings import TunnelSettings
from cloud_connect_agent.stopping import StopSignal
from cloud_connect_agent.suspension import suspended
from cloud_connect_agent.tls import client_context
from cloud_connect_relay.addresses import Addresses
from cloud_connect_relay.api import enrol, problems
from cloud_connect_relay.api.security import services as services_dependency
from cloud_connect_relay.gateway.certificates import KnownCertificates, certificate_files
from cloud_connect_relay.gateway.registry import LiveSession, Registry
from cloud_connect_relay.gateway.server import Gateway, GatewayTimes, serve_tunnel
from cloud_connect_relay.identity import Pepper, RelayIdentity, relay_id_of
from cloud_connect_relay.metrics import Metrics
from cloud_connect_relay.settings import RelaySettings
from cloud_connect_relay.storage import Storage
from cloud_connect_relay.storage.connectors import Connector
from cloud_connect_relay.storage.enrolments import Applicant, Enrolments
from cloud_connect_relay.storage.tables import subscriptions
from cloud_connect_relay.storage.tenant import Tenant
from doubles.relay_node import empty_store

TEST_TIMES = GatewayTimes(
    flags_interval=0.05, seen_interval=0.05, reconnect_window=0.05, drain_timeout=2.0
)
QUICK = TunnelSettings(
    connect_timeout=0.5,
    upgrade_timeout=0.5,
    handshake_timeout=0.5,
    backoff_base=0.05,
    backoff_cap=0.2,
    drain_timeout=1.0,
    round_trip_interval=0.05,
)


@dataclass(kw_only=True)
class Relay:
    """A relay without its API."""

    services: Any
    storage: Storage
    registry: Registry
    identity: RelayIdentity
    subscription_id: str
    gateway: Gateway | None = None

    @property
    def tunnel_url(self) -> str:
        assert self.gateway is not None
        return f"ws://127.0.0.1:{self.gateway.port}/tunnel"

    @property
    def tenant(self) -> Tenant:
        return self.storage.of(self.subscription_id)

    async def token(self, *, expires_in: float = 3600, **more: Any) -> JoinToken:
        _, token = await self.tenant.join_tokens.issue(
            relay_public_key=self.identity.public_key,
            actor="test",
            now=self.services.clock(),
            expires_in=expires_in,
            **more,
        )
        return token

    async def enrol(self, key: SigningKey, *, name: str = "pc") -> Connector:
        """Enrol a key as the API would."""
        applicant = Applicant(
            public_key=key.public_key, name=name, machine="", os="", version="", group=None
        )
        enrolled = await Enrolments(self.storage).redeem(
            await self.token(), applicant, now=self.services.clock()
        )
        return enrolled.connector

    async def connector(self, connector_id: str) -> Connector:
        found = await self.tenant.connectors.get(connector_id)
        assert found is not None
        return found

    async def session_of(self, connector_id: str) -> LiveSession:
        """Wait until the connector is connected."""
        async with asyncio.timeout(10):
            while (live := self.registry.get(connector_id)) is None:
                await self.registry.changed()
        return live

    async def gone(self, connector_id: str) -> None:
        """Wait until the connector is not connected."""
        async with asyncio.timeout(10):
            while self.registry.get(connector_id) is not None:
                await self.registry.changed()


@contextlib.asynccontextmanager
async def open_relay(folder: Path, **settings: Any) -> AsyncIterator[Relay]:
    """A relay's store and identity; nothing listens."""
    made = RelaySettings.model_validate({"data_dir": folder, **settings})
    key = SigningKey.generate()
    identity = RelayIdentity(
        relay_id=relay_id_of(key.public_key), key=key, pepper=Pepper(bytes(32))
    )
    database = folder / "relay.sqlite3"
    if not database.exists():
        await empty_store(database)
    async with Storage.open(f"sqlite+aiosqlite:///{database}") as storage:
        async with storage.write() as connection:
            await connection.execute(
                insert(subscriptions).values(id="sub_a", name="a", created_at=0.0)
            )
        registry = Registry()
        services = SimpleNamespace(
            settings=made,
            identity=identity,
            storage=storage,
            registry=registry,
            metrics=Metrics(),
            certificates=KnownCertificates.load(certificate_files(made)),
            addresses=Addresses(host="127.0.0.1"),
            clock=time.time,
        )
        yield Relay(
            services=services,
            storage=storage,
            registry=registry,
            identity=identity,
            subscription_id="sub_a",
        )


@contextlib.asynccontextmanager
async def serve_relay(
    folder: Path, *, port: int = 0, times: GatewayTimes = TEST_TIMES, **settings: Any
) -> AsyncIterator[Relay]:
    """A relay whose gateway listens."""
    async with (
        open_relay(folder, **settings) as relay,
        serve_tunnel(relay.services, "127.0.0.1", port, times=times) as relay.gateway,
    ):
        relay.services.addresses.bind(port=0, tunnel_port=relay.gateway.port)
        yield relay


@contextlib.asynccontextmanager
async def serve_enrolment(relay: Relay, **options: Any) -> AsyncIterator[str]:
    """The enrolment API on loopback; yields its address."""
    app = FastAPI()
    problems.install(app)
    app.include_router(enrol.router)
    app.dependency_overrides[services_dependency] = lambda: relay.services
    async with serve_app(app, **options) as url:
        yield url


@contextlib.asynccontextmanager
async def serve_app(app: Any, **options: Any) -> AsyncIterator[str]:
    """An ASGI application on loopback; yields its address."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="critical", lifespan="off", **options
    )
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server._serve())
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0.005)
        scheme = "https" if options else "http"
        yield f"{scheme}://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = True


@dataclass(kw_only=True)
class HealthNotes:
    """Notes what a connection tells of itself."""

    told: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    session: Session | None = None
    pings: int = 0
    skew: float | None = None
    seen: str | None = None
    change: asyncio.Event = field(default_factory=asyncio.Event)

    def _note(self, state: str, reason: str = "") -> None:
        self.told.append(state)
        if reason:
            self.reasons.append(reason)
        self.change.set()
        self.change = asyncio.Event()

    def connecting(self) -> None:
        self._note("connecting")

    def connected(self, session: Session) -> None:
        self.session = session
        self._note("connected")

    def offline(self, reason: str) -> None:
        self._note("offline", reason)

    def revoked(self, reason: str) -> None:
        self._note("revoked", reason)

    def intercepted(self, reason: str) -> None:
        self._note("intercepted", reason)

    def certificate(self, check: str) -> None:
        self.seen = check

    def round_trip(self, seconds: float) -> None:
        assert seconds >= 0
        self.pings += 1

    def clock_skew(self, seconds: float) -> None:
        self.skew = seconds

    def drain(self) -> None:
        self._note("draining")

    async def until(self, state: str, *, times: int = 1, within: float = 10) -> None:
        async with asyncio.timeout(within):
            while self.told.count(state) < times:
                await self.change.wait()


async def answer_at_once(exchange: Exchange) -> None:
    """The handler of an agent that has nothing to do."""
    await exchange.send_head(ResponseHead(status=200), end_stream=True)


@dataclass(kw_only=True)
class Agent:
    """An agent that runs."""

    connection: Connection
    connector_id: str
    key: SigningKey
    health: HealthNotes
    stop: StopSignal
    reports: ReportBoard
    generation: Generation
    delays: list[float]
    task: asyncio.Task[None]


@contextlib.asynccontextmanager
async def run_agent(
    relay: Relay,
    folder: Path,
    *,
    key: SigningKey | None = None,
    connector_id: str | None = None,
    handler: Handler = answer_at_once,
    settings: TunnelSettings = QUICK,
    url: str | None = None,
    relay_key: bytes | None = None,
    relay_id: str | None = None,
    ca_file: Path | None = None,
    proxies: Proxies | None = None,
    allow_intercepted: bool = False,
    api_url: str | None = None,
    uniform: Callable[[float, float], float] | None = None,
    sleeping: Callable[[], Awaitable[float]] = suspended,
    network: Network | None = None,
    generation: Generation | None = None,
    keyring: Keyring | None = None,
) -> AsyncIterator[Agent]:
    """Enrol unless told otherwise, connect, and stop when the block ends."""
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    generation = generation or Generation(folder / "generation")
    key = key or SigningKey.generate()
    if connector_id is None:
        connector_id = (await relay.enrol(key)).id
    if not (folder / "generation").exists():
        await generation.store(0)
    health, stop, reports = HealthNotes(), StopSignal(), ReportBoard(Report(machine="pc-1"))
    address = RelayAddress(
        tunnel_url=url or relay.tunnel_url,
        credentials=AgentCredentials(
            connector_id=connector_id,
            key=key,
            relay_id=relay_id or relay.identity.relay_id,
            relay_public_key=relay_key or relay.identity.public_key,
        ),
        tls=client_context(ca_file),
        proxies=proxies or Proxies(),
        allow_intercepted=allow_intercepted,
        api_url=api_url,
    )
    delays: list[float] = []

    def note(low: float, high: float) -> float:
        delays.append(high)
        return min(high, 0.02) if uniform is None else uniform(low, high)

    connection = Connection(
        handler,
        relay=address,
        generation=generation,
        settings=settings,
        health=health,
        reports=reports,
        keyring=keyring,
        stop=stop,
        uniform=note,
        sleeping=sleeping,
        network=network,
    )
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(connection.run())
        yield Agent(
            connection=connection,
            connector_id=connector_id,
            key=key,
            health=health,
            stop=stop,
            reports=reports,
            generation=generation,
            delays=delays,
            task=task,
        )
        stop.request()
        stop.request()


@contextlib.asynccontextmanager
async def serve_raw(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A TCP server that does as it is told; yields its port."""
    writers: set[asyncio.StreamWriter] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        with contextlib.suppress(OSError):
            await serve(reader, writer)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()
