"""Relay, agents and simulator as real processes that a test may kill, freeze and cut off.

One world serves many tests of a module; a module that shares one says so to its fixture and its
tests alike, since the proxies live in the test's event loop::

    pytestmark = pytest.mark.asyncio(loop_scope="module")

    @pytest_asyncio.fixture(scope="module", loop_scope="module")
    async def world(tmp_path_factory): ...
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from doubles.caller import Caller
from doubles.canaries import harvest_agent, harvest_relay, note
from doubles.chaos_proxy import ChaosProxy
from doubles.checker import check
from doubles.history import Execution, History, JournalLine, Record
from doubles.observing import POLL_INTERVAL, rows, until
from doubles.postgres import rows_of
from doubles.program import Program, running, running_relay, told
from doubles.world_agent import ENVIRONMENT, Agent, enrol
from doubles.world_relay import client_of

__all__ = ["ENVIRONMENT", "Agent", "World", "open_world", "rows", "until"]

IDLE_GAUGES: Final = (
    "cloud_connect_calls_running",
    "cloud_connect_calls_queued",
    "cloud_connect_queued_bytes",
    "cloud_connect_handshakes_pending",
)
ONLINE_WITHIN: Final = 60.0  # seconds: the machine may be busy with other tests


@dataclass(kw_only=True)
class World:
    """What runs, and how to reach it.

    Attributes:
        simulator: The ready line of the simulator.
        callers: Who called; their attempts are in the history.
        database_url: Where the relay keeps its state, if not in a SQLite file of its folder.
    """

    folder: Path
    relay: Program
    simulator_program: Program
    api: httpx.AsyncClient
    api_key: str
    agents: dict[str, Agent]
    seed: int
    callers: list[Caller] = field(default_factory=list)
    database_url: str | None = None
    _forgotten: float = 0.0

    @property
    def simulator(self) -> dict[str, Any]:
        """The ready line of the simulator."""
        return self.simulator_program.ready

    @property
    def agent(self) -> Agent:
        """The first agent."""
        return next(iter(self.agents.values()))

    @property
    def company(self) -> dict[str, Any]:
        """A company that the agents' credentials reach."""
        return next(one for one in self.simulator["companies"] if one.get("connected"))

    @property
    def project(self) -> dict[str, Any]:
        """A project of that company."""
        companies = self.simulator["projects"]
        return next(one for one in companies if one["company_id"] == self.company["id"])

    @property
    def data_dir(self) -> Path:
        """The relay's folder."""
        return self.folder / "relay"

    async def admin(self, method: str, path: str, **options: Any) -> Any:
        """Ask the simulator's admin origin."""
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            url = f"{self.simulator['admin_url']}{path}"
            answer = await client.request(method, url, **options)
            answer.raise_for_status()
            return answer.json() if answer.content else None

    async def behave(self, **switches: Any) -> None:
        """Change how the simulator acts, such as ``latency_ms=500``."""
        await self.admin("POST", "/state", json={"behaviour": switches})

    async def fault(self, action: str | Mapping[str, Any], **rule: Any) -> None:
        """Have the simulator fail as a rule says."""
        await self.admin("POST", "/faults", json={"action": action, **rule})

    async def ledger(self, **query: str) -> list[dict[str, Any]]:
        """What Procore executed."""
        found: list[dict[str, Any]] = (await self.admin("GET", "/ledger", params=query))["items"]
        return found

    async def caller(self, *agents: str, **details: Any) -> Caller:
        """Make a data source that runs on the agents named (the first, if none is)."""
        names = agents or (next(iter(self.agents)),)
        route = details or {"connectorId": [self.agents[name].connector_id for name in names]}
        made = await self.api.post(
            "/api/datasources",
            json={
                "title": "Procore",
                "type": "procore",
                "settings": {
                    "companyId": str(self.company["id"]),
                    "environment": ENVIRONMENT,
                },
                "useConnector": True,
                **route,
            },
        )
        assert made.status_code == 201, made.text
        caller = Caller(self.api, made.json()["id"], self.project["id"])
        self.callers.append(caller)
        return caller

    async def connector(self, agent: Agent) -> dict[str, Any]:
        """How the relay lists an agent."""
        answer = await self.api.get(f"/api/connectors/{agent.connector_id}")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def until_status(self, status: str, *agents: Agent, within: float) -> float:
        """Wait until the relay lists the agents (all, if none is named) so; return the seconds."""
        wanted = agents or tuple(self.agents.values())

        async def listed() -> bool:
            for agent in wanted:
                if status == "online" and not agent.program.alive:
                    raise AssertionError(f"agent {agent.name}: {agent.program.last_words()}")
            try:
                found = [await self.connector(agent) for agent in wanted]
            except httpx.HTTPError:
                return False
            return all(
                one["status"] == status and (status != "online" or one["procore"]) for one in found
            )

        return await until(listed, within=within, what=f"status {status}")

    async def gauges(self) -> dict[str, float]:
        """The relay's metrics by name, labels and all."""
        answer = await self.api.get("/metrics")
        answer.raise_for_status()
        note("metrics", answer.text)
        lines = (line.rsplit(" ", 1) for line in answer.text.splitlines() if line[:1] != "#")
        return {name: float(value) for name, value in lines}

    async def idle(self) -> bool:
        """Whether nothing is under way that could still change what they say of a run."""
        try:
            gauges = await self.gauges()
        except httpx.HTTPError:
            pass  # a relay that is down runs nothing
        else:
            if any(gauges[name] for name in IDLE_GAUGES):
                return False
        if (await self.admin("GET", "/counters"))["concurrent_api_requests"]:
            return False
        return not any(
            row["outcome"] is None
            for agent in self.agents.values()
            if agent.program.alive
            for row in agent.journal()
        )

    def records(self) -> list[Record]:
        """What the relay keeps about calls, read beside it."""
        statement = "SELECT * FROM calls"
        if self.database_url is not None:
            found = rows_of(self.database_url, statement)
        else:
            found = rows(self.data_dir / "relay.sqlite3", statement)
        return [Record.of(row) for row in found if row["started_at"] >= self._forgotten]

    async def history(self, *, within: float = 10.0) -> History:
        """What each party says of the run, once it has come to rest.

        Args:
            within: Seconds that records have to be written; what is not there by then is
                missing, and the checker says so.
        """
        try:
            async with asyncio.timeout(within):
                while not await self.idle() or check(found := await self._history()):
                    await asyncio.sleep(5 * POLL_INTERVAL)
        except TimeoutError:
            found = await self._history()
        return found

    async def _history(self) -> History:
        return History(
            attempts=tuple(one for caller in self.callers for one in caller.attempts),
            executions=tuple(Execution.of(entry) for entry in await self.ledger()),
            records=tuple(self.records()),
            deliveries=tuple(one for caller in self.callers for one in caller.deliveries),
            journal=tuple(
                JournalLine.of(row) for agent in self.agents.values() for row in agent.journal()
            ),
        )

    @property
    def store(self) -> tuple[str, ...]:
        """The option that names the relay's folder; its settings file names the store."""
        return ("--data-dir", str(self.data_dir))

    @asynccontextmanager
    async def node(
        self, name: str, *, environment: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[Program, httpx.AsyncClient]]:
        """Run another relay on the same store until the block ends."""
        program = Program(
            "cloud_connect_relay",
            *("serve", *self.store, "--json", "--port", "0", "--tunnel-port", "0"),
            *("--node", name),
            log=self.folder / f"relay-{name}.log",
            environment=environment,
        )
        async with running(program), client_of(program, self.api_key) as api:
            yield program, api

    async def forget(self) -> None:
        """Begin the history anew: what happened before is left out of it."""
        await self.admin("DELETE", "/ledger")
        for caller in self.callers:
            caller.attempts.clear()
            caller.deliveries.clear()
        self._forgotten = time.time()


