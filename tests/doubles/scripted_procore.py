"""A Procore in memory, behind the client's ``request``: lists in pages, records, a log."""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from cloud_connect.calls import Environment, Source
from cloud_connect.errors import CloudConnectError, SourceRejectedError
from cloud_connect_agent.procore.messages import ApiRequest, ApiResponse

__all__ = ["COMPANY", "PROJECT", "ScriptedProcore", "source"]

COMPANY = 4242
PROJECT = 5001

_ONE = re.compile(r"(?P<list>.+)/(?P<id>\d+)")


def source(*, project: int | None = PROJECT) -> Source:
    return Source(company_id=COMPANY, environment=Environment.LIVE, project_id=project)


@dataclass
class ScriptedProcore:
    """Tables by list path, with ``?project_id=`` behind it where Procore takes it so.

    Attributes:
        most: The greatest page size; more is clamped.
        link: Whether answers carry ``Link``; total, per_page likewise.
        latency: Seconds before an answer.
        failures: Called before an answer; may return an error to raise.
        answers: Bodies by method and path, instead of what the tables hold.
    """

    tables: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    most: int = 100
    link: bool = True
    total: bool = True
    per_page: bool = True
    latency: float = 0.0
    failures: Callable[[ApiRequest], CloudConnectError | None] = lambda _: None
    answers: dict[tuple[str, str], object] = field(default_factory=dict)
    requests: list[ApiRequest] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    cancelled: int = 0

    async def request(
        self, request: ApiRequest, *, source: Source, deadline: float, interactive: bool = True
    ) -> ApiResponse:
        del source, interactive
        self.requests.append(request)
        self.deadlines.append(deadline)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(self.latency)
            error = self.failures(request)
            if error is not None:
                raise error
            return self._answer(request)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    @property
    def asked(self) -> list[str]:
        """Method, path and query of every request, readable."""
        return [
            f"{r.method} {r.path}" + "".join(f" {name}={value}" for name, value in r.query)
            for r in self.requests
        ]

    @property
    def written(self) -> list[ApiRequest]:
        return [request for request in self.requests if request.writes]

    def _answer(self, request: ApiRequest) -> ApiResponse:
        made = self.answers.get((request.method, request.path))
        if made is not None:
            return ApiResponse(status=200, headers={}, json=made)
        query = dict(request.query)
        if request.method == "DELETE":
            return ApiResponse(status=204, headers={})
        if request.method == "POST":
            return ApiResponse(status=201, headers={}, json={"id": 999, **_inside(request.json)})
        one = _ONE.fullmatch(request.path)
        if request.method == "PATCH" and one:
            return ApiResponse(
                status=200, headers={}, json={"id": int(one["id"]), **_inside(request.json)}
            )
        rows = self.tables.get(_key(request.path, query))
        if rows is not None:
            return self._page(rows, query)
        if one:
            for row in self.tables.get(_key(one["list"], query), ()):
                if str(row["id"]) == one["id"]:
                    return ApiResponse(status=200, headers={}, json=dict(row))
        raise SourceRejectedError(
            "Procore answered 404: Resource not found.",
            status=404,
            body={"message": "Resource not found."},
        )

    def _page(self, rows: list[dict[str, object]], query: Mapping[str, str]) -> ApiResponse:
        page, size = int(query.get("page", 1)), min(self.most, int(query.get("per_page", 100)))
        part = [dict(row) for row in rows[(page - 1) * size : page * size]]
        headers = {}
        if self.total:
            headers["total"] = str(len(rows))
        if self.per_page:
            headers["per-page"] = str(size)
        if self.link:
            more = page * size < len(rows)
            headers["link"] = f'<https://elsewhere/?page={page + 1}>; rel="next"' if more else ""
        return ApiResponse(status=200, headers=headers, json=part)


def _key(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?project_id={query['project_id']}" if "project_id" in query else path


def _inside(body: object) -> dict[str, object]:
    """What stands in a body's envelope."""
    if not isinstance(body, dict):
        return {}
    inner: Iterable[object] = (value for value in body.values() if isinstance(value, dict))
    found = next(iter(inner), body)
    return dict(found) if isinstance(found, dict) else {}
