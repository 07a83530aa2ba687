"""Sealed calls through a relay that routes what it cannot read: its memory and disk searched."""

import base64
import os
import re
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from cloud_connect.calls import Operation
from cloud_connect.client import CloudConnect, DataSource, Environment, Pin, SigningKey
from cloud_connect.client.protection import Wanted
from cloud_connect.errors import (
    InvalidRequestError,
    Outcome,
    PolicyDeniedError,
    SourceRejectedError,
)
from doubles.program import said
from doubles.world import ENVIRONMENT, World, open_world

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]

KEY = SigningKey.generate()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("blind")
    async with open_world(
        folder, tunnel_proxies=False, prepare=lambda agent: agent.pin(KEY)
    ) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(world: World) -> AsyncIterator[CloudConnect]:
    async with CloudConnect.open(world.relay.ready["api_url"], world.api_key) as opened:
        yield opened


async def pinned(world: World) -> Pin:
    """What the PC's administrator tells the caller, not the relay."""
    _, printed, _ = await said("cloud_connect_agent", "keys", "--home", str(world.agent.home))
    assert printed["connector_id"] == world.agent.connector_id
    assert (await world.connector(world.agent))["sealing_key"] == printed["sealing_key"]
    return Pin(
        connector_id=printed["connector_id"],
        company_id=world.company["id"],
        environment=Environment(ENVIRONMENT),
        sealing_key=printed["sealing_key"],
    )


async def source_of(
    world: World, client: CloudConnect, pin: Pin | None, *, key: SigningKey | None = None
) -> DataSource:
    caller = await world.caller()
    datasource_id = caller.base.rpartition("/")[2]
    return client.data_source(datasource_id, pin=pin, signing_key=key)


def spellings(canary: str) -> dict[str, bytes]:
    """The canary as it could lie about; base64 in each of its three alignments."""
    data = canary.encode()
    found = {"plain": data, "hex": data.hex().encode(), "utf-16": canary.encode("utf-16-le")}
    for lead in range(3):
        coded = base64.b64encode(b"\0" * lead + data)
        found[f"base64 at {lead}"] = coded[(4 if lead else 0) : len(coded) // 4 * 4 - 4]
    return found


def memory_of(pid: int) -> Iterator[bytes]:
    """Every readable region of a stopped process."""
    with Path(f"/proc/{pid}/mem").open("rb") as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if match is None or line.endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            start, end = (int(part, 16) for part in match.groups())
            try:
                memory.seek(start)
                yield memory.read(end - start)
            except OSError:  # a guard page
                continue


def hits(world: World, canaries: list[str]) -> list[str]:
    """Where the relay has one of the canaries, in any spelling."""
    wanted = {f"{one}, {how}": text for one in canaries for how, text in spellings(one).items()}
    pid = world.relay.pid
    found: list[str] = []
    os.kill(pid, signal.SIGSTOP)
    try:
        for region in memory_of(pid):
            found += [f"memory: {name}" for name, text in wanted.items() if text in region]
    finally:
        os.kill(pid, signal.SIGCONT)
    files = [one for one in world.data_dir.rglob("*") if one.is_file()]
    files.append(world.folder / "relay.log")
    for file in files:
        content = file.read_bytes()
        found += [f"{file.name}: {name}" for name, text in wanted.items() if text in content]
    return found


@pytest.mark.catalogue("T110")
async def test_a_relay_that_routes_sealed_calls_never_holds_what_is_in_them(
    world: World, client: CloudConnect
) -> None:
    source = await source_of(world, client, await pinned(world), key=KEY)
    project = world.project["id"]
    written, renamed, asked = (f"canary-{uuid.uuid4().hex}" for _ in range(3))
    made = await source.create("punch_items", {"name": written}, project_id=project)
    assert made["name"] == written
    await source.update("punch_items", str(made["id"]), {"name": renamed}, project_id=project)
    rows = source.list("punch_items", filters={"name": renamed}, project_id=project)
    async with aclosing(rows):
        assert [row["name"] async for row in rows] == [renamed]
    found = await source.query(
        {
            "action": "select",
            "info": {"name": "punch_items"},
            "conditions": [
                {
                    "group": "and",
                    "conditions": [
                        {
                            "arg1": {"name": "name"},
                            "operator": "eq",
                            "arg2": {"value": asked},
                        },
                        {
                            "arg1": {"name": "project_id"},
                            "operator": "eq",
                            "arg2": {"value": project},
                        },
                    ],
                }
            ],
        }
    )
    assert found.items == ()
    with pytest.raises((SourceRejectedError, InvalidRequestError)) as refused:
        await source.create("punch_items", {"name": written, asked: "x"}, project_id=project)
    assert refused.value.retry_safe or refused.value.outcome is Outcome.COMPLETED
    assert not hits(world, [written, renamed, asked])
    # Metadata works, and the relay knows as much of the call as it must.
    assert any(node["name"] for node in await source.tree())
    assert (await source.test()).success
    calls = (await world.api.get("/api/calls")).json()["items"]
    sealed = [one for one in calls if one["operation"] == "sealed"]
    assert len(sealed) >= 6
    assert {one["resource"] for one in sealed} == {None}
    assert all(one["outcome"] for one in sealed)
    # The same search does find what is not sealed.
    plain = await source_of(world, client, None)
    open_canary = f"canary-{uuid.uuid4().hex}"
    await plain.create("punch_items", {"name": open_canary}, project_id=project)
    assert hits(world, [open_canary])


async def test_a_repeat_of_a_sealed_write_gets_its_sealed_answer_from_the_journal(
    world: World, client: CloudConnect
) -> None:
    source = await source_of(world, client, await pinned(world))
    name = f"once-{uuid.uuid4().hex}"
    request = source._protection.request(wanted(source, name, world.project["id"]))
    first, body = await source._wire.collect(request, seconds=20)
    second, again = await source._wire.collect(request, seconds=20)
    assert (first.replayed, second.replayed) == (False, True)
    assert body == again
    ledger = await world.ledger(resource="punch_items")
    assert sum(name in str(entry) for entry in ledger) == 1


def wanted(source: DataSource, name: str, project: int) -> Wanted:
    del source
    return Wanted(
        operation=Operation.CREATE,
        params={"resource": "punch_items", "scope": {"project_id": str(project)}},
        method="POST",
        path="records/punch_items",
        body=b'{"name":"%b"}' % name.encode(),
        key=uuid.uuid4().hex,
    )


async def test_what_is_refused_inside_is_told_to_the_caller_alone(
    world: World, client: CloudConnect
) -> None:
    pin = await pinned(world)
    source = await source_of(world, client, pin)
    with pytest.raises(SourceRejectedError) as refused:
        await source.get("punch_items", 999_999_999, project_id=world.project["id"])
    assert (refused.value.status, refused.value.outcome) == (404, Outcome.COMPLETED)
    assert refused.value.call_id
    record = await client.call(refused.value.call_id)
    assert (record.operation, record.detail, record.code) == ("sealed", None, None)
    stranger = SigningKey.generate()
    with pytest.raises(PolicyDeniedError, match="no key that is pinned"):
        await (await source_of(world, client, pin, key=stranger)).test()
