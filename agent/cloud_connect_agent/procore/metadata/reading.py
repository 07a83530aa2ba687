"""Asks Procore for what a company defines itself; whatever fails leaves the rest as it is."""

import asyncio
from dataclasses import replace
from typing import Final

import structlog

from cloud_connect.errors import (
    CloudConnectError,
    SourceRejectedError,
    SourceUnavailableError,
)
from cloud_connect_agent.procore.fetching import Fetcher
from cloud_connect_agent.procore.messages import ApiRequest
from cloud_connect_agent.procore.metadata.definitions import CompanyFields, company_fields
from cloud_connect_agent.procore.pager import ListReader
from cloud_connect_agent.procore.pages import Page, read_page
from cloud_connect_agent.procore.planner import Target
from cloud_connect_agent.procore.rows import Row, is_answer
from cloud_connect_agent.procore.window import ReadAhead

__all__ = ["read_company_fields", "read_project_fields"]

log = structlog.get_logger(__name__)

_FIELD_SETS: Final = "/rest/v1.0/companies/{}/configurable_field_sets"
_PROJECT_SETS: Final = "/rest/v1.0/projects/{}/configurable_field_sets"
_DEFINITIONS: Final = "/rest/v1.1/companies/{}/custom_field_definitions"
_UNWRAP: Final = "data"  # where the second generation has a list; the first answers it bare
_PER_PAGE: Final = 100
_ENOUGH: Final = 1_000  # items of each list: more field sets than anybody oversees
_MAX_PAGES: Final = 40  # of each list, where Procore makes them smaller than asked for
_AHEAD: Final = 4  # pages read at once
_SECONDS: Final = 10.0  # a tree without custom fields is better than none


async def read_company_fields(fetcher: Fetcher, names: frozenset[str]) -> CompanyFields | None:
    """Read a company's custom fields and field sets.

    Args:
        names: All tables that there are.

    Returns:
        ``None`` if that could not be found out now.
    """
    company = fetcher.source.company_id
    try:
        async with asyncio.timeout(_SECONDS), asyncio.TaskGroup() as tasks:
            sets = tasks.create_task(
                _listed(fetcher, _FIELD_SETS.format(company), (("include_lov_entries", "false"),)),
                name="field-sets",
            )
            definitions = tasks.create_task(
                _listed(fetcher, _DEFINITIONS.format(company)), name="custom-field-definitions"
            )
    except TimeoutError:
        log.info("company_fields_not_read", company_id=company, reason="Procore took too long.")
        return None
    found = sets.result()
    if found is None:
        return None
    items, whole = found
    defined, all_defined = definitions.result() or (None, False)
    fields = company_fields(items, defined if all_defined else None, names)
    return fields if whole else replace(fields, covered=frozenset())


async def read_project_fields(
    fetcher: Fetcher, project_id: int, names: frozenset[str]
) -> CompanyFields | None:
    """Read the field sets that hold in one project, those that nobody configured included.

    Args:
        names: All tables that there are.

    Returns:
        ``None`` if that could not be found out now.
    """
    query = (("include_lov_entries", "false"), ("include_default_configurable_field_sets", "true"))
    found = None
    try:
        async with asyncio.timeout(_SECONDS):
            found = await _listed(fetcher, _PROJECT_SETS.format(project_id), query)
    except TimeoutError:
        log.info("project_fields_not_read", project_id=project_id)
    if found is None or not found[1]:
        return None
    return company_fields(found[0], None, names)


async def _listed(
    fetcher: Fetcher, path: str, query: tuple[tuple[str, str], ...] = ()
) -> tuple[list[Row], bool] | None:
    """The items of a list, and whether they are all; ``None`` if there are none to be had."""

    async def page_of(_: Target, number: int) -> Page:
        place = (("page", str(number)), ("per_page", str(_PER_PAGE)))
        response = await fetcher.send(ApiRequest(method="GET", path=path, query=(*query, *place)))
        if not is_answer(response.api_json(), _UNWRAP, lambda _: False):
            raise SourceUnavailableError("Procore's answer is no list of definitions.")
        return read_page(response, number=number, rule=_UNWRAP)

    items: list[Row] = []
    total: int | None = None
    pages = 0
    window = ReadAhead(cautious=True, most=_AHEAD)
    reader = ListReader([{}], page_of, window=window, enough=_ENOUGH)
    try:
        async with reader:
            while (found := await reader.read()) is not None:
                _, page = found
                pages += 1
                items += page.rows
                total = page.total if pages == 1 else total
                if (len(items) >= _ENOUGH or pages == _MAX_PAGES) and reader.list_has_more:
                    return items, False
    except CloudConnectError as exc:
        # Not every account may see them, and not every company has them.
        status = exc.status if isinstance(exc, SourceRejectedError) else None
        log.info("company_fields_not_read", path=path, status=status, code=exc.code.value)
        return (items, False) if pages else None
    return items, total is None or len(items) >= total
