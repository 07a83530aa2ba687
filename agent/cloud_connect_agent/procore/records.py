"""Pure: from flat records, as callers write them, to the bodies that Procore takes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cloud_connect.calls import Operation, Source
from cloud_connect.errors import InvalidRequestError
from cloud_connect_agent.procore.catalog import Direction, Endpoint, Resource
from cloud_connect_agent.procore.converting import converted
from cloud_connect_agent.procore.messages import ApiRequest
from cloud_connect_agent.procore.planner import Target, located
from cloud_connect_agent.procore.rows import CUSTOM_FIELD, Row
from cloud_connect_agent.procore.values import TypeOf, is_blank

__all__ = ["WRITABLE", "with_own_values", "write_request"]

WRITABLE: Final = (Direction.IN, Direction.BOTH)


def with_own_values(record: Mapping[str, object], type_of: TypeOf) -> Row:
    """A record with the company's own fields as Procore takes them: flat, and of their type.

    Args:
        type_of: The types of those fields, as far as they are known.

    Raises:
        InvalidRequestError: If a value is impossible; the field is named.
    """
    return {
        name: converted(name, value, type_of) if CUSTOM_FIELD.fullmatch(name) else value
        for name, value in flattened(record).items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """A record taken apart by where its fields go."""

    inside: Row
    beside: Row
    query: tuple[tuple[str, str], ...]


def write_request(
    resource: Resource,
    operation: Operation,
    source: Source,
    target: Target,
    *,
    record_id: str | None = None,
    record: Mapping[str, object] | None = None,
) -> ApiRequest:
    """The request that creates, changes or deletes a record.

    Args:
        target: The scope ids of the record.
        record: Flat, without scope ids; dotted names nest. A delete has none.

    Raises:
        InvalidRequestError: If a field is unknown or its value impossible; it is named.
        UnsupportedOperationError: If Procore has no such operation.
    """
    endpoint = resource.needed(operation)
    ids = located(source, target)
    if record_id is not None:
        ids["id"] = record_id
    path, query = endpoint.filled(ids)
    body: Row | None = None
    if record is not None:
        parts = _take_apart(resource, endpoint, record)
        query += parts.query
        inside = {endpoint.envelope: parts.inside} if endpoint.envelope else parts.inside
        where = {name: resource.scope_type(name).typed(ids[name]) for name in endpoint.body}
        body = {**where, **parts.beside, **inside}
    return ApiRequest(
        method=resource.method(operation),
        path=path,
        query=(*query, *endpoint.always),
        json=body,
        idempotent=endpoint.idempotent,
        about=_about(resource, operation, record_id),
    )


def _about(resource: Resource, operation: Operation, record_id: str | None) -> str:
    """The change, as a noun."""
    if operation is Operation.CREATE:
        return f"the new {resource.one}"
    done = "change" if operation is Operation.UPDATE else "deletion"
    return f"the {done} of {resource.one}" + ("" if record_id is None else f" {record_id}")


def _take_apart(resource: Resource, endpoint: Endpoint, record: Mapping[str, object]) -> _Parts:
    inside: Row = {}
    beside: Row = {}
    query: list[tuple[str, str]] = []
    for field, value in _spread(resource, record):
        _check(resource, field)
        sent = converted(field, value, resource.sent_type_of)
        name = resource.sends.get(field, field)
        if name in endpoint.query_fields:
            if is_blank(sent):
                continue  # a query has no way to say null
            query.append((name, str(sent).lower() if isinstance(sent, bool) else str(sent)))
        elif name in endpoint.top_level:
            beside[name] = sent
        else:
            _nest(inside, name, sent)
    return _Parts(inside=inside, beside=beside, query=tuple(query))


def _spread(resource: Resource, record: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The fields of a record; of an object whose parts are sent under other names, the parts."""
    renamed = {name.rpartition(".")[0] for name in resource.sends}
    for field, value in record.items():
        if isinstance(value, dict) and field in renamed:
            yield from ((f"{field}.{key}", inner) for key, inner in value.items())
        else:
            yield field, value


def flattened(record: Mapping[str, object]) -> Row:
    """Write custom fields as Procore takes them: flat, values only."""
    flat: Row = {}
    for name, value in record.items():
        if name == "custom_fields" and isinstance(value, dict):
            flat.update((key, _custom_value(inner)) for key, inner in value.items())
            continue
        parts = name.split(".")
        if parts[0] == "custom_fields" and len(parts) > 1 and parts[2:] in ([], ["value"]):
            flat[parts[1]] = _custom_value(value)
        else:
            flat[name] = _custom_value(value) if CUSTOM_FIELD.fullmatch(name) else value
    return flat


def _custom_value(value: object) -> object:
    """The value of a custom field; of an entry of a list of values its id."""
    if isinstance(value, dict) and "value" in value:
        value = value["value"]
    if isinstance(value, dict) and "id" in value:
        return value["id"]
    if isinstance(value, list):
        return [item["id"] if isinstance(item, dict) and "id" in item else item for item in value]
    return value


def _check(resource: Resource, name: str) -> None:
    if resource.knows(name, WRITABLE):
        return
    if resource.knows(name, Direction):
        raise InvalidRequestError(f"“{name}” of {resource.many} can be read but not written.")
    raise InvalidRequestError(resource.no_field(name))


def _nest(record: Row, name: str, value: object) -> None:
    """Put a value at ``question.body`` into nested objects."""
    *outer, last = name.split(".")
    place = record
    for part in outer:
        inner = place.setdefault(part, {})
        if not isinstance(inner, dict):
            raise InvalidRequestError(f"“{name}” cannot be set beside a plain “{part}”.")
        place = inner
    known = place.get(last)
    if isinstance(known, dict) and isinstance(value, dict):
        known.update(value)
    elif known is None:
        place[last] = dict(value) if isinstance(value, dict) else value
    else:
        raise InvalidRequestError(f"“{name}” is set twice.")
