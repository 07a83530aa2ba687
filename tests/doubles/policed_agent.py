"""The agent between a relay that asks for anything and a simulator that counts what came."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from cloud_connect.calls import Environment, Operation, Source
from cloud_connect.errors import StreamResetError, TunnelClosedError
from cloud_connect.session import Role, Session
from cloud_connect.tunnel import RequestHead
from cloud_connect_agent.dispatch import Dispatcher
from cloud_connect_agent.journal import Journal
from cloud_connect_agent.policy.approvals import Approvals
from cloud_connect_agent.policy.gate import PolicyGate
from cloud_connect_agent.policy.past import PastCalls
from cloud_connect_agent.policy_file import PolicyFile
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.client import ProcoreClient
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.files.parts import ProcoreFiles
from cloud_connect_agent.procore.project_binding import ProjectBinding
from cloud_connect_agent.settings import ProcoreSettings
from cloud_connect_agent.tasks import lasting_tasks
from doubles.agent_bench import Answered
from doubles.fake_procore import MemoryVault
from doubles.memory_link import link_pair
from doubles.simulator_process import COMPANY, Simulator

__all__ = ["SANDBOX", "PolicedAgent", "policed_agent"]

SANDBOX = Environment.DEVELOPER_SANDBOX


@dataclass
class PolicedAgent:
    """What a relay can ask, and the files of the PC's administrator.

    Attributes:
        seconds: What the policy's clock shows.
    """

    relay: Session
    policy_file: Path
    approvals_file: Path
    waiting_file: Path
    approvals: Approvals
    policy: PolicyFile
    past: PastCalls
    seconds: float = 0.0
    moment: datetime = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)  # a Wednesday
    _calls: int = 0

    def write_policy(self, text: str) -> None:
        """Put another policy in the file's place, and let the time pass until it is noticed."""
        draft = self.policy_file.with_suffix(".draft")
        draft.write_text(text)
        draft.chmod(0o600)
        draft.replace(self.policy_file)
        self.seconds += 2

    async def call(
        self,
        operation: Operation,
        params: Mapping[str, Any] | None = None,
        body: bytes | object = b"",
        *,
        company: int = COMPANY,
        project: int | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Answered:
        """Make one call of a data source that is bound to *company*."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        source = Source(company_id=company, environment=SANDBOX, project_id=project)
        self._calls += 1
        head = RequestHead(
            operation=operation,
            call_id=f"call-{self._calls}",
            deadline_ms=15_000,
            params={"source": source.model_dump(mode="json"), **(params or {})},
            headers=headers,
        )
        exchange = await self.relay.open(head, end_stream=not data)
        if data:
            with suppress(StreamResetError):  # answered before all of it came
                await exchange.send(data, end_stream=True)
        answer = await exchange.receive_head()
        content = b"".join([chunk async for chunk in exchange])
        return Answered(answer, content, exchange.trailers)

    async def raw(
        self, method: str, target: str, body: bytes | object = b"", **more: Any
    ) -> Answered:
        """Make one raw call."""
        return await self.call(
            Operation.PASSTHROUGH, {"method": method, "target": target}, body, **more
        )


@asynccontextmanager
async def policed_agent(
    folder: Path, simulator: Simulator, policy: str
) -> AsyncIterator[PolicedAgent]:
    """Run the agent's own parts, from the session to the client of Procore."""
    app = simulator.app
    vault = MemoryVault()
    facts = {key: app[key] for key in ("client_id", "client_secret")}
    await vault.put(f"procore-app/{SANDBOX.flag}", orjson.dumps(facts))
    endpoints = {key: app[key] for key in ("api_url", "login_url")}
    settings = ProcoreSettings.model_validate({"environments": {SANDBOX.flag: endpoints}})
    one, other = link_pair()
    relay = Session(one, role=Role.RELAY)
    made: list[PolicedAgent] = []

    def clock() -> float:
        return made[0].seconds

    file = folder / "policy.toml"
    file.write_text(policy)
    file.chmod(0o600)
    policies = PolicyFile(file, clock=clock, now=lambda: made[0].moment)
    approvals = Approvals(
        decided_file=folder / "approvals.json",
        waiting_file=folder / "waiting.json",
        clock=lambda: made[0].seconds if made else 0.0,
    )
    past = PastCalls(folder / "decisions.sqlite3")
    made.append(
        PolicedAgent(
            relay=relay,
            policy_file=file,
            approvals_file=folder / "approvals.json",
            waiting_file=folder / "waiting.json",
            approvals=approvals,
            policy=policies,
            past=past,
        )
    )
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(ProcoreClient.open(settings, vault))
        await client.authenticator.sign_in(SANDBOX)
        journal = await stack.enter_async_context(Journal.open(folder / "journal.sqlite3"))
        catalog = load_catalog()
        gate = PolicyGate(
            policies,
            approvals=approvals,
            projects=ProjectBinding(client),
            past=past,
            clock=clock,
        )
        files = await stack.enter_async_context(
            ProcoreFiles.open(
                client,
                catalog,
                spool_dir=folder / "spool",
                max_spool_bytes=lambda: 1024 * 1024,
                journal=journal,
            )
        )
        dispatcher = await stack.enter_async_context(
            Dispatcher.open(RecordExecutor(client, catalog), client, gate, journal, files=files)
        )
        agent = Session(other, role=Role.AGENT, handler=dispatcher)
        tasks = await stack.enter_async_context(lasting_tasks())
        running = [tasks.create_task(_run(session)) for session in (relay, agent)]
        try:
            yield made[0]
        finally:
            for task in running:
                task.cancel()


async def _run(session: Session) -> None:
    with suppress(TunnelClosedError):
        await session.run()
