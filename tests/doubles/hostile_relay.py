"""A relay in the wrong hands: it holds the right key, and does with the tunnel what it likes."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from cloud_connect.calls import Environment
from cloud_connect.errors import TunnelError
from cloud_connect.exchange import Exchange
from cloud_connect.handshake import RelayHandshake
from cloud_connect.handshake_messages import SUBPROTOCOL
from cloud_connect.session import Role, Session
from cloud_connect.signing import SigningKey, to_text
from cloud_connect.tunnel import Problem, RequestHead, ResponseHead
from cloud_connect_agent.config_file import change_settings
from cloud_connect_agent.identity import AgentKeys, Generation
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.policy import PolicyClass
from cloud_connect_agent.policy_file import starter
from cloud_connect_agent.procore.grants.accounts import DEFAULT_ACCOUNT, Account
from cloud_connect_agent.procore.tokens import (
    AppCredentials,
    StoredToken,
    app_secret_name,
    token_secret_name,
)
from cloud_connect_agent.vault import open_vault
from doubles.canaries import harvest_agent
from doubles.program import Program, running
from doubles.world_agent import Agent

__all__ = ["Answer", "HostileRelay", "Siege", "open_siege"]

ENVIRONMENT: Final = "developer_sandbox"
CONNECTOR_ID: Final = "con_besieged"
PATIENCE: Final = 30.0  # seconds: the machine may be busy with other tests


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the agent answered to one call; ``status`` is 0 if it broke the stream off."""

    status: int
    body: bytes = b""
    problem: Problem | None = None
    head: ResponseHead | None = None

    @property
    def refused(self) -> bool:
        """Whether the agent says that it did not do it."""
        return self.status == 0 or self.status >= 400


class HostileRelay:
    """Takes agents' links with the key that they trust.

    Attributes:
        replies: What it answers to the agents' own reports, one after another, before ``{}``.
        generation: The last that it gave out.
    """

    def __init__(self) -> None:
        self.key: Final = SigningKey.generate()
        self.relay_id: Final = "rel_hostile"
        self.agent_key: Final = SigningKey.generate()
        self.port = 0
        self.generation = 0
        self.replies: list[bytes] = []
        self._links: asyncio.Queue[ServerConnection] = asyncio.Queue()

    @classmethod
    @asynccontextmanager
    async def open(cls, host: str = "localhost") -> AsyncIterator["HostileRelay"]:
        """Listen on loopback."""
        relay = cls()
        async with serve(
            relay._accept,
            "127.0.0.1",
            0,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            close_timeout=0.2,
        ) as server:
            relay.port = next(iter(server.sockets)).getsockname()[1]
            relay.url = f"ws://{host}:{relay.port}/tunnel"
            yield relay

    url = ""

    async def _accept(self, link: ServerConnection) -> None:
        handshake = RelayHandshake(relay_id=self.relay_id, key=self.key)
        await link.send(handshake.challenge())
        hello = handshake.receive_hello(await link.recv())
        handshake.verify(self.agent_key.public_key)
        self.generation = max(self.generation, hello.generation) + 1
        welcome = handshake.welcome(
            generation=self.generation, certificate="unverified", now=time.time()
        )
        await link.send(welcome)
        handshake.receive_confirm(await link.recv())
        self._links.put_nowait(link)
        await link.wait_closed()

    async def link(self) -> ServerConnection:
        """Wait for the next agent that has proven itself; a link that ended meanwhile is none."""
        async with asyncio.timeout(PATIENCE):
            while True:
                link = await self._links.get()
                if link.close_code is None:
                    return link

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Take the next link and speak the tunnel's protocol over it until the block ends."""
        link = await self.link()
        session = Session(link, role=Role.RELAY, handler=self._answer)

        async def run() -> None:
            with contextlib.suppress(TunnelError):
                await session.run()

        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(run())
            try:
                yield session
            finally:
                task.cancel()
                await link.close()

    async def _answer(self, exchange: Exchange) -> None:
        async for _ in exchange:
            pass
        await exchange.send_head(ResponseHead(status=200))
        await exchange.send(self.replies.pop(0) if self.replies else b"{}", end_stream=True)


async def call(
    session: Session,
    operation: str,
    params: Mapping[str, Any],
    body: bytes = b"",
    *,
    call_id: str,
    headers: tuple[tuple[str, str], ...] = (),
    deadline_ms: int = 10_000,
) -> Answer:
    """Send one call and read all of its answer."""
    head = RequestHead(
        operation=operation,
        call_id=call_id,
        deadline_ms=deadline_ms,
        params=dict(params),
        headers=headers,
    )
    try:
        exchange = await session.open(head, end_stream=not body)
        if body:
            await exchange.send(body, end_stream=True)
        answered = await exchange.receive_head()
        content = b"".join([chunk async for chunk in exchange])
    except TunnelError:
        return Answer(status=0)
    trailers = exchange.trailers
    problem = answered.problem or (trailers.problem if trailers else None)
    return Answer(status=answered.status, body=content, problem=problem, head=answered)


