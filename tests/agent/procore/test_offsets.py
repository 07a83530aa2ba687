"""A list that is told where to start is read whole, whatever Procore counts."""

import time
import tomllib
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from cloud_connect.calls import Source
from cloud_connect.query import Query
from cloud_connect_agent.procore.catalog import Catalog, Resource
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.messages import ApiRequest, ApiResponse
from doubles.scripted_procore import source

DELIVERIES = Resource.model_validate(
    tomllib.loads("""
name = "deliveries"
text = "Deliveries"
desc = "What a hook was told"
icon = "fa fa-bell"
level = "company"
scope = ["hook_id"]
[list]
version = "v1.0"
path = "/webhooks/hooks/{hook_id}/deliveries"
pager = "offset"
per_page = 10
[fields]
id = "integer out"
""")
)
COUNTING = {
    "records": lambda start, _size: start,
    "pages from 0": lambda start, size: start * size,
    "pages from 1": lambda start, size: max(start - 1, 0) * size,
}


class Deliveries:
    """A list that begins at ``page_start``, which counts what *begin* makes of it."""

    def __init__(self, count: int, begin: Callable[[int, int], int]) -> None:
        self.rows = [{"id": n} for n in range(count)]
        self.begin = begin
        self.asked: list[str] = []

    async def request(
        self, request: ApiRequest, *, source: Source, deadline: float, interactive: bool = True
    ) -> ApiResponse:
        del source, deadline, interactive
        query = dict(request.query)
        self.asked.append(query["page_start"])
        size = int(query["page_size"])
        first = self.begin(int(query["page_start"]), size)
        return ApiResponse(status=200, headers={}, json=self.rows[first : first + size])


async def listed(server: Deliveries, **members: object) -> tuple[list[object], str | None]:
    executor = RecordExecutor(server, Catalog({"deliveries": DELIVERIES}))
    hook = {"arg1": {"name": "hook_id"}, "operator": "eq", "arg2": {"value": 7}}
    query = Query.parse(
        {"action": "select", "info": {"name": "deliveries"}, "conditions": [hook], **members}
    )
    async with await executor.query(source(), query, time.monotonic() + 20) as stream:
        return [row["id"] async for row in stream], stream.paging


@pytest.mark.parametrize("counted", COUNTING)
@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 35])
async def test_list_is_read_whole(count: int, counted: str) -> None:
    server = Deliveries(count, COUNTING[counted])
    ids, _ = await listed(server)
    assert ids == list(range(count))
    assert len(server.asked) <= count // 10 + 3


@pytest.mark.parametrize("counted", COUNTING)
async def test_what_is_counted_is_told_once_and_holds_for_the_rest(counted: str) -> None:
    server = Deliveries(35, COUNTING[counted])
    with capture_logs() as logs:
        await listed(server)
    told = [entry for entry in logs if entry["event"] == "procore_page_start_counts"]
    assert [entry["counts"] for entry in told] == [counted]


@pytest.mark.parametrize("counted", COUNTING)
async def test_paging_goes_on_where_it_stopped(counted: str) -> None:
    server = Deliveries(35, COUNTING[counted])
    ids, paging = await listed(server, rowLimit=15)
    while paging is not None:
        more, paging = await listed(server, rowLimit=15, paging=paging)
        ids += more
    assert ids == list(range(35))
