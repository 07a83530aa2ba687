"""Lists of a source in pages of ten, which may fail, wait and change meanwhile."""

import asyncio
from typing import TYPE_CHECKING

from cloud_connect_agent.procore.pager import ListReader
from cloud_connect_agent.procore.pages import Page
from cloud_connect_agent.procore.planner import Target
from cloud_connect_agent.procore.window import ReadAhead

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloud_connect_agent.procore.rows import Row

__all__ = ["HERE", "Lists", "read_all"]

HERE = {"project_id": "1"}


class Lists:
    """Lists in pages of ten, by project."""

    def __init__(self, *sizes: int, total: bool = True, link: bool = True) -> None:
        self.rows: dict[str, list[Row]] = {
            str(number): [{"id": row} for row in range(size)]
            for number, size in enumerate(sizes, 1)
        }
        self.total = total
        self.link = link
        self.asked: list[tuple[str, int]] = []
        self.cancelled = 0
        self.running = 0
        self.most_running = 0
        self.wait: Callable[[str, int], float] = lambda _target, _page: 0.0
        self.fail: dict[tuple[str, int], Exception] = {}

    async def fetch(self, target: Target, number: int) -> Page:
        """Return a page of a project's list."""
        name = target["project_id"]
        self.asked.append((name, number))
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            await asyncio.sleep(self.wait(name, number))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if (name, number) in self.fail:
            raise self.fail[name, number]
        rows = self.rows[name]
        part = rows[(number - 1) * 10 : number * 10]
        return Page(
            number=number,
            rows=list(part),
            total=len(rows) if self.total else None,
            per_page=10 if self.total else None,
            has_next=number * 10 < len(rows) if self.link else None,
        )

    def reader(self, *targets: str, **options: object) -> ListReader:
        """Return what reads the lists of these projects, or all."""
        where = [{"project_id": name} for name in (targets or tuple(self.rows))]
        window = options.pop("window", None)
        assert window is None or isinstance(window, ReadAhead)
        return ListReader(
            where,
            self.fetch,
            window=window or ReadAhead(),
            **options,  # type: ignore[arg-type]  # the tests' own names
        )


async def read_all(reader: ListReader, identity: str = "id") -> list[tuple[str, int]]:
    """Return the project and id of each row that comes."""
    found = []
    async with reader:
        while (item := await reader.read()) is not None:
            target, page = item
            found += [(target["project_id"], int(str(row[identity]))) for row in page.rows]
    return found
