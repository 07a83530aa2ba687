"""Reads what a plan selects: pages of records with the matching ones marked."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Self

from cloud_connect.calls import Operation
from cloud_connect.errors import (
    InvalidRequestError,
    SourceRejectedError,
    SourceUnavailableError,
)
from cloud_connect_agent.procore.catalog import Pager, Resource
from cloud_connect_agent.procore.cursor import Position
from cloud_connect_agent.procore.fetching import Fetcher
from cloud_connect_agent.procore.messages import ApiResponse
from cloud_connect_agent.procore.observed import ObservedFields
from cloud_connect_agent.procore.offsets import OffsetPages
from cloud_connect_agent.procore.pager import ListReader
from cloud_connect_agent.procore.pages import Page, Unread, read_page
from cloud_connect_agent.procore.planner import (
    ReadPlan,
    Target,
    page_request,
    record_request,
    scoped,
)
from cloud_connect_agent.procore.pushdown import ignored_filters, server_sort
from cloud_connect_agent.procore.rows import Path, Row, is_answer, unwrap
from cloud_connect_agent.procore.selection import READABLE
from cloud_connect_agent.procore.sightings import Sightings
from cloud_connect_agent.procore.window import ReadAhead

__all__ = ["Batch", "Reading"]

_RECORD: Final = "id"  # the key of a target that is one record, not a list


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One page as it came.

    Attributes:
        rows: All of its records, scope ids added.
        hits: The places in *rows* of those that meet the conditions.
    """

    target: Target
    page: Page
    rows: Sequence[Row]
    hits: Sequence[int]


