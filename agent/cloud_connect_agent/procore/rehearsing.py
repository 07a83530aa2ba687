"""Dry runs: what a write would change, told without a write."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from cloud_connect.calls import Operation, RecordParams, Source
from cloud_connect.errors import InvalidRequestError
from cloud_connect.query import Query
from cloud_connect_agent.policy import Ceiling
from cloud_connect_agent.procore.answering import Answering
from cloud_connect_agent.procore.catalog import Catalog, Direction, Resource
from cloud_connect_agent.procore.changing import (
    NOTHING,
    OPERATIONS,
    VERBS,
    checked_change,
    checked_one,
)
from cloud_connect_agent.procore.drafts import NewRecord, new_records
from cloud_connect_agent.procore.extent import MAX_CHANGED, too_many, too_many_new
from cloud_connect_agent.procore.fetching import Fetcher
from cloud_connect_agent.procore.metadata import Metadata
from cloud_connect_agent.procore.planner import scoped
from cloud_connect_agent.procore.records import write_request
from cloud_connect_agent.procore.rows import Path, Row, project
from cloud_connect_agent.procore.rowstream import FixedRows, RowStream
from cloud_connect_agent.procore.sent import asked_for, lacking, sent_record
from cloud_connect_agent.procore.values import Calendar

__all__ = ["Rehearsing"]


class Rehearsing:
    """Tells of one catalogue's writes what they would do; it has no way to do it.

    The rows are the records as they are, of a creation as they would be sent; the total is
    their number, where all were read, the message a sentence that says what would become of
    them. A query's fields and limit choose what is shown of them, never what is counted.
    """

    def __init__(self, catalog: Catalog, answering: Answering, metadata: Metadata) -> None:
        self._catalog: Final = catalog
        self._answering: Final = answering
        self._metadata: Final = metadata

    async def query(
        self, query: Query, fetcher: Fetcher, calendar: Calendar, *, ceiling: Ceiling | None
    ) -> RowStream:
        """Rehearse an insert, update or delete of the platform.

        Raises:
            InvalidRequestError: If it cannot be carried out anyway; the message says why.
            UnsupportedOperationError: If Procore has no such operation.
        """
        resource = self._catalog.resource(query.info.name)
        operation = OPERATIONS[query.action]
        self._catalog.endpoint(resource, operation)
        if operation is Operation.CREATE:
            new = new_records(resource, query, fetcher.source)
            return await self.creation(resource, new, fetcher, ceiling=ceiling, query=query)
        selection, _ = checked_change(resource, query, fetcher.source)
        selection = replace(selection, limit=MAX_CHANGED + 1)
        rows = await self._answering.records(selection, fetcher, calendar)
        verb = VERBS[operation]
        refused = too_many(resource, len(rows), verb=verb, multiple=query.multiple, ceiling=ceiling)
        more = len(rows) > MAX_CHANGED  # no further ones were read
        told = None if refused is None else refused.message
        return _told(rows, verb, told, more=more, shown=_shown(resource, query, rows))

    async def creation(
        self,
        resource: Resource,
        records: Sequence[NewRecord],
        fetcher: Fetcher,
        *,
        ceiling: Ceiling | None,
        query: Query | None = None,
    ) -> RowStream:
        """Say what would be sent for new records, and what Procore and the company ask for.

        Args:
            query: Where it comes from, if that chooses what is shown.
        """
        endpoint = self._catalog.endpoint(resource, Operation.CREATE)
        await self._metadata.refresh(fetcher)
        rows: list[Row] = []
        needed: dict[str, None] = {}
        asked: dict[str, None] = {}
        for one in records:
            needed.update(dict.fromkeys(lacking(resource, endpoint, one.record)))
            required = self._metadata.required(_place_of(one, fetcher.source), resource)
            asked.update(dict.fromkeys(asked_for(resource, required, one.record)))
            rows.append(scoped(sent_record(one.request, endpoint), resource, one.target))
        refused = too_many_new(resource, len(rows), ceiling=ceiling)
        hint = f" Procore needs {_named(needed)} of a new {resource.one}." if needed else ""
        asked = {name: None for name in asked if name not in needed}
        if asked:
            hint += f" One of the company's field sets asks for {_named(asked)} as well."
        told = None if refused is None else refused.message
        shown = rows if query is None else _shown(resource, query, rows)
        return _told(rows, "created", told, hint=hint, shown=shown)

    def check(
        self, operation: Operation, params: RecordParams, record: Mapping[str, object] | None
    ) -> None:
        """Refuse a change of one record that could not be sent.

        Raises:
            InvalidRequestError: If a field or scope id is unknown or missing; it is named.
            UnsupportedOperationError: If Procore has no such operation.
        """
        resource, target, own = checked_one(self._catalog, operation, params, record)
        write_request(
            resource, operation, params.source, target, record_id=params.record_id, record=own
        )

    def change(self, operation: Operation, row: Row) -> RowStream:
        """Say which one record would be changed or deleted."""
        return _told([row], VERBS[operation], None)


def _place_of(new: NewRecord, source: Source) -> Source:
    """The source as it is for a new record: its project's field sets hold in no other one."""
    if new.target.get("project_id") == str(source.project_id):
        return source
    return source.model_copy(update={"project_id": None})


def _shown(resource: Resource, query: Query, rows: Sequence[Row]) -> Sequence[Row]:
    """What a query's fields and limit leave of the records; which they are is always told.

    Raises:
        InvalidRequestError: If a name is no field of them; it is named.
    """
    paths = [Path(name) for name in query.fields]
    for path in paths if rows else ():
        unseen = all(path.exists_in(row) is False for row in rows)
        if unseen and not resource.knows(path.name, Direction):
            raise InvalidRequestError(resource.no_field(path.name, beside=rows[0]))
    rows = rows[: query.row_limit]
    if not paths:
        return rows
    where = ("id", *resource.scope_fields)
    return [
        {**{name: row[name] for name in where if name in row}, **project(row, paths)}
        for row in rows
    ]


def _told(
    rows: Sequence[Row],
    verb: str,
    refused: str | None,
    *,
    more: bool = False,
    hint: str = "",
    shown: Sequence[Row] | None = None,
) -> RowStream:
    count = len(rows)
    batches = FixedRows(rows if shown is None else shown, total_items=count)
    if more:
        batches.total_items = None
    if refused is not None:
        named = f"More than {MAX_CHANGED} records" if more else _number(count)
        message = f"{named} would be {verb}, but that would be refused: {refused}"
    elif count:
        message = f"{_number(count)} would be {verb}; nothing was written."
    else:
        message = f"{NOTHING[:-1]}; nothing was written."
    return RowStream(batches, message=message + hint)


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"“{name}”" for name in names)


def _number(count: int) -> str:
    return "1 record" if count == 1 else f"{count} records"
