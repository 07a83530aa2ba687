import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cloud_connect.errors import SourceRejectedError, SourceUnavailableError
from cloud_connect_agent.procore.cursor import Position
from cloud_connect_agent.procore.messages import ApiResponse
from cloud_connect_agent.procore.pager import ListReader
from cloud_connect_agent.procore.pages import Page, Unread, read_page
from cloud_connect_agent.procore.planner import Target
from cloud_connect_agent.procore.window import ReadAhead
from doubles.paged_lists import HERE, Lists, read_all

if TYPE_CHECKING:
    from cloud_connect_agent.procore.rows import Row


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 95, 400])
@pytest.mark.parametrize(
    ("total", "link"), [(True, True), (True, False), (False, True), (False, False)]
)
async def test_list_is_read_whole_and_in_order(size: int, *, total: bool, link: bool) -> None:
    lists = Lists(size, total=total, link=link)
    assert await read_all(lists.reader()) == [("1", row) for row in range(size)]
    assert lists.most_running <= 32


async def test_page_size_that_is_only_echoed_loses_no_rows() -> None:
    lists = Lists(95, link=False)

    async def fetch(target: Target, number: int) -> Page:
        return replace(await lists.fetch(target, number), per_page=50)

    reader = ListReader([HERE], fetch, window=ReadAhead())
    assert await read_all(reader) == [("1", row) for row in range(95)]
    lists.asked.clear()
    resumed = ListReader([HERE], fetch, window=ReadAhead(), begin=Position(p=10))
    assert await read_all(resumed) == [("1", row) for row in range(90, 95)]
    assert len(lists.asked) == 1


async def test_records_without_ids_that_come_again_end_a_list_that_tells_no_end() -> None:
    pages: list[list[Row]] = [[{"name": "a"}, {"name": "a"}], [{"name": "b"}]]
    asked = []

    async def fetch(_: Target, number: int) -> Page:
        asked.append(number)
        return Page(number=number, rows=list(pages[min(number, 2) - 1]))

    async with ListReader([HERE], fetch, window=ReadAhead()) as reader:
        names = []
        while (item := await reader.read()) is not None:
            names += [row["name"] for row in item[1].rows]
    assert names == ["a", "a", "b"]
    assert asked == [1, 2, 3]


async def test_pages_are_read_at_once_but_delivered_in_order() -> None:
    lists = Lists(400)
    lists.wait = lambda _target, page: 0.03 if page % 2 else 0.001
    assert await read_all(lists.reader()) == [("1", row) for row in range(400)]
    assert lists.most_running == 32


async def test_reading_many_pages_takes_a_fraction_of_their_time() -> None:
    lists = Lists(1000)
    lists.wait = lambda _target, _page: 0.05
    started = time.perf_counter()
    await read_all(lists.reader())
    assert time.perf_counter() - started < 100 * 0.05 / 8


async def test_first_page_does_not_wait_for_the_others() -> None:
    lists = Lists(400)
    lists.wait = lambda _target, page: 0.0 if page == 1 else 60.0
    async with lists.reader() as reader:
        item = await reader.read()
        assert item is not None
        assert item[1].number == 1
        await asyncio.sleep(0.01)
        assert len(lists.asked) == 33
        await reader.aclose()
    assert lists.cancelled == 32
    assert lists.running == 0


async def test_nothing_is_read_ahead_of_a_taker_that_stops() -> None:
    lists = Lists(10_000)
    async with lists.reader() as reader:
        for _ in range(3):
            await reader.read()
        await asyncio.sleep(0.01)
        assert len(lists.asked) <= 3 + 32


async def test_without_a_total_pages_follow_one_another() -> None:
    lists = Lists(50, total=False)
    await read_all(lists.reader())
    assert lists.most_running == 1
    assert [page for _, page in lists.asked] == [1, 2, 3, 4, 5]


async def test_short_page_does_not_end_a_list() -> None:
    pages = {1: [1, 2], 2: [3], 3: [4, 5], 4: []}

    async def fetch(_: Target, number: int) -> Page:
        return Page(number=number, rows=[{"id": row} for row in pages[number]])

    reader = ListReader([HERE], fetch, window=ReadAhead())
    assert await read_all(reader) == [("1", row) for row in range(1, 6)]


async def test_clamped_page_size_is_procores_not_ours() -> None:
    async def fetch(_: Target, number: int) -> Page:
        rows: list[Row] = [{"id": row} for row in range((number - 1) * 3, min(number * 3, 10))]
        return Page(number=number, rows=rows, total=10)  # without Per-Page and Link

    reader = ListReader([HERE], fetch, window=ReadAhead())
    assert await read_all(reader) == [("1", row) for row in range(10)]