@asynccontextmanager
async def open_world(
    folder: Path,
    *,
    agents: tuple[str, ...] = ("a",),
    groups: Mapping[str, str] | None = None,
    hosted: Collection[str] = (),
    faults: Mapping[str, str] | None = None,
    tunnel_proxies: bool = True,
    procore_proxies: bool = False,
    policy: str = "read-write",
    watched: bool = False,
    simulator_arguments: tuple[str, ...] = (),
    relay_settings: str = "",
    agent_settings: Mapping[str, str] | None = None,
    relay_environment: Mapping[str, str] | None = None,
    agent_environment: Mapping[str, str] | None = None,
    database_url: str | None = None,
    prepare: Callable[[Agent], None] | None = None,
    seed: int = 1,
) -> AsyncIterator[World]:
    """Start everything, enrol and sign in each agent, and wait until all are listed as online.

    Args:
        folder: Where their files go; it must exist.
        groups: The connector group of an agent, by its name.
        hosted: Agents that the relay's operator runs.
        faults: What goes wrong in an agent's first life, by its name.
        watched: Whether relay and agents can be asked for their tasks.
        relay_settings: TOML for the relay's settings file.
        database_url: A PostgreSQL database for the relay.
        prepare: Changes what an agent is before its first start.
        agent_settings: Variables such as ``CLOUD_CONNECT_TUNNEL__BACKOFF_CAP``.
    """
    print(f"world: seed {seed}")  # noqa: T201 - for a replay
    data_dir = folder / "relay"
    elsewhere = () if database_url is None else ("--database-url", database_url)
    made = await told("cloud_connect_relay", "init", "--data-dir", str(data_dir), *elsewhere)
    named = "" if database_url is None else f'database_url = "{database_url}"\n'
    (data_dir / "relay.toml").write_text(named + relay_settings)
    (data_dir / "relay.toml").chmod(0o600)
    async with AsyncExitStack() as stack:
        simulator = Program(
            "procore_simulator",
            *("--json", "--port", "0", "--login-port", "0", "--admin-port", "0"),
            *("--storage-port", "0", "--seed", str(seed), *simulator_arguments),
            log=folder / "simulator.log",
        )
        serving = running_relay(
            data_dir, log=folder / "relay.log", environment=relay_environment, watched=watched
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(stack.enter_async_context(running(simulator)))
            started = tasks.create_task(stack.enter_async_context(serving))
        relay = started.result()
        api = await stack.enter_async_context(client_of(relay, made["api_key"]))
        world = World(
            folder=folder,
            relay=relay,
            simulator_program=simulator,
            api=api,
            api_key=made["api_key"],
            agents={},
            seed=seed,
            database_url=database_url,
        )
        origin = httpx.URL(simulator.ready["api_url"])
        enrolling = {}
        async with asyncio.TaskGroup() as tasks:
            for number, name in enumerate(agents):
                tunnel = procore = None
                if tunnel_proxies:
                    tunnel = await stack.enter_async_context(
                        ChaosProxy.open(
                            "127.0.0.1", relay.ready["tunnel_port"], seed=seed * 1000 + number
                        )
                    )
                if procore_proxies:
                    procore = await stack.enter_async_context(
                        ChaosProxy.open(
                            origin.host, origin.port or 80, seed=seed * 1000 + 500 + number
                        )
                    )
                enrolling[name] = tasks.create_task(
                    enrol(
                        world,
                        name,
                        group=(groups or {}).get(name),
                        hosted=name in hosted,
                        policy=policy,
                        tunnel=tunnel,
                        procore=procore,
                        environment={**(agent_settings or {}), **(agent_environment or {})},
                    )
                )
        for name, task in enrolling.items():
            world.agents[name] = task.result()
            world.agents[name].program.watched = watched
            if prepare is not None:
                prepare(world.agents[name])
            if faults is not None and name in faults:
                world.agents[name].inject(faults[name])
            await stack.enter_async_context(running(world.agents[name].program))
        await world.until_status("online", within=ONLINE_WITHIN)
        try:
            yield world
        finally:
            harvest_relay(data_dir)
            async with asyncio.TaskGroup() as tasks:  # each takes a while to stop
                for agent in world.agents.values():
                    harvest_agent(agent.home)
                    tasks.create_task(agent.program.stop())
