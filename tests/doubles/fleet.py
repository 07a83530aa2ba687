"""Many lean agents on one relay: the relay is a process, the agents are sessions of the test's."""

import asyncio
import contextlib
import random
import resource
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

from cloud_connect.errors import TunnelError
from cloud_connect.handshake_messages import HandshakeError
from cloud_connect.link import LINK_GONE
from cloud_connect.session import Role, Session
from cloud_connect.signing import SigningKey
from cloud_connect_agent.dialling import certificate_hash
from cloud_connect_relay.ids import new_id
from cloud_connect_relay.storage.tables import connectors
from doubles.certificates import Authority
from doubles.program import Program, running_relay
from doubles.raw_agent import SUBPROTOCOLS, agent_side, greet
from doubles.relay_node import NOW, Founded, founded
from doubles.scripted_agent import ScriptedAgent

__all__ = ["Fleet", "Member", "fleet"]

AT_ONCE: Final = 16  # handshakes: the relay lets 20 of one address wait
SOURCE: Final = {"companyId": "562949953443837", "environment": "developer_sandbox"}


@dataclass(kw_only=True, eq=False)
class Member:
    """One agent; ``session`` is the live one, if it has one.

    Attributes:
        connects: Handshakes that succeeded.
        refused: Those that the relay told to come back later.
        last_error: What ended the session before.
    """

    connector_id: str
    handler: ScriptedAgent
    generation: int = 0
    session: Session | None = None
    online: asyncio.Event = field(default_factory=asyncio.Event)
    connects: int = 0
    refused: int = 0
    last_error: str = ""