@pytest.mark.parametrize("identity", ["id", "schedule_id"])
async def test_records_that_shift_come_once(identity: str) -> None:
    pages = {1: [0, 1, 2], 2: [2, 3, 4], 3: [4, 5]}

    async def fetch(_: Target, number: int) -> Page:
        rows: list[Row] = [{identity: row} for row in pages[number]]
        return Page(number=number, rows=rows, total=8, per_page=3, has_next=number < 3)

    reader = ListReader([HERE], fetch, window=ReadAhead(), identity=identity)
    assert await read_all(reader, identity) == [("1", row) for row in range(6)]


async def test_records_gained_meanwhile_are_read_too() -> None:
    async def fetch(_: Target, number: int) -> Page:
        rows: list[Row] = [{"id": number * 10 + row} for row in range(3)]
        return Page(number=number, rows=rows, total=6, per_page=3, has_next=number < 4)

    reader = ListReader([HERE], fetch, window=ReadAhead())
    assert len(await read_all(reader)) == 12


async def test_records_lost_meanwhile_end_the_list_early() -> None:
    lists = Lists(35)
    lists.rows["1"] = lists.rows["1"][:15]
    asked = 0

    async def fetch(target: Target, number: int) -> Page:
        nonlocal asked
        asked += 1
        page = await lists.fetch(target, number)
        return Page(
            number=number, rows=page.rows, total=10_000, per_page=10, has_next=page.has_next
        )

    reader = ListReader([HERE], fetch, window=ReadAhead())
    assert len(await read_all(reader)) == 15
    assert asked <= 34


async def test_list_that_ignores_its_page_number_is_not_read_for_ever() -> None:
    async def fetch(_: Target, number: int) -> Page:
        return Page(number=number, rows=[{"id": 1}, {"id": 2}])

    reader = ListReader([HERE], fetch, window=ReadAhead())
    assert len(await read_all(reader)) == 2


async def test_only_so_many_ids_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud_connect_agent.procore.recent._REMEMBERED_IDS", 5)

    async def fetch(_: Target, number: int) -> Page:
        rows: list[Row] = [{"id": row} for row in (*range(6), 0)]
        return Page(number=number, rows=rows, total=7)

    async with ListReader([HERE], fetch, window=ReadAhead()) as reader:
        item = await reader.read()
    assert item is not None
    assert [row["id"] for row in item[1].rows] == [0, 1, 2, 3, 4, 5, 0]


async def test_records_without_an_id_are_all_kept() -> None:
    async def fetch(_: Target, number: int) -> Page:
        return Page(number=number, rows=[{"name": "x"}] * 2, total=2)

    async with ListReader([HERE], fetch, window=ReadAhead()) as reader:
        item = await reader.read()
    assert item is not None
    assert len(item[1].rows) == 2


async def test_lists_are_delivered_one_after_the_other_and_begun_ahead() -> None:
    lists = Lists(25, 0, 13, 40)
    lists.wait = lambda _target, _page: 0.005
    expected = [("1", row) for row in range(25)]
    expected += [("3", row) for row in range(13)] + [("4", row) for row in range(40)]
    assert await read_all(lists.reader()) == expected
    assert lists.asked[:4] == [("1", 1), ("2", 1), ("3", 1), ("4", 1)]


async def test_only_some_lists_are_begun_ahead() -> None:
    lists = Lists(*[5] * 40)
    async with lists.reader() as reader:
        await reader.read()
        await asyncio.sleep(0.001)
        assert len(lists.asked) <= 11


async def test_unpaged_list_is_one_request() -> None:
    lists = Lists(25)
    async with lists.reader(paged=False) as reader:
        assert await reader.read() is not None
        assert not reader.list_has_more
        assert await reader.read() is None
    assert lists.asked == [("1", 1)]


async def test_reading_may_begin_in_the_middle() -> None:
    lists = Lists(35, 12)
    found = await read_all(lists.reader(begin=Position(p=3)))
    assert found == [("1", row) for row in range(20, 35)] + [("2", row) for row in range(12)]


async def test_page_that_fails_ends_the_reading_when_it_is_its_turn() -> None:
    lists = Lists(50)
    lists.fail["1", 3] = SourceUnavailableError("down")
    async with lists.reader() as reader:
        assert await reader.read() is not None
        assert await reader.read() is not None
        with pytest.raises(SourceUnavailableError, match="down"):
            await reader.read()
    assert lists.running == 0


