"""Records that leave a list while it is read: those behind them move up, and none is missed."""

import random
from typing import TYPE_CHECKING

import pytest

from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.cursor import Position
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.pager import ListReader, Page
from cloud_connect_agent.procore.planner import Target
from cloud_connect_agent.procore.window import ReadAhead
from doubles.paged_lists import HERE, Lists, read_all
from doubles.record_calls import RFIS, condition, queried, rfis, rows_of
from doubles.scripted_procore import ScriptedProcore

if TYPE_CHECKING:
    from cloud_connect_agent.procore.rows import Row


def without(rows: "list[Row]", *ids: int) -> "list[Row]":
    return [row for row in rows if row["id"] not in ids]


@pytest.mark.parametrize("link", [True, False])
@pytest.mark.parametrize("gone", [1, 10, 14, 20])
async def test_rows_that_move_up_to_a_page_that_was_read_are_read_there(
    gone: int, *, link: bool
) -> None:
    lists = Lists(60, link=link)

    async def fetch(target: Target, number: int) -> Page:
        if number == 4 and len(lists.rows["1"]) == 60:
            lists.rows["1"] = without(lists.rows["1"], *range(gone))
        return await lists.fetch(target, number)

    reader = ListReader([HERE], fetch, window=ReadAhead(most=1))
    assert [row for _, row in await read_all(reader)] == list(range(60))
    again = -(-gone // 10)
    assert len(lists.asked) <= 6 + again


async def test_list_that_ends_earlier_is_looked_at_once_more() -> None:
    lists = Lists(15)

    async def fetch(target: Target, number: int) -> Page:
        if number == 2:
            lists.rows["1"] = without(lists.rows["1"], *range(5))
        return await lists.fetch(target, number)

    reader = ListReader([HERE], fetch, window=ReadAhead())
    assert [row for _, row in await read_all(reader)] == list(range(15))
    assert [page for _, page in lists.asked] == [1, 2, 1]


@pytest.mark.parametrize("seed", range(40))
async def test_what_stays_comes_once_however_many_pages_are_under_way(seed: int) -> None:
    dice = random.Random(seed)
    lists = Lists(dice.randrange(150, 300), link=dice.random() < 0.5)
    lists.wait = lambda _target, _page: dice.choice([0.0, 0.0, 0.001])
    removed: set[int] = set()

    async def fetch(target: Target, number: int) -> Page:
        if dice.random() < 0.3 and len(removed) < 60:
            victims = dice.sample([int(str(row["id"])) for row in lists.rows["1"]], 3)
            removed.update(victims)
            lists.rows["1"] = without(lists.rows["1"], *victims)
        return await lists.fetch(target, number)

    everything = [int(str(row["id"])) for row in lists.rows["1"]]
    found = [row for _, row in await read_all(ListReader([HERE], fetch, window=ReadAhead(most=4)))]
    assert len(found) == len(set(found))
    assert set(everything) - removed <= set(found)


async def test_count_that_goes_up_and_down_is_not_followed_for_ever() -> None:
    asked = 0

    async def fetch(_: Target, number: int) -> Page:
        nonlocal asked
        asked += 1
        rows: list[Row] = [{"id": number * 2 + row} for row in range(2)]
        total = 4000 if number % 2 else 2
        return Page(number=number, rows=rows, total=total, per_page=2, has_next=number < 600)

    reader = ListReader([HERE], fetch, window=ReadAhead())
    assert len(await read_all(reader)) == 1200
    assert asked <= 600 + 32 + 256


async def test_lists_without_ids_are_not_read_again() -> None:
    asked = []

    async def fetch(_: Target, number: int) -> Page:
        asked.append(number)
        rows: list[Row] = [{"name": f"{number}-{row}"} for row in range(2)]
        return Page(number=number, rows=rows, total=8 - number, per_page=2, has_next=number < 4)

    async with ListReader([HERE], fetch, window=ReadAhead()) as reader:
        names = []
        while (item := await reader.read()) is not None:
            names += [row["name"] for row in item[1].rows]
    assert len(names) == 8
    assert sorted(asked) == [1, 2, 3, 4]


async def pages_of(
    executor: RecordExecutor, procore: ScriptedProcore, limit: int, *gone: int
) -> tuple[list[int], list[int]]:
    """The ids of a first answer and, once some records have gone, those of what follows it."""
    answers: list[list[int]] = []
    cursor = None
    for removed in ((), gone):
        procore.tables[RFIS] = without(procore.tables[RFIS], *removed)
        stream = await queried(executor, rowLimit=limit if not answers else 100, paging=cursor)
        answers.append([int(str(row["id"])) for row in await rows_of(stream)])
        cursor = stream.paging
    return answers[0], answers[1]


@pytest.mark.parametrize("limit", [30, 100, 130])
@pytest.mark.parametrize(
    "gone",
    [
        (),
        (1,),
        tuple(range(1, 20)),
        tuple(range(200, 240)),
        (3, 4, 220, 221),
        tuple(range(1, 30)),
    ],
)
async def test_next_part_begins_behind_the_last_row_wherever_it_moved(
    limit: int, gone: tuple[int, ...]
) -> None:
    procore = ScriptedProcore({RFIS: rfis(250)})
    executor = RecordExecutor(procore, load_catalog())
    first, then = await pages_of(executor, procore, limit, *gone)
    assert first == list(range(1, limit + 1))
    expected = [one for one in range(limit + 1, 251) if one not in gone]
    assert then == expected[: len(then)]
    assert len(then) == min(100, len(expected))


@pytest.mark.parametrize("limit", [30, 100, 130])
@pytest.mark.parametrize("before", [0, 1, 25])
async def test_last_row_that_is_gone_costs_no_other(limit: int, before: int) -> None:
    """Rows may come again then, as many as have left, but all that follow come."""
    procore = ScriptedProcore({RFIS: rfis(250)})
    executor = RecordExecutor(procore, load_catalog())
    gone = (limit, *range(1, before + 1))
    _, then = await pages_of(executor, procore, limit, *gone)
    assert then[0] <= limit + 1
    assert then == sorted(then)
    again = [one for one in then if one <= limit]
    assert len(again) <= len(gone)
    assert then[len(again) :] == list(range(limit + 1, limit + 101 - len(again)))


@pytest.mark.parametrize("seed", range(40))
async def test_paging_a_list_that_changes_misses_nothing_that_stays(seed: int) -> None:
    dice = random.Random(seed)
    procore = ScriptedProcore({RFIS: rfis(250)}, link=dice.random() < 0.5)
    executor = RecordExecutor(procore, load_catalog())
    chosen = [condition("id", "gt", 0)] if dice.random() < 0.5 else []
    limit = dice.choice([7, 20, 37, 100])
    seen: list[int] = []
    removed: set[int] = set()
    cursor = None
    for _ in range(200):
        stream = await queried(executor, conditions=chosen, rowLimit=limit, paging=cursor)
        seen += [int(str(row["id"])) for row in await rows_of(stream)]
        cursor = stream.paging
        if cursor is None:
            break
        present = [int(str(row["id"])) for row in procore.tables[RFIS]]
        victims = dice.sample(present, min(len(present), dice.choice([0, 0, 1, 3])))
        removed.update(victims)
        procore.tables[RFIS] = without(procore.tables[RFIS], *victims)
    assert cursor is None
    assert set(range(1, 251)) - removed <= set(seen)


def test_place_among_rows_that_moved_up_is_counted_from_what_left() -> None:
    position = Position(p=3, n=4, s=10, c=50)
    assert [position.taken_of(page, size=10, total=50) for page in (1, 2, 3)] == [24, 14, 4]
    assert [position.taken_of(page, size=10, total=43) for page in (2, 3)] == [7, 0]
    assert position.taken_of(3, size=10, total=60) == 4
    assert Position(p=3, n=4, s=10, i=9).taken_of(3, size=10, total=None) == 3
