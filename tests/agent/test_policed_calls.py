"""Calls under a policy, from the session to the simulator: what its limits do to them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.calls import Operation
from cloud_connect_agent.policy.approvals import Verdict, Verdicts, WaitingList
from cloud_connect_agent.policy.past import read_past
from doubles.policed_agent import SANDBOX, PolicedAgent, policed_agent
from doubles.simulator_process import COMPANY, PROJECT, Simulator, simulator_process

ALL = '[[rules]]\nid = "all"\neffect = "allow"\n'
JSON = (("content-type", "application/json"),)
VENDOR = {"resource": "vendors"}
VENDORS = "rest/v1.0/vendors"
LISTED = f"{VENDORS}?company_id={COMPANY}"


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[Simulator]:
    with simulator_process("--environment", SANDBOX.flag, "--rows", "punch_items=30") as simulator:
        yield simulator


@pytest.fixture
def simulator(shared_simulator: Simulator) -> Simulator:
    shared_simulator.state(reset=True)
    return shared_simulator


def refusal(answer: Any) -> str:
    assert answer.failure.code == "policy_denied", answer.failure
    return str(answer.failure.detail)


async def test_rows_beyond_the_limit_are_refused_and_not_cut_off(
    simulator: Simulator, tmp_path: Path
) -> None:
    items = {"resource": "punch_items", "scope": {"project_id": str(PROJECT)}}
    async with policed_agent(tmp_path, simulator, f"max_rows_per_call = 10\n{ALL}") as agent:
        said = refusal(await agent.call(Operation.LIST, items))
        assert "at most 10 rows" in said
        assert "(rule max_rows_per_call)" in said
        few = await agent.call(Operation.LIST, {**items, "limit": 10})
        assert len(few.body.splitlines()) == 10
        query = {"action": "select", "info": {"name": "punch_items"}, "rowLimit": 7}
        assert len((await agent.call(Operation.QUERY, {}, query)).body.splitlines()) == 7
        del query["rowLimit"]
        assert "at most 10 rows" in refusal(await agent.call(Operation.QUERY, {}, query))


async def test_body_beyond_the_limit_never_leaves(simulator: Simulator, tmp_path: Path) -> None:
    large = {"name": "x" * 2_000}
    async with policed_agent(tmp_path, simulator, f"max_body_bytes = 1000\n{ALL}") as agent:
        answers = [
            await agent.call(Operation.CREATE, VENDOR, large),
            await agent.call(Operation.CREATE, VENDOR, [large, large]),
            await agent.call(
                Operation.QUERY,
                {},
                {"action": "insert", "info": {"name": "vendors"}, "mappings": large},
            ),
            await agent.call(Operation.DRY_RUN, {**VENDOR, "verb": "create"}, large),
            await agent.raw("POST", VENDORS, {"vendor": large}, headers=JSON),
            await agent.raw("POST", VENDORS, b"x" * 200_000, headers=(("content-type", "a/b"),)),
            await agent.call(
                Operation.UPLOAD,
                {"filename": "a.txt", "project_id": PROJECT, "resource": "punch_items"},
                b"x" * 2_000,
            ),
        ]
        for answer in answers:
            assert "at most 1000 bytes" in refusal(answer)
        assert (await agent.call(Operation.CREATE, VENDOR, {"name": "y"})).head.status == 201
    assert [one["path"] for one in simulator.ledger()] == [f"/{VENDORS}"]


async def test_field_that_nobody_may_write_is_not_written_by_any_way(
    simulator: Simulator, tmp_path: Path
) -> None:
    policy = f'unwritable_fields = ["license_number", "address"]\n{ALL}'
    license_ = {"name": "x", "license_number": "1"}
    form = (("content-type", "application/x-www-form-urlencoded"),)
    long = b'{"vendor": {"name": "' + b"x" * 1_100_000 + b'"}}'
    async with policed_agent(tmp_path, simulator, policy) as agent:
        answers = [
            await agent.call(Operation.CREATE, VENDOR, license_),
            await agent.call(Operation.CREATE, VENDOR, [{"name": "y"}, license_]),
            await agent.call(Operation.UPDATE, {**VENDOR, "record_id": "1"}, {"address": "x"}),
            await agent.call(
                Operation.QUERY,
                {},
                {"action": "insert", "info": {"name": "vendors"}, "mappings": license_},
            ),
            await agent.raw("POST", VENDORS, {"vendor": license_}, headers=JSON),
            await agent.raw("PATCH", f"{VENDORS}/sync", {"updates": [license_]}, headers=JSON),
            await agent.raw("POST", f"{VENDORS}?vendor[license_number]=1", {}, headers=JSON),
            await agent.raw("POST", VENDORS, b"vendor[license_number]=1", headers=form),
            await agent.raw("POST", VENDORS, b"vendor]license_number=1", headers=form),
            await agent.raw("POST", f"rest/v1.0/companies/{COMPANY}/x", long, headers=JSON),
            await agent.raw("POST", VENDORS, b"<v/>", headers=(("content-type", "text/xml"),)),
        ]
        for answer in answers:
            assert "(rule unwritable_fields)" in refusal(answer)
        assert (await agent.call(Operation.CREATE, VENDOR, {"name": "y"})).head.status == 201
    assert len(simulator.ledger()) == 1


async def test_minute_that_is_used_up_is_told_with_when_to_come_back(
    simulator: Simulator, tmp_path: Path
) -> None:
    async with policed_agent(tmp_path, simulator, f"max_calls_per_minute = 3\n{ALL}") as agent:
        for _ in range(3):
            assert (await agent.raw("GET", LISTED)).head.status == 200
        refused = (await agent.raw("GET", LISTED)).failure
        assert (refused.code, refused.status) == ("quota_exceeded", 429)
        assert 0 < (refused.retry_after or 0) <= 61
        assert "(rule max_calls_per_minute)" in refused.detail
        agent.seconds += 62
        assert (await agent.raw("GET", LISTED)).head.status == 200


async def test_hours_are_asked_at_each_call(simulator: Simulator, tmp_path: Path) -> None:
    hours = 'hours = { days = ["wed"], from = "09:00", until = "17:00", zone = "Europe/Berlin" }\n'
    async with policed_agent(tmp_path, simulator, hours + ALL) as agent:
        assert (await agent.raw("GET", LISTED)).head.status == 200
        agent.moment = datetime(2026, 11, 25, 16, 0, tzinfo=UTC)
        assert "(rule hours)" in refusal(await agent.raw("GET", LISTED))


async def test_tree_shows_the_tables_that_may_be_read(simulator: Simulator, tmp_path: Path) -> None:
    private = '[[rules]]\nid = "no"\neffect = "deny"\nresources = ["vendors"]\n'
    some = (
        '[[rules]]\nid = "some"\neffect = "allow"\nverbs = ["read"]\n'
        f'companies = [{COMPANY}]\nprojects = [{PROJECT}]\nresources = ["rfis", "punch_items"]\n'
    )

    async def tables(agent: PolicedAgent) -> set[str]:
        items = (await agent.call(Operation.TREE)).json["items"]
        return {table["name"] for group in items for table in group["nodes"]}

    async with policed_agent(tmp_path, simulator, ALL) as agent:
        everything = await tables(agent)
        agent.write_policy(private + ALL)
        assert everything - await tables(agent) == {"vendors"}
        agent.write_policy(some)
        assert await tables(agent) == {"rfis", "punch_items"}
        drift = (await agent.call(Operation.DRIFT)).json
        assert {one["resource"] for one in drift["items"]} <= {"rfis", "punch_items"}
        agent.write_policy('[[rules]]\nid = "test"\neffect = "allow"\nverbs = ["test"]\n')
        assert "(rule default)" in refusal(await agent.call(Operation.TREE))


async def test_first_use_runs_once_the_administrator_has_approved_it(
    simulator: Simulator, tmp_path: Path
) -> None:
    async with policed_agent(tmp_path, simulator, f'approval = "first-use"\n{ALL}') as agent:
        said = refusal(await agent.call(Operation.CREATE, VENDOR, {"name": "a"}))
        assert "create of vendors waits for the approval" in said
        agent.approvals.write()
        (waiting,) = WaitingList.load(agent.waiting_file).waiting
        assert waiting.id in said
        verdicts = Verdicts().with_(waiting, Verdict.APPROVED, agent.moment)
        agent.approvals_file.write_text(verdicts.model_dump_json())
        agent.seconds += 2
        assert (await agent.call(Operation.CREATE, VENDOR, {"name": "a"})).head.status == 201
        assert "waits" in refusal(
            await agent.call(Operation.UPDATE, {**VENDOR, "record_id": "1"}, {"name": "b"})
        )
    assert len(simulator.ledger()) == 1


async def test_what_is_remembered_of_calls_holds_none_of_their_data(
    simulator: Simulator, tmp_path: Path
) -> None:
    secret = "Canary & Sons"
    async with policed_agent(tmp_path, simulator, ALL) as agent:
        await agent.call(Operation.CREATE, VENDOR, {"name": secret})
        await agent.raw("POST", VENDORS, {"vendor": {"name": secret}}, headers=JSON)
        await agent.raw("GET", f"{VENDORS}?filters[name]={secret.split(maxsplit=1)[0]}")
        agent.past.write()
        file = tmp_path / "decisions.sqlite3"
        found = read_past(file, since=0)
        assert {one.access.verb.value for one in found} >= {"create", "passthrough_write"}
        assert {one.rule for one in found} == {"all"}
        assert secret.split(maxsplit=1)[0].encode() not in file.read_bytes()
        assert json.dumps(agent.policy.told())
