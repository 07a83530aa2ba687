"""The table of delivery semantics, cell by cell: what is told, and what Procore executed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from doubles.world import World, open_world

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

ITEMS = r"/punch_items(/\d+)?$"
SHORT = {"kind": "rate_limited", "retry_after": 3}
ASKED_LATER = {"kind": "status", "status": 503, "headers": {"Retry-After": "3"}}
TWICE, THRICE = {"times": 2}, {"times": 3}
AFTER = {"after_execute": True}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell: a call, what goes wrong, what its caller is told, and what a repeat brings.

    Attributes:
        executed: How often Procore carried it out by the time of the first answer.
        again: Status and outcome of a repeat with the same key.
        executed_again: How often it was carried out after that repeat.
    """

    call: str
    fault: str | dict[str, Any]
    status: int
    outcome: str
    executed: int
    again: tuple[int, str]
    executed_again: int
    rule: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """Its place in the table, for pytest."""
        kind = self.fault if isinstance(self.fault, str) else str(self.fault["kind"])
        return "-".join([self.call, kind, *map(str, (self.rule or {"times": 1}).values())])


def unsafe(call: str, **more: Any) -> list[Cell]:
    """Cells of a write that must not go out twice."""
    unknown: dict[str, Any] = {
        "status": 502,
        "outcome": "unknown",
        "again": (502, "unknown"),
        **more,
    }
    late: dict[str, Any] = {
        "status": 429,
        "outcome": "not_executed",
        "executed": 0,
        "executed_again": 1,
    }
    done = (201 if call == "create" else 200, "completed")
    return [
        Cell(call=call, fault="server_error", executed=0, executed_again=0, **unknown),
        Cell(call=call, fault="timeout", executed=0, executed_again=0, **unknown),
        Cell(call=call, fault="bad_gateway", executed=0, executed_again=0, **unknown),
        Cell(call=call, fault="drop", executed=0, executed_again=0, **unknown),
        Cell(call=call, fault="reset", rule=AFTER, executed=1, executed_again=1, **unknown),
        Cell(call=call, fault=SHORT, again=done, **late),
        Cell(call=call, fault=ASKED_LATER, again=done, **late),
    ]


OK = (200, "completed")
READ: dict[str, Any] = {"executed": 0, "executed_again": 0, "again": OK}
GONE: dict[str, Any] = {"executed": 1, "executed_again": 1, "again": OK}
CELLS = [
    Cell(call="read", fault="server_error", rule=TWICE, status=200, outcome="completed", **READ),
    Cell(call="read", fault="timeout", rule=TWICE, status=200, outcome="completed", **READ),
    Cell(call="read", fault="drop", rule=TWICE, status=200, outcome="completed", **READ),
    Cell(
        call="read", fault="server_error", rule=THRICE, status=502, outcome="not_executed", **READ
    ),
    Cell(call="read", fault=SHORT, status=429, outcome="not_executed", **READ),
    *unsafe("create"),
    *unsafe("update"),
    Cell(call="delete", fault="server_error", status=200, outcome="completed", **GONE),
    Cell(call="delete", fault="timeout", status=200, outcome="completed", **GONE),
    Cell(call="delete", fault="drop", status=200, outcome="completed", **GONE),
    Cell(call="delete", fault="reset", rule=AFTER, status=200, outcome="completed", **GONE),
    Cell(
        call="delete",
        fault="server_error",
        rule=TWICE,
        status=502,
        outcome="unknown",
        executed=0,
        again=(502, "unknown"),
        executed_again=0,
    ),
    Cell(
        call="delete",
        fault=SHORT,
        status=429,
        outcome="not_executed",
        executed=0,
        again=OK,
        executed_again=1,
    ),
]


