"""A Procore that lists: it really applies the filters, the order and the pages that it is sent.

It knows nothing of the agent's catalogue: what a parameter means is told by its form, as in
Procore's reference.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cloud_connect.calls import Source
from cloud_connect.errors import SourceRejectedError
from cloud_connect_agent.procore.messages import ApiRequest, ApiResponse
from doubles.plain_reading import Row

__all__ = ["ListingProcore"]

_FILTER = re.compile(r"filters\[(?P<field>\w+)\](?P<form>\[\]|\[gt\])?")


@dataclass
class ListingProcore:
    """Lists by path.

    Attributes:
        size: The greatest page.
        wrap: What a page of rows looks like.
        deaf: Whether filters are ignored; deaf_to_order the order likewise.
        link: Whether answers carry ``Link``; total likewise.
        blanks_first: Where rows without a value stand in an order.
    """

    lists: Mapping[str, list[Row]]
    size: int = 100
    wrap: Callable[[list[Row]], object] = list
    deaf: bool = False
    deaf_to_order: bool = False
    link: bool = True
    total: bool = True
    blanks_first: bool = False
    requests: list[ApiRequest] = field(default_factory=list)

    async def request(
        self, request: ApiRequest, *, source: Source, deadline: float, interactive: bool = True
    ) -> ApiResponse:
        del source, deadline, interactive
        self.requests.append(request)
        await asyncio.sleep(0)
        path, _, last = request.path.rpartition("/")
        if request.path in self.lists:
            return self._page(self.lists[request.path], request)
        for row in self.lists.get(path, ()):
            if str(row["id"]) == last:
                body = {"data": row} if "/v2" in path else row
                return ApiResponse(status=200, headers={}, json=body)
        raise SourceRejectedError("Procore answered 404: Not found.", status=404)

    def _page(self, rows: list[Row], request: ApiRequest) -> ApiResponse:
        wrap = list if request.path.endswith("/projects") else self.wrap
        query = dict(request.query)
        rows = [row for row in rows if self.deaf or _passes(row, request)]
        rows = self._sorted(rows, query)
        number, size = int(query["page"]), min(self.size, int(query["per_page"]))
        headers = {}
        if self.total:
            headers.update({"total": str(len(rows)), "per-page": str(size)})
        if self.link:
            more = number * size < len(rows)
            headers["link"] = '<https://elsewhere/>; rel="next"' if more else ""
        part = [dict(row) for row in rows[(number - 1) * size : number * size]]
        return ApiResponse(status=200, headers=headers, json=wrap(part))

    def _sorted(self, rows: list[Row], query: Mapping[str, str]) -> list[Row]:
        name = query.get("sort", query.get("sort[attribute]", ""))
        down = name.startswith("-") or query.get("sort[direction]") == "desc"
        name = name.removeprefix("-")
        if not name or self.deaf_to_order:
            return rows
        blank = [row for row in rows if row[name] is None]
        # Equals in some order of Procore's own.
        rest = [row for row in reversed(rows) if row[name] is not None]
        rest.sort(key=lambda row: _comparable(row[name]), reverse=down)
        return [*blank, *rest] if self.blanks_first else [*rest, *blank]


def _comparable(value: object) -> tuple[int, str]:
    return (value, "") if isinstance(value, int) else (0, str(value))


def _passes(row: Row, request: ApiRequest) -> bool:
    chosen: dict[str, list[str]] = {}
    for name, value in request.query:
        match = _FILTER.fullmatch(name)
        if match is None or match["field"] not in row:
            continue  # what Procore does not know it ignores
        own = "" if row[match["field"]] is None else str(row[match["field"]])
        if match["form"] == "[]":
            chosen.setdefault(match["field"], []).append(value)
        elif match["form"] == "[gt]":
            if not own > value:
                return False
        elif "..." in value:
            first, _, last = value.partition("...")
            if not first <= own <= last:
                return False
        elif own != value:
            return False
    return all(str(row[name]) in values for name, values in chosen.items())
