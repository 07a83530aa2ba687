"""The caller's library against the real thing: plain, signed, sealed, and when links break."""

import asyncio
import re
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from cloud_connect.client import CloudConnect, DataSource, Environment, Outcome, Pin, SigningKey
from cloud_connect.errors import OutcomeUnknownError, SourceRejectedError
from doubles.program import said
from doubles.world import ENVIRONMENT, World, open_world

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]

KEY = SigningKey.generate()
README = Path(__file__).parents[2] / "README.md"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("library")
    async with open_world(
        folder, tunnel_proxies=False, prepare=lambda agent: agent.pin(KEY)
    ) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(world: World) -> AsyncIterator[CloudConnect]:
    url = world.relay.ready["api_url"]
    async with CloudConnect.open(url, world.api_key, timeout=30) as opened:
        yield opened


async def source_of(
    world: World, client: CloudConnect, *, signed: bool = False, sealed: bool = False
) -> DataSource:
    datasource_id = (await world.caller()).base.rpartition("/")[2]
    if not (signed or sealed):
        return client.data_source(datasource_id)
    _, printed, _ = await said("cloud_connect_agent", "keys", "--home", str(world.agent.home))
    pin = Pin(
        connector_id=printed["connector_id"],
        company_id=world.company["id"],
        environment=Environment(ENVIRONMENT),
        sealing_key=printed["sealing_key"] if sealed else None,
    )
    return client.data_source(datasource_id, pin=pin, signing_key=KEY if signed else None)


async def executions(world: World, marker: str) -> int:
    ledger = await world.ledger(contains=marker)
    return sum(entry["method"] != "GET" for entry in ledger)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("sealed", [False, True])
async def test_every_call_works_the_same_however_it_is_protected(
    world: World, client: CloudConnect, *, signed: bool, sealed: bool
) -> None:
    source = await source_of(world, client, signed=signed, sealed=sealed)
    project = world.project["id"]
    marker = uuid.uuid4().hex
    assert (await source.test()).success
    assert any("punch_items" in str(node) for node in await source.tree())
    made = await source.create("punch_items", {"name": marker}, project_id=project)
    record_id = str(made["id"])
    shown = await source.get("punch_items", record_id, fields=["id", "name"], project_id=project)
    assert shown == {"id": made["id"], "name": marker}
    await source.update("punch_items", record_id, {"name": f"{marker}-2"}, project_id=project)
    rows = source.list(
        "punch_items",
        filters={"name": f"{marker}-2"},
        sort=["-id"],
        fields=["name"],
        limit=5,
        project_id=project,
    )
    async with aclosing(rows):
        assert [row async for row in rows] == [{"name": f"{marker}-2"}]
    several = await source.create_many(
        "punch_items", [{"name": f"{marker}-3"}, {"name": f"{marker}-4"}], project_id=project
    )
    assert (several["count"], several["failed"]) == (2, 0)
    inserted = await source.query(
        {
            "action": "insert",
            "info": {"name": "punch_items"},
            "mappings": {"name": f"{marker}-5", "project_id": project},
        }
    )
    assert inserted.items[0]["name"] == f"{marker}-5"
    rehearsed = await source.query(
        {
            "action": "insert",
            "info": {"name": "punch_items"},
            "mappings": {"name": f"{marker}-6", "project_id": project},
            "dryRun": True,
        }
    )
    assert rehearsed.message
    assert await executions(world, f"{marker}-6") == 0
    await source.delete("punch_items", record_id, project_id=project)
    with pytest.raises(SourceRejectedError) as gone:
        await source.get("punch_items", record_id, project_id=project)
    assert (gone.value.status, gone.value.outcome) == (404, Outcome.COMPLETED)


async def test_data_sources_and_calls_are_found(world: World, client: CloudConnect) -> None:
    await source_of(world, client)
    assert {one.title for one in await client.data_sources()} == {"Procore"}
    source = await source_of(world, client, sealed=True)
    key = uuid.uuid4().hex
    await source.create("punch_items", {"name": key}, key=key, project_id=world.project["id"])
    record = await client.call_with_key(key)
    assert (record.operation, record.outcome, record.final) == ("sealed", "completed", True)
    assert (await client.call(record.call_id)).connector_id == world.agent.connector_id


@pytest.mark.parametrize("sealed", [False, True])
async def test_a_relay_that_dies_under_a_write_costs_no_second_one(
    world: World, client: CloudConnect, *, sealed: bool
) -> None:
    source = await source_of(world, client, signed=True, sealed=sealed)
    marker = uuid.uuid4().hex
    held = {"kind": "slow_first_byte", "seconds": 3}
    await world.fault(held, path="punch_items", method="POST", times=1, after_execute=True)
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(
            source.create("punch_items", {"name": marker}, project_id=world.project["id"])
        )
        while await executions(world, marker) == 0:
            await asyncio.sleep(0.05)
        assert not writing.done()
        await world.relay.restart()
    assert writing.result()["name"] == marker
    assert await executions(world, marker) == 1


async def test_an_outcome_that_nobody_knows_is_not_guessed(
    world: World, client: CloudConnect
) -> None:
    source = await source_of(world, client, sealed=True)
    marker = uuid.uuid4().hex
    await world.fault(
        {"kind": "reset"}, path="punch_items", method="POST", times=1, after_execute=True
    )
    with pytest.raises(OutcomeUnknownError) as doubtful:
        await source.create("punch_items", {"name": marker}, project_id=world.project["id"])
    assert not doubtful.value.retry_safe
    assert await executions(world, marker) == 1


async def test_the_example_of_the_readme_runs(world: World, client: CloudConnect) -> None:
    caller = await world.caller()
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (example,) = [one for one in blocks if "cloud_connect.client" in one]
    changes = {
        "https://relay.example.com": world.relay.ready["api_url"],
        "cck_…": world.api_key,
        "ds_…": caller.base.rpartition("/")[2],
        "project_id=101": f"project_id={world.project['id']}",
    }
    for old, new in changes.items():
        assert old in example
        example = example.replace(old, new)
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-",  # not in its arguments, which everybody may read: it holds the key
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        _, errors = await program.communicate(example.encode())
    assert program.returncode == 0, errors.decode()
    assert await executions(world, "A new door") == 1
    assert await client.data_sources()
