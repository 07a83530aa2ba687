"""Records that leave a list while it is read: those behind them move up, and none is missed."""

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import pytest

from cloud_connect.errors import InvalidRequestError, SourceRejectedError
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.cursor import Position
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.pager import ListReader
from cloud_connect_agent.procore.pages import Page
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
    assert len(seen) - len(set(seen)) <= len(removed)  # only for anchors that have left


def drawn(*ids: int) -> "list[Row]":
    return [{"id": one, "subject": f"RFI {one}", "status": "open"} for one in ids]


async def after(rows: "list[Row]", cursor: Position, *, link: bool) -> list[int]:
    """The ids that a list holds behind a cursor, ten on a page."""
    lists = Lists(0, link=link)
    lists.rows["1"] = rows
    found = await read_all(lists.reader(begin=cursor))
    assert len(lists.asked) < 12
    return [row for _, row in found]


BEHIND_24: Final = Position(p=3, n=4, s=10, i=24, c=60)


@pytest.mark.parametrize(
    ("present", "cursor", "expected"),
    [
        # Many leave behind the anchor: it is on the page before, and nothing comes twice.
        (range(1, 41), Position(p=5, n=0, s=10, i=40, c=250), range(0)),
        ((*range(1, 41), *range(66, 80)), Position(p=5, n=0, s=10, i=40, c=79), range(66, 80)),
        # Fourteen leave in front and five are appended: the count is wrong, the anchor right.
        (range(15, 66), BEHIND_24, range(25, 66)),
        # It moves to another page though Procore counts as many as before.
        (range(8, 68), BEHIND_24, range(25, 68)),
        # The anchor has left, and so have others.
        ((*range(6, 24), *range(25, 61)), BEHIND_24, range(25, 61)),
        # Everything up to it has left.
        (range(25, 61), BEHIND_24, range(25, 61)),
        # The list is empty now, or ends before the page.
        ((), BEHIND_24, range(0)),
        ((30, 31), BEHIND_24, (30, 31)),
        # A cursor of the version before, which tells of no count.
        (range(1, 61), Position(p=3, n=4, s=10, i=24), range(25, 61)),
        (range(5, 61), Position(p=3, n=4, s=10, i=24), range(25, 61)),
    ],
)
async def test_cursor_finds_its_place_again(
    present: Iterable[int], cursor: Position, expected: Iterable[int]
) -> None:
    for link in (True, False):
        assert await after(drawn(*present), cursor, link=link) == list(expected)


async def test_records_that_leave_after_a_cursor_found_its_place_bring_nothing_twice() -> None:
    lists = Lists(60)
    lists.rows["1"] = drawn(*range(1, 61))

    async def fetch(target: Target, number: int) -> Page:
        if number == 4:
            lists.rows["1"] = drawn(*range(1, 47))
        return await lists.fetch(target, number)

    reader = ListReader([HERE], fetch, window=ReadAhead(most=1), begin=BEHIND_24)
    assert [row for _, row in await read_all(reader)] == list(range(25, 47))
    lists.rows["1"] = drawn(*range(1, 61))
    lists.asked.clear()

    async def in_front(target: Target, number: int) -> Page:
        if number == 5:
            lists.rows["1"] = drawn(*range(18, 61))
        return await lists.fetch(target, number)

    reader = ListReader([HERE], in_front, window=ReadAhead(most=1), begin=BEHIND_24)
    assert [row for _, row in await read_all(reader)] == list(range(25, 61))


async def test_rows_known_from_a_page_read_again_do_not_move_the_place() -> None:
    lists = Lists(60)
    lists.rows["1"] = drawn(*[one for one in range(1, 61) if one != 29])

    async def fetch(target: Target, number: int) -> Page:
        if number == 2:
            lists.rows["1"] = drawn(*[one for one in range(6, 61) if one != 29])
        return await lists.fetch(target, number)

    begin = Position(p=3, n=9, s=10, i=29, c=60)
    reader = ListReader([HERE], fetch, window=ReadAhead(most=1), begin=begin)
    assert [row for _, row in await read_all(reader)] == list(range(30, 61))


async def test_list_refused_behind_a_cursor_costs_the_next_one_nothing() -> None:
    lists = Lists(60, 30)
    lists.fail["1", 3] = SourceRejectedError("no", status=403)
    reader = lists.reader(begin=BEHIND_24, skip_refused=True, accepted=True)
    assert await read_all(reader) == [("2", row) for row in range(30)]


async def test_page_refused_as_it_is_read_again_is_a_failure() -> None:
    lists = Lists(60)
    lists.rows["1"] = drawn(*range(10, 61))
    lists.fail["1", 2] = SourceRejectedError("no longer", status=403)
    with pytest.raises(SourceRejectedError, match="no longer"):
        await read_all(lists.reader(begin=BEHIND_24, skip_refused=True, accepted=True))


async def test_list_that_lost_thousands_refuses_its_cursor() -> None:
    begin = Position(p=1000, n=0, s=10, i=9990, c=60_000)

    async def fetch(_: Target, number: int) -> Page:
        return Page(number=number, rows=drawn(-number), total=10_000, per_page=10)

    with pytest.raises(InvalidRequestError, match="start again"):
        await read_all(ListReader([HERE], fetch, window=ReadAhead(), begin=begin))


@pytest.mark.parametrize("told", [None, 100])
async def test_cursor_counts_in_pages_as_they_are(told: int | None) -> None:
    """A server may hold to a smaller page than it was asked for, and not even say so."""
    rows = drawn(*range(1, 251))

    async def fetch(_: Target, number: int) -> Page:
        part = rows[(number - 1) * 50 : number * 50]
        return Page(number=number, rows=part, total=len(rows), per_page=told)

    async with ListReader([HERE], fetch, window=ReadAhead()) as reader:
        item = await reader.read()
    assert item is not None
    assert item[1].unit == 50
    rows = drawn(*range(20, 110), *range(111, 251))
    begin = Position(p=3, n=10, s=100, i=110, c=250, u=50)
    found = await read_all(ListReader([HERE], fetch, window=ReadAhead(), begin=begin))
    assert [row for _, row in found] == list(range(111, 251))