@dataclass(kw_only=True)
class Fleet:
    """A relay that runs, and the agents that dial it.

    Attributes:
        admitted_at: When the relay began handshakes, on the event loop's clock.
        connected_at: When they succeeded.
    """

    relay: Program
    store: Founded
    key: SigningKey
    tasks: asyncio.TaskGroup
    api: httpx.AsyncClient
    trust: ssl.SSLContext | None
    members: list[Member] = field(default_factory=list)
    admitted_at: list[float] = field(default_factory=list)
    connected_at: list[float] = field(default_factory=list)
    dialling: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    @property
    def online(self) -> int:
        return sum(member.online.is_set() for member in self.members)

    async def gauges(self) -> dict[str, float]:
        """The relay's metrics by name, labels and all."""
        answer = await self.api.get("/metrics")
        answer.raise_for_status()
        lines = (line.rsplit(" ", 1) for line in answer.text.splitlines() if line[:1] != "#")
        return {name: float(value) for name, value in lines}

    async def enlist(
        self, count: int, *, handler: ScriptedAgent | None = None, **columns: Any
    ) -> list[Member]:
        """Enter so many connectors, which dial from now on for as long as the test runs."""
        rows = [
            {
                "id": new_id("con"),
                "subscription_id": self.store.subscription_id,
                "name": f"pc-{number}",
                "machine": "PC",
                "os": "Linux",
                "version": "0.1.0",
                "group": None,
                "public_key": self.key.public_key,
                "key_id": self.key.key_id,
                "generation": 0,
                "enrolled_at": NOW,
                "report": None,
                **columns,
            }
            for number in range(count)
        ]
        async with self.store.storage.write() as connection:
            await connection.execute(connectors.insert(), rows)
        made = [
            Member(connector_id=str(row["id"]), handler=handler or ScriptedAgent()) for row in rows
        ]
        self.members += made
        for member in made:
            self.tasks.create_task(self._stay(member))
        return made

    async def until_online(self, *, within: float) -> float:
        """Wait until all are connected; return the seconds that it took."""
        began = asyncio.get_running_loop().time()
        for member in self.members:
            try:
                async with asyncio.timeout_at(began + within):
                    await member.online.wait()
            except TimeoutError:
                text = f"{self.online} of {len(self.members)} are online: {member.last_error}"
                raise AssertionError(text) from None
        return asyncio.get_running_loop().time() - began

    async def datasource(self, member: Member, **options: Any) -> str:
        """Save a data source that runs on one agent; return its path."""
        made = await self.api.post(
            "/api/datasources",
            json={
                "title": "Procore",
                "settings": SOURCE,
                "useConnector": True,
                "connectorId": member.connector_id,
            },
            **options,
        )
        assert made.status_code == 201, made.text
        return f"/api/datasources/{made.json()['id']}"

    async def _stay(self, member: Member) -> None:
        while True:
            pause = 1.0
            try:
                await self._serve(member)
            except InvalidStatus as refusal:
                member.refused += 1
                pause = float(refusal.response.headers.get("Retry-After", "1"))
                pause += random.random()  # as the real agent does
            except (
                TunnelError, HandshakeError, InvalidHandshake, TimeoutError, *LINK_GONE
            ) as error:  # fmt: skip
                member.last_error = repr(error)
            finally:
                went, member.session = member.session, None
                member.online.clear()
            if went is not None and went.go_away is not None:
                pause = went.go_away.reconnect_window_ms / 1000  # as the real agent spreads it
                pause *= random.random()
            await asyncio.sleep(pause)

    async def _serve(self, member: Member) -> None:
        async with contextlib.AsyncExitStack() as stack:
            async with self.dialling:
                socket = await stack.enter_async_context(
                    connect(
                        self.relay.ready["tunnel_url"],
                        subprotocols=SUBPROTOCOLS,
                        compression=None,
                        proxy=None,
                        ping_interval=None,
                        open_timeout=20,
                        close_timeout=1,
                        max_queue=4,
                        ssl=self.trust,
                    )
                )
                self.admitted_at.append(asyncio.get_running_loop().time())
                agent = agent_side(
                    self.store,
                    member.connector_id,
                    self.key,
                    generation=member.generation,
                    certificate_hash=certificate_hash(socket),
                )
                async with asyncio.timeout(20):
                    generation = await greet(socket, agent)
                    await socket.send(agent.confirm())
                    member.generation = generation
            member.connects += 1
            self.connected_at.append(asyncio.get_running_loop().time())
            member.session = Session(socket, role=Role.AGENT, handler=member.handler)
            member.online.set()
            await member.session.run()


@asynccontextmanager
async def fleet(
    folder: Path,
    *,
    tls: bool = False,
    settings: str = "",
    arguments: Sequence[str] = (),
) -> AsyncIterator[Fleet]:
    """Run a relay of its own for as many agents as a test enlists."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # children inherit it
    data_dir = folder / "relay"
    more: tuple[str, ...] = tuple(arguments)
    trust = None
    if tls:
        authority = Authority.make()
        certificate, key = authority.issue(folder, "localhost")
        more += ("--tls-cert", str(certificate), "--tls-key", str(key))
        trust = ssl.create_default_context(cafile=authority.trusted(folder))
    try:
        async with founded(data_dir) as store:
            (data_dir / "relay.toml").write_text(settings)
            (data_dir / "relay.toml").chmod(0o600)
            async with (
                running_relay(data_dir, *more, log=folder / "relay.log") as relay,
                httpx.AsyncClient(
                    base_url=relay.ready["api_url"],
                    headers={"Authorization": f"Bearer {store.api_key}"},
                    timeout=60,
                    verify=trust or True,
                    limits=httpx.Limits(max_connections=None, max_keepalive_connections=200),
                    trust_env=False,
                ) as api,
                asyncio.TaskGroup() as tasks,
            ):
                made = Fleet(
                    relay=relay,
                    store=store,
                    key=SigningKey.generate(),
                    tasks=tasks,
                    api=api,
                    trust=trust,
                )
                try:
                    yield made
                finally:
                    for task in tuple(tasks._tasks):
                        task.cancel()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
