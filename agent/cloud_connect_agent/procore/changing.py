"""Creates, changes and deletes records: singly by id, or those that a query selects."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from cloud_connect.calls import Operation, RecordParams, Source
from cloud_connect.errors import (
    CloudConnectError,
    InvalidRequestError,
    OutcomeUnknownError,
    SourceRejectedError,
)
from cloud_connect.query import Action, Query
from cloud_connect_agent.policy import Ceiling
from cloud_connect_agent.procore.answering import Answering
from cloud_connect_agent.procore.bulk import create_one
from cloud_connect_agent.procore.catalog import Catalog, Resource
from cloud_connect_agent.procore.drafts import (
    answered_row,
    mapped,
    mapped_scope,
    new_record,
    new_records,
    own_fields,
    write_target,
)
from cloud_connect_agent.procore.extent import MAX_CHANGED, most_changed, too_many
from cloud_connect_agent.procore.fetching import Fetcher
from cloud_connect_agent.procore.files.attaching import with_file
from cloud_connect_agent.procore.files.forms import FormFile
from cloud_connect_agent.procore.implied import compares_with_nothing
from cloud_connect_agent.procore.planner import Target, targets_of
from cloud_connect_agent.procore.records import write_request
from cloud_connect_agent.procore.rows import Row
from cloud_connect_agent.procore.rowstream import FixedRows, RowStream
from cloud_connect_agent.procore.selection import Selection, selection_of_query
from cloud_connect_agent.procore.values import Calendar

__all__ = [
    "NOTHING",
    "OPERATIONS",
    "VERBS",
    "Changing",
    "checked_change",
    "checked_one",
    "selection_for_change",
]

VERBS: Final = {
    Operation.CREATE: "created",
    Operation.UPDATE: "changed",
    Operation.DELETE: "deleted",
}
NOTHING: Final = "No record matches."
OPERATIONS: Final = {
    Action.INSERT: Operation.CREATE,
    Action.UPDATE: Operation.UPDATE,
    Action.DELETE: Operation.DELETE,
}


class Changing:
    """Carries out writes of one catalogue; each goes out once, unless it is an upsert."""

    def __init__(self, catalog: Catalog, answering: Answering) -> None:
        self._catalog: Final = catalog
        self._answering: Final = answering

    async def one(
        self,
        operation: Operation,
        params: RecordParams,
        record: Mapping[str, object] | None,
        fetcher: Fetcher,
    ) -> Row:
        """Create a record, or change or delete the one with an id.

        Raises:
            InvalidRequestError: If a field or scope id is unknown or missing; it is named.
            UnsupportedOperationError: If Procore has no such operation.
        """
        resource, target, own = checked_one(self._catalog, operation, params, record)
        if operation is Operation.CREATE:
            new = new_record(resource, fetcher.source, target, own or {})
            return await create_one(resource, new, fetcher)
        return await self._send(
            resource, operation, target, fetcher, record_id=params.record_id, record=own
        )

    async def attach(self, params: RecordParams, file: FormFile, fetcher: Fetcher) -> Row:
        """Hang a file on the record with an id, as a part of Procore's own form.

        Raises:
            InvalidRequestError: If a scope id is unknown or missing; it is named.
        """
        resource = self._catalog.resource(params.resource)
        record_id = params.record_id
        if record_id is None:
            raise InvalidRequestError(f"Say which of the {resource.many} is meant by its id.")
        update = Operation.UPDATE
        target = write_target(resource, params.source, params.scope, {})
        plain = write_request(
            resource, update, fetcher.source, target, record_id=record_id, record={}
        )
        response = await fetcher.send(with_file(resource, plain, file, record_id))
        return answered_row(resource, update, target, response, record_id=record_id)

    async def query(
        self, query: Query, fetcher: Fetcher, calendar: Calendar, *, ceiling: Ceiling | None
    ) -> RowStream:
        """Carry out an insert of one record, an update or a delete of the platform.

        Raises:
            InvalidRequestError: If it is refused; the message says why.
            PolicyDeniedError: If it would change more records than *ceiling* allows.
            UnsupportedOperationError: If Procore has no such operation.
        """
        resource = self._catalog.resource(query.info.name)
        operation = OPERATIONS[query.action]
        self._catalog.endpoint(resource, operation)
        if operation is Operation.CREATE:
            (new,) = new_records(resource, query, fetcher.source)
            return RowStream(FixedRows([await create_one(resource, new, fetcher)]))
        return await self._change(
            resource, operation, query, fetcher=fetcher, calendar=calendar, ceiling=ceiling
        )

    async def _change(
        self,
        resource: Resource,
        operation: Operation,
        query: Query,
        *,
        fetcher: Fetcher,
        calendar: Calendar,
        ceiling: Ceiling | None,
    ) -> RowStream:
        selection, record = checked_change(resource, query, fetcher.source)
        if query.multiple:
            selection = replace(selection, limit=most_changed(ceiling) + 1)
        rows = await self._answering.records(selection, fetcher, calendar)
        verb = VERBS[operation]
        refused = too_many(resource, len(rows), verb=verb, multiple=query.multiple, ceiling=ceiling)
        if refused is not None:
            raise refused
        changed: list[Row] = []
        for row in rows:
            target = {name: str(row[name]) for name in resource.scope_fields}
            try:
                answer = await self._send(
                    resource,
                    operation,
                    target,
                    fetcher,
                    record_id=str(row["id"]) if "id" in row else None,
                    record=None if record is None else _with_needed(resource, record, row),
                    begun=bool(changed),
                )
            except CloudConnectError as exc:
                if not changed:
                    raise
                raise _partly(exc, f"{len(changed)} of {len(rows)} records were {verb}") from exc
            changed.append({**row, **answer})
        return RowStream(FixedRows(changed), message=None if changed else NOTHING)

    async def _send(
        self,
        resource: Resource,
        operation: Operation,
        target: Target,
        fetcher: Fetcher,
        *,
        record_id: str | None = None,
        record: Mapping[str, object] | None = None,
        begun: bool = False,
    ) -> Row:
        request = write_request(
            resource,
            operation,
            fetcher.source,
            target,
            record_id=record_id,
            record=record,
        )
        response = await fetcher.send(request, answering=begun)
        if operation is Operation.DELETE:
            return {"already_absent": True} if response.already_absent else {}
        return answered_row(resource, operation, target, response, record_id=record_id)


def _with_needed(resource: Resource, record: Row, row: Row) -> Row:
    """Repeat from the record as it is what Procore asks for on every update."""
    given = {name.partition(".")[0] for name in record}
    needed = (name for name in resource.needed(Operation.UPDATE).required if name not in given)
    return {**{name: row[name] for name in needed if row.get(name) is not None}, **record}


def checked_one(
    catalog: Catalog,
    operation: Operation,
    params: RecordParams,
    record: Mapping[str, object] | None,
) -> tuple[Resource, Target, Row | None]:
    """Which table a write of one record is about, where that lives, and what it writes.

    Raises:
        InvalidRequestError: If a scope id is unknown or missing; it is named.
        UnsupportedOperationError: If Procore has no such operation.
    """
    resource = catalog.resource(params.resource)
    catalog.endpoint(resource, operation)
    if operation is not Operation.CREATE and params.record_id is None:
        raise InvalidRequestError(f"Say which of the {resource.many} is meant by its id.")
    target = write_target(resource, params.source, params.scope, record or {})
    own = None if record is None else own_fields(resource, record, params.record_id)
    if operation is Operation.UPDATE and not own:
        raise InvalidRequestError("There is nothing to write: the record has no field to change.")
    return resource, target, own


def selection_for_change(resource: Resource, query: Query, source: Source) -> Selection:
    """What an update or delete would change.

    Raises:
        InvalidRequestError: If its conditions do not really choose.
    """
    operation = OPERATIONS[query.action]
    verb = VERBS[operation]
    if query.condition is None:
        raise InvalidRequestError(
            f"No conditions say which {resource.many} are to be {verb}, and all is too many."
        )
    empty = compares_with_nothing(query.condition)
    if empty is not None:
        raise InvalidRequestError(
            f"The condition on “{empty}” has no value, so it cannot choose what is {verb}; use "
            "“isblank” if that is meant."
        )
    selection = replace(
        selection_of_query(resource, query),
        fields=(),
        order=(),
        cursor=None,
        limit=MAX_CHANGED + 1 if query.multiple else 2,
        scope=mapped_scope(resource, query.mappings),
    )
    _, everywhere = targets_of(selection, source)
    if everywhere:
        raise InvalidRequestError(
            f"Say in which project the {resource.many} are to be {verb}: a condition on "
            "“project_id” is missing."
        )
    return selection


def checked_change(
    resource: Resource, query: Query, source: Source
) -> tuple[Selection, Row | None]:
    """What an update or delete selects, and what an update writes to it.

    Raises:
        InvalidRequestError: If its conditions do not really choose, or a field cannot be
            written; nothing has been read by then.
    """
    if query.action is not Action.UPDATE:
        return selection_for_change(resource, query, source), None
    record = own_fields(resource, mapped(query), None)
    selection = selection_for_change(resource, query, source)
    _check_writable(resource, source, record)
    return selection, record


def _check_writable(resource: Resource, source: Source, record: Mapping[str, object]) -> None:
    """Refuse fields that cannot be written before anything is read."""
    target = dict.fromkeys(resource.scope_fields, "1")
    write_request(resource, Operation.UPDATE, source, target, record_id="1", record=record)


def _partly(error: CloudConnectError, done: str) -> CloudConnectError:
    """Say that a part was carried out before the error."""
    message = f"{done}; then it failed: {error.message}"
    if isinstance(error, SourceRejectedError):
        return SourceRejectedError(message, status=error.status, body=error.body)
    return OutcomeUnknownError(message)
