"""Answers what somebody wants to read."""

from dataclasses import replace
from typing import Final

from cloud_connect.errors import InvalidRequestError, SourceRejectedError
from cloud_connect_agent.procore.catalog import Catalog
from cloud_connect_agent.procore.cursor import Position, read_cursor
from cloud_connect_agent.procore.fetching import Fetcher
from cloud_connect_agent.procore.observed import ObservedFields
from cloud_connect_agent.procore.planner import ReadPlan, Target, plan_read, unseen_rows
from cloud_connect_agent.procore.reading import Reading
from cloud_connect_agent.procore.rows import Row
from cloud_connect_agent.procore.rowstream import Batches, RowStream
from cloud_connect_agent.procore.selection import Selection
from cloud_connect_agent.procore.sightings import Sightings
from cloud_connect_agent.procore.sorting import Proofs, sorted_rows
from cloud_connect_agent.procore.streamed import StreamedRows
from cloud_connect_agent.procore.values import Calendar

__all__ = ["Answering"]

_SAFE_PAGE: Final = 10  # records of a page that no list refuses: the smallest default


class Answering:
    """Answers selections of one catalogue."""

    def __init__(self, catalog: Catalog, observed: ObservedFields) -> None:
        self._catalog: Final = catalog
        self._observed: Final = observed
        self._sightings: Final = Sightings()
        self._proofs: Final = Proofs()

    async def answer(self, selection: Selection, fetcher: Fetcher, calendar: Calendar) -> Batches:
        """Begin an answer: when this returns, its first page is there and its names are known.

        Raises:
            InvalidRequestError: If it cannot be given; the message says why.
        """
        plan = plan_read(selection, fetcher.source, calendar)
        position = read_cursor(selection, fetcher.source)
        targets = await self.targets(plan, fetcher, calendar)
        if position is not None and position.keys is None:
            targets = _from(position, targets)
            plan = replace(plan, per_page=position.per_page)
        try:
            return await self._begun(plan, position, targets, fetcher)
        except SourceRejectedError as refused:
            if plan.per_page <= _SAFE_PAGE or "per_page" not in refused.message:
                raise
            # Procore is said to cut what is too large; where it refuses it, less is asked for.
            self._sightings.note("procore_page_size_refused", resource=selection.resource.name)
            plan = replace(plan, per_page=_SAFE_PAGE)
            position = position and position.in_pages_of(_SAFE_PAGE)
            return await self._begun(plan, position, targets, fetcher)

    async def _begun(
        self,
        plan: ReadPlan,
        position: Position | None,
        targets: tuple[Target, ...],
        fetcher: Fetcher,
    ) -> Batches:
        reading = Reading(
            plan,
            fetcher,
            self._observed,
            self._sightings,
            targets=targets,
            skip_refused=plan.everywhere,
            accepted=position is not None,
            begin=position if position is not None and position.keys is None else None,
        )
        await reading.__aenter__()
        try:
            if plan.selection.order:
                rows = await sorted_rows(reading, position, fetcher.source, self._proofs)
                await reading.aclose()
                return rows
            streamed = StreamedRows(reading, position, fetcher.source, lists=len(targets))
            await streamed.begin()
        except BaseException:
            await reading.aclose()
            raise
        return streamed

    async def records(
        self, selection: Selection, fetcher: Fetcher, calendar: Calendar
    ) -> list[Row]:
        """Read all that a selection finds and that can be written, up to its limit.

        Of a table whose records Procore does not show, those whose ids are given count as found.
        """
        unseen = unseen_rows(selection, fetcher.source, calendar)
        if unseen is not None:
            return unseen
        async with RowStream(await self.answer(selection, fetcher, calendar)) as stream:
            return [row async for row in stream if "id" in row or selection.resource.single]

    async def targets(
        self, plan: ReadPlan, fetcher: Fetcher, calendar: Calendar
    ) -> tuple[Target, ...]:
        """Where to read: the plan's lists, or those of all projects that the grant sees."""
        targets = plan.targets
        if plan.everywhere:
            projects = await self._projects(fetcher, calendar)
            targets = tuple({"project_id": one, **rest} for one in projects for rest in targets)
        if plan.ids is not None:
            targets = tuple({**target, "id": one} for target in targets for one in plan.ids)
        return targets

    async def _projects(self, fetcher: Fetcher, calendar: Calendar) -> list[str]:
        """The ids of all projects that the grant sees."""
        resource = self._catalog.resource("projects")
        listed = await self.answer(Selection(resource=resource), fetcher, calendar)
        async with RowStream(listed) as stream:
            return [str(row["id"]) async for row in stream if isinstance(row.get("id"), int)]


def _from(position: Position, targets: tuple[Target, ...]) -> tuple[Target, ...]:
    """Leave out the lists that an earlier answer has been through."""
    for place, target in enumerate(targets):
        if dict(target) == position.target:
            return targets[place:]
    raise InvalidRequestError("The list that “paging” points into is gone; start again without it.")
