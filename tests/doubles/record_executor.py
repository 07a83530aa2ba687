"""The agent's record executor, signed in to a simulator."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import orjson

from cloud_connect.calls import Environment
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.client import ProcoreClient
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.rowstream import RowStream
from cloud_connect_agent.settings import ProcoreSettings
from doubles.fake_procore import MemoryVault
from doubles.simulator_process import Simulator

__all__ = ["Row", "executor_at", "rows_of", "soon"]

Row = dict[str, object]


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