@dataclass(kw_only=True)
class Siege:
    """A real agent whose relay is hostile, and the simulator as its Procore.

    Attributes:
        calls: How many calls were sent; their ids count on.
    """

    relay: HostileRelay
    agent: Agent
    simulator: Program
    calls: int = 0
    answers: list[Answer] = field(default_factory=list)

    @property
    def company_id(self) -> int:
        """A company that the agent's credentials reach."""
        found: int = next(one for one in self.simulator.ready["companies"] if one.get("connected"))[
            "id"
        ]
        return found

    @property
    def project_id(self) -> int:
        """A project of it."""
        projects = self.simulator.ready["projects"]
        found: int = next(one for one in projects if one["company_id"] == self.company_id)["id"]
        return found

    @property
    def source(self) -> dict[str, Any]:
        """A data source's binding, as an honest relay would name it."""
        return {"company_id": self.company_id, "environment": ENVIRONMENT}

    async def call(
        self,
        session: Session,
        operation: str,
        params: Mapping[str, Any] | None = None,
        body: bytes = b"",
        *,
        call_id: str | None = None,
        **more: Any,
    ) -> Answer:
        """Send a call with the true source unless *params* name another."""
        self.calls += 1
        answer = await call(
            session,
            operation,
            {"source": self.source, **(params or {})},
            body,
            call_id=call_id or f"call_{self.calls:06}",
            **more,
        )
        self.answers.append(answer)
        return answer


@asynccontextmanager
async def open_siege(
    folder: Path,
    *,
    policy: PolicyClass = PolicyClass.READ_ONLY,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Siege]:
    """Start simulator, hostile relay and an agent that is enrolled at it; all signed in."""
    async with AsyncExitStack() as stack:
        simulator = Program(
            "procore_simulator",
            *("--json", "--port", "0", "--login-port", "0", "--admin-port", "0"),
            *("--storage-port", "0", "--seed", "1"),
            log=folder / "simulator.log",
        )
        await stack.enter_async_context(running(simulator))
        relay = await stack.enter_async_context(HostileRelay.open())
        home = folder / "agent"
        await _enrol(home, relay, policy, simulator.ready)
        agent = Agent(
            name="besieged",
            home=home,
            connector_id=CONNECTOR_ID,
            program=Program(
                "cloud_connect_agent",
                *("run", "--home", str(home), "--debug"),
                log=folder / "agent.log",
                says_ready=False,
                environment={
                    "CLOUD_CONNECT_TUNNEL__BACKOFF_BASE": "0.05",
                    "CLOUD_CONNECT_TUNNEL__BACKOFF_CAP": "0.2",
                    **(environment or {}),
                },
            ),
        )
        await stack.enter_async_context(running(agent.program))
        stack.callback(harvest_agent, home)
        yield Siege(relay=relay, agent=agent, simulator=simulator)


async def _enrol(
    home: Path, relay: HostileRelay, policy: PolicyClass, simulator: Mapping[str, Any]
) -> None:
    """Leave behind what enrolling there and signing in to the simulator would have."""
    paths = AgentPaths.of(home)
    paths.create()
    app = AppCredentials.model_validate(simulator["environments"][ENVIRONMENT])
    account = Account(environment=Environment(ENVIRONMENT), name=DEFAULT_ACCOUNT)
    secrets = {"client_id": app.client_id, "client_secret": app.client_secret.get_secret_value()}
    grant = StoredToken(client_id=app.client_id, app_mark=app.mark)
    async with open_vault(paths) as vault:
        await AgentKeys(vault).adopt(relay.agent_key)
        await vault.put(app_secret_name(account), json.dumps(secrets).encode())
        await vault.put(token_secret_name(account), grant.dump())
    section = ("procore", "environments", account.environment.flag)
    await Generation(paths.generation_file).store(0)
    change_settings(
        paths,
        {
            ("relay", "url"): f"http://localhost:{relay.port}",
            ("relay", "tunnel_url"): relay.url,
            ("relay", "connector_id"): CONNECTOR_ID,
            ("relay", "key_id"): relay.agent_key.key_id,
            ("relay", "relay_id"): relay.relay_id,
            ("relay", "relay_public_key"): to_text(relay.key.public_key),
            (*section, "api_url"): simulator["api_url"],
            (*section, "login_url"): simulator["login_url"],
        },
    )
    paths.policy_file.write_text(starter(policy))
    paths.policy_file.chmod(0o600)
