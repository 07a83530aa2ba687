"""Reads what a plan selects: pages of records with the matching ones marked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from cloud_connect.calls import Operation
from cloud_connect.errors import InvalidRequestError, SourceRejectedError
from cloud_connect_agent.procore.fetching import Fetcher
from cloud_connect_agent.procore.observed import ObservedFields
from cloud_connect_agent.procore.pager import ListReader, Page, read_page
from cloud_connect_agent.procore.planner import (
    ReadPlan,
    Target,
    page_request,
    record_request,
    scoped,
)
from cloud_connect_agent.procore.rows import Path, Row, unwrap
from cloud_connect_agent.procore.selection import READABLE
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
        first_page: Where to begin in the first list.
    """

    def __init__(
        self,
        plan: ReadPlan,
        fetcher: Fetcher,
        observed: ObservedFields,
        *,
        targets: Sequence[Target],
        skip_refused: bool = False,
        first_page: int = 1,
    ) -> None:
        self.plan: Final = plan
        self._fetcher: Final = fetcher
        self._observed: Final = observed
        self._answering = False
        self._checked = False
        limited = plan.selection.limit is not None and not plan.selection.order
        self._reader: Final = ListReader(
            targets,
            self._fetch,
            window=ReadAhead(cautious=limited),
            first_page=first_page,
            paged=plan.paged,
            skip_refused=skip_refused,
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
        self._observed.note(self._fetcher.source, resource, rows)
        self._check_names(rows)
        matches = self.plan.matches
        hits = [place for place, row in enumerate(rows) if matches(row)]
        return Batch(target=target, page=page, rows=rows, hits=hits)

    def _check_names(self, rows: Sequence[Row]) -> None:
        """Refuse names that neither the catalogue nor a record knows, before the first row."""
        if self._checked:
            return
        self._checked = True
        selection = self.plan.selection
        for name in selection.unknown:
            path = Path(name)
            if self._observed.knows(self._fetcher.source, selection.resource, path.root):
                continue
            found = {path.exists_in(row) for row in rows}
            nests = path.root != name and selection.resource.knows(path.root, READABLE)
            if True not in found and (False in found or not nests):
                raise InvalidRequestError(f"{selection.resource.text} have no field “{name}”.")

    async def _fetch(self, target: Target, number: int) -> Page:
        plan, source = self.plan, self._fetcher.source
        resource = plan.selection.resource
        if _RECORD not in target:
            request = page_request(plan, source, target, page=number)
            response = await self._fetcher.send(request, answering=self._answering)
            return read_page(response, number=number, rule=resource.needed(Operation.LIST).unwrap)
        rule = resource.needed(Operation.GET).unwrap
        request = record_request(resource, source, target, record_id=target[_RECORD])
        try:
            response = await self._fetcher.send(request, answering=self._answering)
        except SourceRejectedError as exc:
            if exc.status != 404 or plan.selection.shown:
                raise
            return Page(number=number, rows=[])
        return Page(number=number, rows=unwrap(response.api_json(), rule))