class Reading:
    """A plan being carried out. Whoever opens one closes it.

    Args:
        targets: The lists, in order; in each, every record of ``plan.ids`` or all.
        skip_refused: Pass over lists that Procore refuses; we chose them, not the caller.
        accepted: An earlier answer had a list that it did not refuse.
        begin: Where an earlier answer ended in the first list.
    """

    def __init__(
        self,
        plan: ReadPlan,
        fetcher: Fetcher,
        observed: ObservedFields,
        sightings: Sightings,
        *,
        targets: Sequence[Target],
        skip_refused: bool = False,
        accepted: bool = False,
        begin: Position | None = None,
    ) -> None:
        self.plan: Final = plan
        self._fetcher: Final = fetcher
        self._observed: Final = observed
        self.sightings: Final = sightings
        self._targets: Final = targets
        self._offsets: Final[dict[tuple[tuple[str, str], ...], OffsetPages]] = {}
        self._answering = False
        self._checked = False
        limit = None if plan.selection.order else plan.selection.limit
        early = bool(plan.sort) or (limit is not None and plan.filtered)
        self._reader: Final = ListReader(
            targets,
            self._fetch,
            window=ReadAhead(cautious=early),
            begin=begin,
            paged=plan.paged,
            skip_refused=skip_refused,
            accepted=accepted,
            enough=None if plan.filtered else limit,
            page_size=plan.per_page,
            identity=plan.selection.resource.identity,
        )

    async def __aenter__(self) -> Self:
        await self._reader.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel what is being read."""
        await self._reader.aclose()

    @property
    def list_has_more(self) -> bool:
        """Whether the current list has pages left, as far as is known."""
        return self._reader.list_has_more

    @property
    def next_target(self) -> Target | None:
        """The list after the current one, if there is any."""
        return self._reader.next_target

    async def other_end(self) -> Sequence[Row]:
        """The records that stand last in the order that Procore is asked for, the last one first.

        Raises:
            CloudConnectError: What reading failed with.
        """
        back = replace(self.plan, sort=server_sort(self.plan.selection, backwards=True))
        return (await self._page(self._targets[0], 1, plan=back)).rows

    async def read(self) -> Batch | None:
        """Deliver the next page; ``None`` after the last one.

        Raises:
            InvalidRequestError: If a name used is no field of the records; it is named.
            CloudConnectError: What reading failed with.
        """
        found = await self._reader.read()
        if found is None:
            self._check_names(())
            return None
        target, page = found
        self._answering = True
        where = {name: value for name, value in target.items() if name != _RECORD}
        resource = self.plan.selection.resource
        rows = [scoped(row, resource, where) for row in page.rows]
        if self.plan.echo:
            rows = [{**self.plan.echo, **row} for row in rows]
        self._observed.note(self._fetcher.source, resource, rows)
        self._watch_filters(rows)
        self._check_names(rows)
        matches = self.plan.matches
        hits = [place for place, row in enumerate(rows) if matches(row)]
        return Batch(target=target, page=page, rows=rows, hits=hits)

    def _watch_filters(self, rows: Sequence[Row]) -> None:
        """Tell of filters that Procore ignores; the conditions are applied here anyway."""
        selection = self.plan.selection
        if self._checked:
            return
        for parameter in ignored_filters(selection.resource, selection.condition, rows):
            self.sightings.note(
                "procore_filter_ignored", resource=selection.resource.name, parameter=parameter
            )

    def _check_names(self, rows: Sequence[Row]) -> None:
        """Refuse names that neither the catalogue nor a record knows, before the first row."""
        if self._checked:
            return
        selection = self.plan.selection
        self._checked = bool(rows) or not selection.resource.dynamic
        for name in selection.unknown:
            found = {Path(name).exists_in(row) for row in rows}
            if not self._known(name, found):
                shown = rows[0] if rows else ()
                raise InvalidRequestError(selection.resource.no_field(name, beside=shown))

    def _known(self, name: str, found: AbstractSet[bool | None]) -> bool:
        """Whether a name beyond the catalogue is a field.

        Args:
            found: What the records of the first page say about it.
        """
        if True in found:
            return True
        resource, root = self.plan.selection.resource, Path(name).root
        if resource.dynamic:
            return False not in found  # without a record nobody knows the columns
        if self._observed.knows(self._fetcher.source, resource, root):
            return True
        return False not in found and root != name and resource.knows(root, READABLE)

    async def _fetch(self, target: Target, number: int) -> Page | Unread:
        if _RECORD in target:
            return await self._record(target)
        endpoint = self.plan.selection.resource.needed(Operation.LIST)
        if endpoint.pager is not Pager.OFFSET:
            return partial(self._read_page, await self._send(self.plan, target, number), number)
        return await self._pages_of(target).page(number)

    async def _send(self, plan: ReadPlan, target: Target, number: int) -> ApiResponse:
        request = page_request(plan, self._fetcher.source, target, page=number)
        ahead = replace(request, read_ahead=True)
        return await self._fetcher.send(ahead, answering=self._answering)

    async def _page(self, target: Target, number: int, *, plan: ReadPlan | None = None) -> Page:
        return self._read_page(await self._send(plan or self.plan, target, number), number)

    def _read_page(self, response: ApiResponse, number: int) -> Page:
        plan, resource = self.plan, self.plan.selection.resource
        rule = resource.needed(Operation.LIST).unwrap
        _check_shape(response, resource, rule)
        page = read_page(response, number=number, rule=rule)
        if page.per_page is not None and page.per_page < plan.per_page:
            self.sightings.note("procore_page_size_clamped", resource=resource.name)
        return page

    def _pages_of(self, target: Target) -> OffsetPages:
        resource = self.plan.selection.resource
        key = tuple(sorted(target.items()))
        if key not in self._offsets:
            self._offsets[key] = OffsetPages(
                lambda start: self._page(target, start),
                lambda found: self.sightings.note(
                    "procore_page_start_counts", resource=resource.name, counts=found.value
                ),
                identity=resource.identity,
            )
        return self._offsets[key]

    async def _record(self, target: Target) -> Page:
        plan, source, resource = self.plan, self._fetcher.source, self.plan.selection.resource
        rule = resource.needed(Operation.GET).unwrap
        request = record_request(resource, source, target, record_id=target[_RECORD])
        try:
            response = await self._fetcher.send(request, answering=self._answering)
        except SourceRejectedError as exc:
            if exc.status != 404 or plan.selection.shown:
                raise
            return Page(number=1, rows=[])
        _check_shape(response, resource, rule)
        return Page(number=1, rows=unwrap(response.api_json(), rule))


def _check_shape(response: ApiResponse, resource: Resource, rule: str) -> None:
    """Refuse an answer of another shape: what it lacks must not count as not there.

    Raises:
        SourceUnavailableError: If it is none.
    """
    if not is_answer(response.api_json(), rule, resource.shows):
        raise SourceUnavailableError(
            f"Procore's answer is not what it documents for {resource.many}."
        )