async def test_refused_lists_are_passed_over_unless_all_are() -> None:
    lists = Lists(5, 5, 5)
    lists.fail["1", 1] = SourceRejectedError("no", status=403)
    lists.fail["3", 1] = SourceRejectedError("gone", status=404)
    assert await read_all(lists.reader(skip_refused=True)) == [("2", row) for row in range(5)]
    lists.fail["2", 1] = SourceRejectedError("never", status=403)
    with pytest.raises(SourceRejectedError, match="no"):
        await read_all(lists.reader(skip_refused=True))
    with pytest.raises(SourceRejectedError, match="no"):
        await read_all(lists.reader())


async def test_app_that_is_disconnected_midway_cuts_no_answer_short() -> None:
    """The lists that are left were not refused one by one: the company is gone."""
    lists = Lists(5, 5, 5)
    lists.fail["2", 1] = SourceRejectedError(
        "Procore answered 403: App is not connected to this company.", status=403
    )
    with pytest.raises(SourceRejectedError, match="not connected"):
        await read_all(lists.reader(skip_refused=True))


async def test_lists_that_are_left_may_all_refuse_once_another_did_not() -> None:
    lists = Lists(5, 5)
    for name in ("1", "2"):
        lists.fail[name, 1] = SourceRejectedError("no", status=403)
    assert await read_all(lists.reader(skip_refused=True, accepted=True)) == []


async def test_records_that_come_in_front_end_no_list() -> None:
    """A page that holds what came before is the last one only if Procore counts no more."""
    lists = Lists(20)

    async def sync_in_front(target: Target, number: int) -> Page:
        if number == 2 and len(lists.rows["1"]) == 20:
            front: list[Row] = [{"id": 100 + new} for new in range(10)]
            lists.rows["1"] = front + lists.rows["1"]
        return await lists.fetch(target, number)

    reader = ListReader([HERE], sync_in_front, window=ReadAhead())
    assert [row for _, row in await read_all(reader)] == list(range(20))


async def test_a_page_is_decoded_when_it_is_its_turn() -> None:
    opened: list[int] = []

    async def fetch(_: Target, number: int) -> Unread:
        def unread() -> Page:
            opened.append(number)
            if number == 3:
                raise SourceUnavailableError("Broken.")
            return Page(number=number, rows=[{"id": number}], total=3, per_page=1)

        return unread

    async with ListReader([{}], fetch, window=ReadAhead()) as reader:
        for number in (1, 2):
            await reader.read()
            await asyncio.sleep(0)
            assert opened == list(range(1, number + 1))
        with pytest.raises(SourceUnavailableError, match="Broken"):
            await reader.read()


async def test_list_refused_in_its_middle_is_a_failure() -> None:
    lists = Lists(25, 5)
    lists.fail["1", 2] = SourceRejectedError("no longer", status=403)
    with pytest.raises(SourceRejectedError, match="no longer"):
        await read_all(lists.reader(skip_refused=True))


async def test_other_failures_are_never_passed_over() -> None:
    lists = Lists(5, 5)
    lists.fail["1", 1] = SourceRejectedError("bad", status=400)
    with pytest.raises(SourceRejectedError, match="bad"):
        await read_all(lists.reader(skip_refused=True))


async def test_cancelled_reader_leaves_no_task_behind() -> None:
    lists = Lists(400)
    lists.wait = lambda _target, page: 0.0 if page == 1 else 60.0

    async def read() -> None:
        async with lists.reader() as reader:
            while await reader.read() is not None:
                pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert lists.running == 0


async def test_reader_is_used_inside_its_lifetime() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await Lists(5).reader().read()


async def test_next_list_and_what_is_left_are_told() -> None:
    lists = Lists(15, 5)
    async with lists.reader() as reader:
        told = []
        while await reader.read() is not None:
            told.append((reader.list_has_more, reader.next_target))
    second = {"project_id": "2"}
    assert told == [(True, second), (False, second), (False, None)]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, (None, None, None)),
        ({"total": "7", "per-page": "2", "link": ""}, (7, 2, False)),
        ({"total": "many", "per-page": "-1"}, (None, None, None)),
        (
            {"link": '<https://x/?page=2>; rel="next", <https://x/?page=9>; rel="last"'},
            (None, None, True),
        ),
        ({"link": "<https://x/?page=1>; rel=prev"}, (None, None, False)),
        ({"link": "<https://x/?page=1>; rel=next"}, (None, None, True)),
    ],
)
def test_headers_tell_how_a_list_goes_on(
    headers: dict[str, str], expected: tuple[int | None, int | None, bool | None]
) -> None:
    page = read_page(ApiResponse(status=200, headers=headers, json=[{"id": 1}]), number=1, rule="")
    assert (page.total, page.per_page, page.has_next) == expected
    assert page.rows == [{"id": 1}]