@dataclass(kw_only=True)
class Desk:
    """Sends the calls of one data source."""

    world: World
    base: str
    project_id: int
    sent: int = 0

    async def item(self) -> str:
        """Create a punch item to change or delete."""
        self.sent += 1
        marker = f"item {self.sent}"
        answer = await self.send("POST", "/records/punch_items", key=marker, name=marker)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def send(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        name: str | None = None,
        seconds: float = 20,
        body: Any = None,
    ) -> httpx.Response:
        """Send one request below the data source."""
        headers = {"Cloud-Connect-Deadline-Ms": str(int(seconds * 1000))}
        if key is not None:
            headers["Idempotency-Key"] = key
        return await self.world.api.request(
            method,
            f"{self.base}{path}?project_id={self.project_id}",
            headers=headers,
            json=body if name is None else {"name": name},
        )

    async def executed(self, method: str, marker: str, record: str | None) -> int:
        """Count what Procore carried out."""
        found = [one for one in await self.world.ledger() if one["method"] == method]
        if method == "DELETE":
            return sum(one["path"].endswith(f"/{record}") for one in found)
        return sum(one["marker"] == marker for one in found)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    folder = tmp_path_factory.mktemp("semantics")
    async with open_world(folder, tunnel_proxies=False) as world:
        caller = await world.caller()
        yield Desk(world=world, base=caller.base, project_id=caller.project_id)


def told(answer: httpx.Response) -> tuple[int, str]:
    problem = answer.headers["content-type"].startswith("application/problem+json")
    return answer.status_code, answer.json()["outcome"] if problem else "completed"


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
async def test_cell_of_the_table_is_told_and_executed_as_it_says(desk: Desk, cell: Cell) -> None:
    marker = f"cell {cell.name}"
    record = None if cell.call in {"read", "create"} else await desk.item()
    methods = {"read": "GET", "create": "POST", "update": "PATCH", "delete": "DELETE"}
    method = methods[cell.call]
    path = "/records/punch_items" + ("" if record is None else f"/{record}")

    async def ask(seconds: float = 20) -> httpx.Response:
        return await desk.send(
            method,
            path,
            key=None if method == "GET" else marker,
            name=marker if method in {"POST", "PATCH"} else None,
            seconds=seconds,
        )

    rule = {"method": method, "path": ITEMS, "times": 1, **(cell.rule or {})}
    await desk.world.fault(cell.fault, **rule)
    first = await ask(2 if cell.status == 429 else 20)  # less than Procore asks for
    assert told(first) == (cell.status, cell.outcome), first.text
    assert await desk.executed(method, marker, record) == cell.executed
    if cell.outcome != "completed":
        problem = first.json()
        assert problem["retry_safe"] is (cell.outcome == "not_executed")
        assert problem["lookup"] == f"/api/calls/{problem['call_id']}"
        assert problem["connector"] == desk.world.agent.connector_id
        assert (first.headers.get("should-retry") == "false") is (cell.outcome == "unknown")
        known = (await desk.world.api.get(problem["lookup"])).json()
        assert known["outcome"] == cell.outcome
        if cell.outcome == "unknown":
            assert known["final"] is True
            assert "before you repeat the write" in known["detail"]
    if cell.status == 429:
        assert int(first.headers["retry-after"]) >= 1
    again = await ask()
    assert told(again) == cell.again, again.text
    assert await desk.executed(method, marker, record) == cell.executed_again
    if cell.outcome == "unknown":
        assert again.json()["call_id"] == first.json()["call_id"]


@pytest.mark.catalogue("T7")
@pytest.mark.parametrize("family", ["records", "query", "procore"])
async def test_lost_answer_is_told_alike_by_every_family_of_the_api(
    desk: Desk, family: str
) -> None:
    marker = f"lost {family}"
    await desk.world.fault("reset", method="POST", path=ITEMS, times=1, after_execute=True)
    ask: dict[str, Any] = {
        "records": ("/records/punch_items", {"name": marker}),
        "query": (
            "/query",
            {
                "action": "insert",
                "info": {"name": "punch_items"},
                "mappings": {"name": marker, "project_id": desk.project_id},
            },
        ),
        "procore": (
            "/procore/rest/v1.1/punch_items",
            {"punch_item": {"name": marker}, "project_id": desk.project_id},
        ),
    }
    path, body = ask[family]
    for _ in range(2):
        answer = await desk.send("POST", path, key=marker, body=body)
        problem = answer.json()["data"] if family == "query" else answer.json()
        assert answer.status_code == (200 if family == "query" else 502), answer.text
        assert (problem["code"], problem["outcome"]) == ("outcome_unknown", "unknown")
        assert problem["retry_safe"] is False
        assert answer.headers["should-retry"] == "false"
        known = await desk.world.api.get(problem["lookup"])
        assert known.json()["outcome"] == "unknown"
        assert await desk.executed("POST", marker, None) == 1
