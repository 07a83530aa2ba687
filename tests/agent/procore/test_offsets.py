"""What a list's start counts is found out, and every record is read once."""

import pytest

from cloud_connect_agent.procore.offsets import Counting, OffsetPages
from cloud_connect_agent.procore.pages import Page
from cloud_connect_agent.procore.rows import Row

SIZE = 3


class Deliveries:
    """A list that begins where it is told, in the way that one of Procore's might."""

    def __init__(self, counting: Counting, count: int, *, identity: str = "event_id") -> None:
        self.counting = counting
        self.rows: list[Row] = [{identity: 500 + 7 * place} for place in range(count)]
        self.identity = identity
        self.starts: list[int] = []

    async def fetch(self, start: int) -> Page:
        self.starts.append(start)
        ids = [row.get(self.identity) for row in self.rows]
        first = {
            Counting.IDS: sum(1 for one in ids if isinstance(one, int) and one <= start),
            Counting.RECORDS: start,
            Counting.FROM_ZERO: start * SIZE,
            Counting.FROM_ONE: max(0, start - 1) * SIZE,
        }[self.counting]
        rows = [dict(row) for row in self.rows[first : first + SIZE]]
        return Page(number=start, rows=rows)


async def read(pages: OffsetPages, *, begin: int = 1) -> list[Row]:
    found: list[Row] = []
    for number in range(begin, begin + 20):
        page = await pages.page(number)
        assert page.number == number
        if not page.rows:
            return found
        found += [dict(row) for row in page.rows]
        for row in page.rows:
            row["hook_id"] = 7  # as the fields that a record gets on its way
    raise AssertionError("the list never ends")


@pytest.mark.parametrize("counting", Counting)
@pytest.mark.parametrize("count", [0, 1, 3, 4, 6, 8, 9])
async def test_every_record_is_read_once_whatever_the_start_counts(
    counting: Counting, count: int
) -> None:
    deliveries = Deliveries(counting, count)
    told: list[Counting] = []
    pages = OffsetPages(deliveries.fetch, told.append, identity="event_id")
    assert await read(pages) == deliveries.rows
    # With one page there is nothing to tell the ways of counting apart by.
    assert told == [counting] if count > SIZE else len(told) <= 1


@pytest.mark.parametrize("counting", Counting)
async def test_reading_goes_on_at_a_later_page(counting: Counting) -> None:
    deliveries = Deliveries(counting, 8)
    pages = OffsetPages(deliveries.fetch, lambda _: None, identity="event_id")
    assert await read(pages, begin=3) == deliveries.rows[6:]


async def test_records_without_ids_are_told_apart_by_what_they_hold() -> None:
    deliveries = Deliveries(Counting.RECORDS, 8, identity="outcome")
    pages = OffsetPages(deliveries.fetch, lambda _: None, identity="event_id")
    assert await read(pages) == deliveries.rows


async def test_page_behind_the_last_id_costs_one_request() -> None:
    deliveries = Deliveries(Counting.IDS, 9)
    await read(OffsetPages(deliveries.fetch, lambda _: None, identity="event_id"))
    assert deliveries.starts == [0, 514, 535, 556]
