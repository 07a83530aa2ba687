"""The agent's record executor, signed in to a simulator."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import orjson

from cloud_connect.calls import Environment, RecordParams, Source
from cloud_connect.query import Query
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.client import ProcoreClient
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.rowstream import RowStream
from cloud_connect_agent.settings import ProcoreSettings
from doubles.fake_procore import MemoryVault
from doubles.simulator_process import COMPANY, PROJECT, Simulator

__all__ = [
    "SANDBOX",
    "Row",
    "condition",
    "executor_at",
    "listed",
    "params",
    "queried",
    "rows_of",
    "scope_of",
    "soon",
]

Row = dict[str, object]

SANDBOX = Environment.DEVELOPER_SANDBOX
# Where the records of a resource lie, if below records of another.
_PARENTS = {
    "budget_view_id": "budget_views",
    "prime_contract_id": "prime_contracts",
    "purchase_order_contract_id": "purchase_order_contracts",
    "work_order_contract_id": "work_order_contracts",
    "direct_cost_id": "direct_costs",
    "potential_change_order_id": "potential_change_orders",
    "schedule_id": "schedules",
    "bid_package_id": "bid_packages",
    "drawing_area_id": "drawing_areas",
    "hook_id": "webhook_hooks",
}


@asynccontextmanager
async def executor_at(
    simulator: Simulator, environment: Environment
) -> AsyncIterator[RecordExecutor]:
    """An executor whose Procore is the simulator."""
    app = simulator.app
    vault = MemoryVault()
    facts = {key: app[key] for key in ("client_id", "client_secret")}
    await vault.put(f"procore-app/{environment.flag}", orjson.dumps(facts))
    endpoints = {key: app[key] for key in ("api_url", "login_url")}
    settings = ProcoreSettings.model_validate({"environments": {environment.flag: endpoints}})
    async with ProcoreClient.open(settings, vault) as client:
        await client.authenticator.sign_in(environment)
        yield RecordExecutor(client, load_catalog(), now=lambda: datetime.now(UTC))


def soon() -> float:
    """A deadline that a call to the simulator keeps."""
    return time.monotonic() + 15


async def rows_of(stream: RowStream) -> list[Row]:
    """All rows of a stream."""
    async with stream:
        return [row async for row in stream]


def params(resource: str, **more: object) -> RecordParams:
    """A call about a resource of the demo project."""
    source = Source(company_id=COMPANY, environment=SANDBOX, project_id=PROJECT)
    return RecordParams.model_validate({"source": source, "resource": resource, **more})


async def listed(executor: RecordExecutor, resource: str, **more: object) -> list[Row]:
    """All records of a resource."""
    return await rows_of(await executor.list(params(resource, **more), soon()))


async def queried(
    executor: RecordExecutor, action: str, table: str, **members: object
) -> list[Row]:
    """What a query of the demo project answers."""
    document = {"action": action, "info": {"name": table}, **members}
    source = params(table).source
    return await rows_of(await executor.query(source, Query.parse(document), soon()))


def condition(field: str, operator: str, value: object = None) -> Row:
    """A condition of a query."""
    return {"arg1": {"name": field}, "operator": operator, "arg2": {"value": value}}


async def scope_of(executor: RecordExecutor, name: str) -> dict[str, str]:
    """The scope ids of a resource's records, from the first record above them."""
    scope: dict[str, str] = {}
    for part in load_catalog().resource(name).scope_fields:
        if part in _PARENTS:
            above = (await listed(executor, _PARENTS[part], scope=scope))[0]
            scope[part] = str(above["id"])
    return scope
