"""The relay's database is gone for a while: reads go on, and no write goes out unrecorded."""

import asyncio
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from doubles.checker import check
from doubles.postgres import PostgresServer, postgres_server
from doubles.world import open_world, until

pytestmark = pytest.mark.timeout(180)

LONGER_THAN_BELIEVED = 8.0  # seconds; what the store said is believed for 3


def gone(server: PostgresServer, how: str) -> AbstractContextManager[None]:
    return server.frozen() if how == "frozen" else server.stopped()


@pytest.mark.parametrize("how", ["stopped", "frozen"])
async def test_reads_go_on_without_the_database_and_writes_are_refused_unexecuted(
    tmp_path: Path, how: str
) -> None:
    with postgres_server() as server:
        async with open_world(tmp_path, database_url=server.database(), seed=8) as world:
            caller = await world.caller()
            assert (await caller.create("before")).status == 201
            assert (await caller.read()).status == 200
            with gone(server, how):
                began = time.monotonic()
                slowest = 0.0
                while time.monotonic() - began < LONGER_THAN_BELIEVED:
                    asked = time.monotonic()
                    assert (await caller.read()).status == 200
                    slowest = max(slowest, time.monotonic() - asked)
                    await asyncio.sleep(0.05)
                assert slowest < 4  # one waits for a store that hangs, and the others do not
                refused = await caller.create("meanwhile", deadline=8.0)
                assert refused.outcome == "not_executed", refused

            async def takes_writes() -> bool:
                return (await caller.create(f"after {time.monotonic()}")).status == 201

            await until(takes_writes, within=40, what="a write")
            assert not check(await world.history(within=30))
            assert not any("meanwhile" in str(one) for one in await world.ledger())
