"""A relay's calls with its real API and console on a socket, and agents on sessions in memory."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from cloud_connect.calls import Report
from cloud_connect.errors import TunnelError
from cloud_connect.session import Role, Session, SessionSettings
from cloud_connect_relay.addresses import Addresses
from cloud_connect_relay.api.factory import build_app
from cloud_connect_relay.authentication import Authenticator
from cloud_connect_relay.calls.service import CallService
from cloud_connect_relay.console import Console
from cloud_connect_relay.events.connectors import ConnectorWatch
from cloud_connect_relay.events.hub import EventHub
from cloud_connect_relay.gateway.certificates import KnownCertificates
from cloud_connect_relay.gateway.registry import LiveSession, Registry
from cloud_connect_relay.http_server import HttpServer, bind
from cloud_connect_relay.live_requests import LiveRequests
from cloud_connect_relay.metrics import Metrics
from cloud_connect_relay.services import Services
from cloud_connect_relay.settings import RelaySettings
from cloud_connect_relay.storage.calls import CallRecord
from doubles.memory_link import link_pair
from doubles.relay_node import Founded, founded
from doubles.scripted_agent import ScriptedAgent

__all__ = ["CallRelay", "Connected", "call_relay"]

COMPANY = "562949953443837"  # above 32 bits, as in Procore's newer zones


@dataclass
class Connected:
    """One live agent; leaving it is what its network would do."""

    live: LiveSession
    agent: ScriptedAgent
    over: asyncio.Event
    _cut: asyncio.Event

    async def lose(self) -> None:
        """Lose the connection without a word."""
        self._cut.set()
        await self.over.wait()


class Clock:
    """UNIX time that a test may set forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class CallRelay:
    """The relay under test."""

    store: Founded
    services: Services
    registry: Registry
    api: httpx.AsyncClient
    tasks: asyncio.TaskGroup
    clock: Clock
    connected: list[Connected] = field(default_factory=list)

    @property
    def calls(self) -> CallService:
        return self.services.calls

    async def enrol(self, **columns: Any) -> str:
        """Enter a connector that is not connected."""
        return await self.store.connector(**columns)

    async def connect(
        self,
        agent: ScriptedAgent,
        connector_id: str | None = None,
        *,
        settings: SessionSettings | None = None,
        report: Report | None = None,
        **columns: Any,
    ) -> Connected:
        """Connect an agent, enrolled before or by this."""
        if connector_id is None:
            connector_id = await self.enrol(**columns)
        relay_link, agent_link = link_pair()
        live = LiveSession(
            connector_id=connector_id,
            subscription_id=columns.get("subscription_id", self.store.subscription_id),
            name=columns.get("name", "pc"),
            group=columns.get("group"),
            hosted=columns.get("hosted", False),
            session=Session(relay_link, role=Role.RELAY, settings=settings),
            link=relay_link,
            connected_since=self.clock(),
            report=report or Report(),
        )
        far = Session(agent_link, role=Role.AGENT, handler=agent, settings=settings)
        connected = Connected(live, agent, asyncio.Event(), asyncio.Event())

        async def serve() -> None:
            async with asyncio.TaskGroup() as both:
                ends = [both.create_task(_run(live.session)), both.create_task(_run(far))]
                await connected._cut.wait()
                await relay_link.close()
                for end in ends:
                    end.cancel()
            self.registry.remove(live)
            connected.over.set()

        self.tasks.create_task(serve())
        self.registry.add(live)
        self.connected.append(connected)
        return connected

    async def datasource(self, connector_id: str | list[str] | None = None, **members: Any) -> str:
        """Save a complete data source and return its path."""
        answer = await self.api.post(
            "/api/datasources",
            json={
                "title": "Procore",
                "settings": {"companyId": COMPANY, "environment": "developer_sandbox"},
                "useConnector": True,
                "connectorId": connector_id or "",
                **members,
            },
        )
        assert answer.status_code == 201, answer.text
        return f"/api/datasources/{answer.json()['id']}"

    async def ready(self, agent: ScriptedAgent | None = None) -> tuple[ScriptedAgent, str]:
        """Connect one agent and return it with the path of a data source of it."""
        agent = agent or ScriptedAgent()
        connected = await self.connect(agent)
        return agent, await self.datasource(connected.live.connector_id)

    async def record(self, call_id: str) -> CallRecord:
        """Return the stored record of a call, once it is written."""
        await self.calls._ledger.flush()
        found = await self.store.storage.of(self.store.subscription_id).calls.find(call_id)
        assert found is not None
        return found

    async def quiet(self) -> None:
        """Wait until no call runs any more."""
        async with asyncio.timeout(10):
            while self.calls.running:
                await asyncio.sleep(0.005)


async def _run(session: Session) -> None:
    with contextlib.suppress(TunnelError):
        await session.run()


@contextlib.asynccontextmanager
async def call_relay(folder: Path, **calls: Any) -> AsyncIterator[CallRelay]:
    """Run a relay's API; *calls* are its settings for calls."""
    settings = RelaySettings.model_validate(
        {"data_dir": folder, "auth": {"cache_timeout": 0}, "calls": calls}
    )
    metrics, registry, clock, hub = Metrics(), Registry(), Clock(), EventHub()
    async with (
        founded(folder) as store,
        asyncio.TaskGroup() as tasks,
        CallService.open(
            storage=store.storage,
            registry=registry,
            metrics=metrics,
            settings=settings.calls,
            keyed=store.identity.pepper.digest,
            hub=hub,
            clock=clock,
        ) as service,
    ):
        services = Services(
            settings=settings,
            identity=store.identity,
            addresses=Addresses(host="127.0.0.1"),
            storage=store.storage,
            authenticator=Authenticator(
                store.storage,
                pepper=store.identity.pepper,
                settings=settings.auth,
                metrics=metrics,
                learner=service.quotas,
            ),
            requests=LiveRequests(store.storage, clock=clock, forget=lambda: None),
            registry=registry,
            calls=service,
            metrics=metrics,
            certificates=KnownCertificates(),
            events=hub,
            connector_watch=ConnectorWatch(
                hub,
                registry=registry,
                storage=store.storage,
                statistics=metrics.statistics,
            ),
            clock=clock,
            ready=lambda: True,
        )
        with bind("127.0.0.1", 0) as listener:
            services.addresses.bind(port=listener.getsockname()[1], tunnel_port=0)
            server = HttpServer(build_app(services, pages=Console(services)), settings)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            async with httpx.AsyncClient(
                base_url=services.addresses.api_url,
                headers={"Authorization": f"Bearer {store.api_key}"},
                timeout=30,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=200),
                trust_env=False,
            ) as api:
                relay = CallRelay(store, services, registry, api, tasks, clock)
                try:
                    yield relay
                finally:
                    hub.close()
                    server.drain(1)
                    await serving
                    for connected in relay.connected:
                        await connected.lose()
