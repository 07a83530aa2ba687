"""Whose a project is, as Procore says: a call may not name one company and reach another's."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from cloud_connect.calls import MAX_ID, Environment, Source
from cloud_connect.errors import PolicyDeniedError, SourceRejectedError
from cloud_connect_agent.procore.messages import ApiRequest, ApiResponse

__all__ = ["ProjectBinding"]

log = structlog.get_logger(__name__)

_MAX_KNOWN: Final = 10_000  # projects
_MAX_AT_ONCE: Final = 8  # questions of one call
_BOUND_SECONDS: Final = 24 * 3600.0  # a project stays with its company
_UNBOUND_SECONDS: Final = 60.0  # but one that was not visible may have been made since

_Key = tuple[Environment, int, int]


class _Client(Protocol):
    async def request(
        self, request: ApiRequest, *, source: Source, deadline: float
    ) -> ApiResponse: ...


class ProjectBinding:
    """Asks Procore once whether a project is one of a company, and remembers the answer."""

    def __init__(self, client: _Client, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client: Final = client
        self._clock: Final = clock
        self._known: Final[OrderedDict[_Key, tuple[bool, float]]] = OrderedDict()

    async def check(
        self, environment: Environment, company_id: int, projects: Sequence[int], deadline: float
    ) -> None:
        """Refuse projects that are not the company's.

        Raises:
            PolicyDeniedError: If one is another's, or there is no such project.
            CloudConnectError: If Procore does not say.
        """
        unknown = []
        for project_id in projects:
            bound = self._remembered((environment, company_id, project_id))
            if bound is False:
                raise _refusal(project_id, company_id)
            if bound is None:
                unknown.append(project_id)
        for start in range(0, len(unknown), _MAX_AT_ONCE):
            some = unknown[start : start + _MAX_AT_ONCE]
            await self._ask_all(environment, company_id, some, deadline)

    async def _ask_all(
        self, environment: Environment, company_id: int, projects: Sequence[int], deadline: float
    ) -> None:
        if len(projects) == 1:
            await self._ask(environment, company_id, projects[0], deadline)
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                for project_id in projects:
                    tasks.create_task(
                        self._ask(environment, company_id, project_id, deadline),
                        name=f"project-{project_id}",
                    )
        except ExceptionGroup as group:
            raise group.exceptions[0] from group

    async def _ask(
        self, environment: Environment, company_id: int, project_id: int, deadline: float
    ) -> None:
        key = (environment, company_id, project_id)
        if not 0 < project_id <= MAX_ID:
            raise _refusal(project_id, company_id)
        try:
            answer = await self._client.request(
                ApiRequest(
                    method="GET",
                    path=f"/rest/v1.0/projects/{project_id}",
                    query=(("company_id", str(company_id)),),
                ),
                source=Source(company_id=company_id, environment=environment),
                deadline=deadline,
            )
        except SourceRejectedError as error:
            if error.status != 404:
                raise
            bound = False
        else:
            bound = _is_of(answer.json, company_id)
        seconds = _BOUND_SECONDS if bound else _UNBOUND_SECONDS
        self._known[key] = (bound, self._clock() + seconds)
        self._known.move_to_end(key)
        while len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)
        if not bound:
            log.warning("foreign_project_refused", company_id=company_id, project_id=project_id)
            raise _refusal(project_id, company_id)

    def _remembered(self, key: _Key) -> bool | None:
        known = self._known.get(key)
        if known is None or known[1] <= self._clock():
            return None
        self._known.move_to_end(key)
        return known[0]


def _is_of(project: object, company_id: int) -> bool:
    """Whether Procore's record of a project names no other company."""
    if not isinstance(project, dict):
        return False
    company = project.get("company")
    named = company.get("id") if isinstance(company, dict) else None
    return named is None or str(named) == str(company_id)


def _refusal(project_id: int, company_id: int) -> PolicyDeniedError:
    shown = project_id if -MAX_ID <= project_id <= MAX_ID else "of that id"
    return PolicyDeniedError(
        f"Procore knows no project {shown} of company {company_id}. (rule project-binding)"
    )
