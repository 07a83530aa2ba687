"""A dispatcher at the end of a real session in memory, and what a relay sees of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from cloud_connect.calls import Operation, RecordParams, Source
from cloud_connect.errors import TunnelClosedError
from cloud_connect.exchange import Exchange
from cloud_connect.query import Query
from cloud_connect.session import Role, Session
from cloud_connect.tunnel import Problem, RequestHead, ResetCode, ResponseHead, Trailers
from cloud_connect_agent.dispatch import Dispatcher
from cloud_connect_agent.journal import Journal
from cloud_connect_agent.policy import Access, Ceiling, Decision, Verb
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.client import ApiRequest, ProcoreClient
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.files.forms import FormFile
from cloud_connect_agent.procore.files.parts import ProcoreFiles
from cloud_connect_agent.procore.rowstream import FixedRows, RowStream
from cloud_connect_agent.procore.transport import Timeouts
from cloud_connect_agent.strong_calls import StrongCalls
from doubles.fake_procore import SANDBOX, SOURCE, FakeProcore, MemoryVault
from doubles.gates import gate_of
from doubles.memory_link import link_pair

PARAMS = {"source": SOURCE.model_dump(mode="json")}


class Allowing:
    """A policy that refuses the verbs it is told to."""

    def __init__(self) -> None:
        self.refused: set[Verb] = set()
        self.asked: list[Access] = []
        self.ceiling: Ceiling | None = None

    def decide(self, access: Access) -> Decision:
        self.asked.append(access)
        allowed = access.verb not in self.refused
        return Decision(
            allowed=allowed, rule="rule-1", reason="Because the test says so.", ceiling=self.ceiling
        )

    def summary(self) -> dict[str, object]:
        return {}


class Executor:
    """Sends the simplest request for each operation; tests put failures in its way."""

    def __init__(self, client: ProcoreClient) -> None:
        self.client = client
        self.failure: Exception | None = None
        self.writes = 1
        self.batches: list[list[dict[str, object]]] = [[{"id": 1}, {"id": 2}]]
        self.broken_off: Exception | None = None
        self.ceiling: Ceiling | None = None
        self.seed: str | None = None
        self.last_status: object = "created"
        self.upserted: set[str] = set()

    @property
    def resources(self) -> Sequence[str]:
        return ["rfis", "vendors"]

    def accesses(
        self,
        operation: Operation,
        params: RecordParams,
        record: Mapping[str, object] | None = None,
    ) -> Sequence[Access]:
        del record
        verb = Verb.READ if operation in {Operation.LIST, Operation.GET} else None
        return [self._access(verb or Verb(operation.value.partition(".")[2]), params.source)]

    def accesses_of_query(self, source: Source, query: Query) -> Sequence[Access]:
        verb = Verb.READ if query.action.value == "select" else Verb.CREATE
        return [self._access(verb, source)]

    def _access(self, verb: Verb, source: Source) -> Access:
        return Access(verb=verb, environment=source.environment, company_id=source.company_id)

    def upserts(self, resource: str) -> bool:
        return resource in self.upserted

    async def list(self, params: RecordParams, deadline: float) -> RowStream:
        await self._ask("GET", params.source, deadline)
        return RowStream(Batches(self.batches, self.broken_off))

    async def get(self, params: RecordParams, deadline: float) -> dict[str, object]:
        return await self._ask("GET", params.source, deadline)

    async def create(
        self, params: RecordParams, record: Mapping[str, object], deadline: float
    ) -> dict[str, object]:
        return await self._ask("POST", params.source, deadline, record)

    def accesses_of_records(
        self, params: RecordParams, records: Sequence[Mapping[str, object]]
    ) -> Sequence[Access]:
        del records
        return [self._access(Verb.CREATE, params.source)]

    def accesses_of_dry_run(
        self,
        operation: Operation,
        params: RecordParams,
        records: Sequence[Mapping[str, object]],
    ) -> Sequence[Access]:
        del records
        return [self._access(Verb.READ, params.source), *self.accesses(operation, params)]

    async def create_many(
        self,
        params: RecordParams,
        records: Sequence[Mapping[str, object]],
        deadline: float,
        *,
        ceiling: Ceiling | None,
    ) -> RowStream:
        self.ceiling = ceiling
        await self._ask("POST", params.source, deadline)
        rows = [_result(place) for place in range(len(records))]
        rows[-1]["status"] = self.last_status
        return RowStream(FixedRows(rows), unclear=self.last_status == "unknown")

    async def dry_run(
        self,
        operation: Operation,
        params: RecordParams,
        records: Sequence[Mapping[str, object]],
        deadline: float,
        *,
        ceiling: Ceiling | None,
    ) -> RowStream:
        self.ceiling = ceiling
        await self._ask("GET", params.source, deadline)
        told: dict[str, object] = {"would": operation.value, "records": len(records)}
        return RowStream(FixedRows([told]), message="Nothing was written.")

    async def update(
        self, params: RecordParams, record: Mapping[str, object], deadline: float
    ) -> dict[str, object]:
        return await self._ask("PATCH", params.source, deadline, record)

    async def attach(
        self, params: RecordParams, file: FormFile, deadline: float
    ) -> dict[str, object]:
        real = RecordExecutor(self.client, load_catalog())
        return await real.attach(params, file, deadline)

    async def delete(self, params: RecordParams, deadline: float) -> dict[str, object]:
        return await self._ask("DELETE", params.source, deadline)

    async def query(
        self,
        source: Source,
        query: Query,
        deadline: float,
        *,
        interactive: bool = True,
        ceiling: Ceiling | None = None,
        seed: str | None = None,
    ) -> RowStream:
        del interactive
        self.ceiling, self.seed = ceiling, seed
        if query.dry_run:
            return RowStream(FixedRows([{"id": 1}]), message="1 record would be created.")
        if query.action.value == "select":
            return RowStream(Batches(self.batches, self.broken_off))
        return RowStream(FixedRows([await self._ask("POST", source, deadline)]))

    async def tree(
        self, source: Source, deadline: float, *, refresh: bool = False
    ) -> Sequence[dict[str, object]]:
        del source, deadline
        return [{"name": "fresh" if refresh else "rfis"}]

    async def drift(
        self, source: Source, deadline: float, *, refresh: bool = False
    ) -> dict[str, object]:
        del source, deadline
        return {"version": 2 if refresh else 1, "items": []}

    async def _ask(
        self, method: str, source: Source, deadline: float, record: Any = None
    ) -> dict[str, object]:
        if self.failure is not None:
            raise self.failure
        answer = None
        for _ in range(1 if method == "GET" else self.writes):
            answer = await self.client.request(
                ApiRequest(method=method, path="/rest/v1.0/rfis", json=record),
                source=source,
                deadline=deadline,
            )
        return answer.json if answer is not None and answer.json else {}


def _result(place: int) -> dict[str, object]:
    return {"index": place, "status": "created"}


class Batches:
    """Batches as an executor reads them, which may break off."""

    total_items: int | None = None
    paging: str | None = "next"

    def __init__(self, batches: list[list[dict[str, object]]], failure: Exception | None) -> None:
        self._batches = list(batches)
        self._failure = failure
        self.closed = False

    async def next_batch(self) -> list[dict[str, object]] | None:
        if self._batches:
            return self._batches.pop(0)
        if self._failure is not None:
            raise self._failure
        self.total_items = 2
        return None

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class Answered:
    """A whole answer."""

    head: ResponseHead
    body: bytes
    trailers: Trailers | None

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def problem(self) -> Any:
        return self.head.problem

    @property
    def failure(self) -> Problem:
        """The problem that it tells, before its body or after it."""
        found = self.trailers.problem if self.trailers else self.head.problem
        assert found is not None
        return found


@dataclass
class Bench:
    """An agent's dispatcher and the relay's end of the session."""

    procore: FakeProcore
    client: ProcoreClient
    executor: Executor
    policy: Allowing
    journal: Journal
    dispatcher: Dispatcher
    relay: Session
    calls: int = 0
    paused: bool = False
    max_spool_bytes: int = 64 * 1024 * 1024
    extra: dict[str, Any] = field(default_factory=dict)

    async def start(
        self,
        operation: str,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        *,
        call_id: str | None = None,
        deadline_ms: int = 10_000,
        headers: tuple[tuple[str, str], ...] = (),
        end: bool = True,
    ) -> Exchange:
        self.calls += 1
        head = RequestHead(
            operation=operation,
            call_id=call_id or f"call-{self.calls}",
            deadline_ms=deadline_ms,
            params={**PARAMS, **(params or {})},
            headers=headers,
        )
        exchange = await self.relay.open(head, end_stream=end and not body)
        if body:
            await exchange.send(body, end_stream=end)
        return exchange

    async def finish(self, exchange: Exchange) -> Answered:
        head = await exchange.receive_head()
        body = b"".join([chunk async for chunk in exchange])
        return Answered(head, body, exchange.trailers)

    async def call(
        self,
        operation: str,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        **more: Any,
    ) -> Answered:
        return await self.finish(await self.start(operation, params, body, **more))

    async def raw(
        self, method: str, target: str, body: bytes | None = None, **more: Any
    ) -> Answered:
        params = {"method": method, "target": target}
        return await self.call(Operation.PASSTHROUGH, params, body, **more)

    async def hang_up(self, exchange: Exchange) -> None:
        exchange.reset(ResetCode.CANCEL)
        await asyncio.sleep(0)


@asynccontextmanager
async def bench(
    folder: Path,
    *,
    settings: Mapping[str, object] | None = None,
    strong: Callable[[Journal], StrongCalls] | None = None,
    **options: Any,
) -> AsyncIterator[Bench]:
    """Open a bench; *settings* are those of ``[procore]``, *strong* checks signed calls."""
    vault = MemoryVault()
    vault.store_app()
    async with (
        FakeProcore().serve() as procore,
        ProcoreClient.open(
            procore.settings.model_copy(update=settings), vault, spread=lambda: 0.0
        ) as client,
        Journal.open(folder / "journal.sqlite3") as journal,
    ):
        await client.authenticator.sign_in(SANDBOX)
        executor, policy = Executor(client), Allowing()
        made: list[Bench] = []
        moving = ProcoreFiles.open(
            client,
            load_catalog(),
            spool_dir=folder / "spool",
            max_spool_bytes=lambda: made[0].max_spool_bytes,
            timeouts=Timeouts(connect_timeout=2.0, stall_timeout=2.0),
            journal=journal,
        )
        async with (
            moving as files,
            Dispatcher.open(
                executor,
                client,
                gate_of(policy),
                journal,
                files=files,
                strong=None if strong is None else strong(journal),
                paused=lambda: made[0].paused,
                **options,
            ) as dispatcher,
        ):
            one, other = link_pair()
            relay = Session(one, role=Role.RELAY)
            agent = Session(other, role=Role.AGENT, handler=dispatcher)
            made.append(Bench(procore, client, executor, policy, journal, dispatcher, relay))
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(_run(session)) for session in (relay, agent)]
                try:
                    yield made[0]
                finally:
                    for task in running:
                        task.cancel()


async def _run(session: Session) -> None:
    with suppress(TunnelClosedError):
        await session.run()
