"""Pure: records to be written: where each goes, what is sent, and what the answer shows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cloud_connect.calls import Operation, RecordParams, Source
from cloud_connect.errors import InvalidRequestError
from cloud_connect.query import Group, Query
from cloud_connect_agent.procore.catalog import Resource
from cloud_connect_agent.procore.implied import implied_values
from cloud_connect_agent.procore.messages import ApiRequest, ApiResponse
from cloud_connect_agent.procore.planner import Target, ids_of, scoped
from cloud_connect_agent.procore.records import write_request
from cloud_connect_agent.procore.rows import Row, unwrap

__all__ = [
    "NewRecord",
    "answered_row",
    "insert_target",
    "mapped",
    "mapped_scope",
    "new_record",
    "new_records",
    "new_records_of",
    "own_fields",
    "write_target",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecord:
    """A record to be created, checked.

    Attributes:
        record: Flat, without scope ids, as its caller wrote it.
        request: What creates it alone.
    """

    target: Target
    record: Row
    request: ApiRequest


def new_records(resource: Resource, query: Query, source: Source) -> list[NewRecord]:
    """The records that an insert of the platform creates, all of them checked.

    Raises:
        InvalidRequestError: If one cannot be sent; the message names the field and the record.
    """

    def target_of(record: Mapping[str, object]) -> Target:
        return insert_target(resource, query.condition, record, source)

    if query.records is None:
        record = mapped(query)
        return [new_record(resource, source, target_of(record), record)]
    return _all_checked(resource, source, query.records, target_of)


def new_records_of(
    resource: Resource, params: RecordParams, records: Sequence[Mapping[str, object]]
) -> list[NewRecord]:
    """The records that a call creates, all of them checked.

    Raises:
        InvalidRequestError: If one cannot be sent; the message names the field and the record.
    """

    def target_of(record: Mapping[str, object]) -> Target:
        return write_target(resource, params.source, params.scope, record)

    return _all_checked(resource, params.source, records, target_of)


def _all_checked(
    resource: Resource,
    source: Source,
    records: Sequence[Mapping[str, object]],
    target_of: Callable[[Mapping[str, object]], Target],
) -> list[NewRecord]:
    checked = []
    for place, record in enumerate(records):
        try:
            checked.append(new_record(resource, source, target_of(record), record))
        except InvalidRequestError as exc:
            raise InvalidRequestError(f"Record {place}: {exc.message}") from exc
    return checked


def new_record(
    resource: Resource, source: Source, target: Target, record: Mapping[str, object]
) -> NewRecord:
    """The record that is to be created at *target*, checked.

    Raises:
        InvalidRequestError: If it cannot be sent; the message names the field.
    """
    own = own_fields(resource, record, None)
    request = write_request(resource, Operation.CREATE, source, target, record=own)
    return NewRecord(target=target, record=own, request=request)


def mapped(query: Query) -> Mapping[str, object]:
    """What a query writes to each record.

    Raises:
        InvalidRequestError: If that is nothing.
    """
    if not query.mappings:
        raise InvalidRequestError("There is nothing to write: “mappings” is empty.")
    return query.mappings


def insert_target(
    resource: Resource, condition: Group | None, record: Mapping[str, object], source: Source
) -> Target:
    """Where a new record goes: itself or a query's conditions say, or the data source.

    Raises:
        InvalidRequestError: If nothing says; the message names the id that is missing.
    """
    scope = {}
    for name in resource.scope_fields:
        values = implied_values(condition, name, kind=resource.type_of(name))
        if values is not None and len(values) == 1:
            scope[name] = str(values[0])
    own = mapped_scope(resource, record)
    if "project_id" in own and "project_id" not in scope:
        scope["project_id"] = own["project_id"]
    return write_target(resource, source, scope, record)


def write_target(
    resource: Resource,
    source: Source,
    scope: Mapping[str, str],
    record: Mapping[str, object],
) -> Target:
    """Where a record lives, from parameters, the data source and the record, which must agree.

    Raises:
        InvalidRequestError: If an id is missing or two disagree; the message names it.
    """
    given = ids_of(resource, scope, source)
    if "project_id" in resource.scope_fields and source.project_id is not None:
        given.setdefault("project_id", str(source.project_id))
    own = ids_of(resource, mapped_scope(resource, record), source)
    for name, value in own.items():
        if given.setdefault(name, value) != value:
            raise InvalidRequestError(
                f"“{name}” of the record is not the one that the request is for; a record "
                "cannot be moved."
            )
    for name in resource.scope_fields:
        if name not in given:
            raise InvalidRequestError(f"Say where the record belongs: “{name}” is missing.")
    return {name: given[name] for name in resource.scope_fields}


def mapped_scope(resource: Resource, record: Mapping[str, object]) -> dict[str, str]:
    """The scope ids that a record carries as ordinary fields."""
    names = {"company_id", *resource.scope_fields}
    return {name: str(record[name]) for name in record if name in names and record[name]}


def own_fields(
    resource: Resource, record: Mapping[str, object], record_id: str | None
) -> dict[str, object]:
    """A record without what says where and which it is.

    Raises:
        InvalidRequestError: If it names another record than *record_id*.
    """
    own = {
        name: value
        for name, value in record.items()
        if name != "company_id" and name not in resource.scope_fields
    }
    if record_id is not None and "id" in own and str(own.pop("id")) != record_id:
        raise InvalidRequestError("“id” of the record is not the one that the request is for.")
    return own


def answered_row(
    resource: Resource,
    operation: Operation,
    target: Target,
    response: ApiResponse,
    *,
    record_id: str | None = None,
) -> Row:
    """The record that a write was answered with, with what says where and which it is."""
    row = next(iter(unwrap(response.json, resource.needed(operation).unwrap)), {})
    if record_id is not None:
        # Procore may answer a change with nothing.
        row.setdefault("id", resource.id_type.typed(record_id))
    return scoped(row, resource, target)
