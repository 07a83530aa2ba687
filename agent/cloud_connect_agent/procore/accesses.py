"""Pure: what a call would touch, for the policy to decide before anything is sent."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from cloud_connect.calls import Operation, RecordParams, Source
from cloud_connect.query import Action, Query
from cloud_connect_agent.policy import Access, Verb
from cloud_connect_agent.policy.fields import leaf_names
from cloud_connect_agent.procore.catalog import Catalog, Resource
from cloud_connect_agent.procore.changing import selection_for_change
from cloud_connect_agent.procore.drafts import insert_target, write_target
from cloud_connect_agent.procore.implied import implied_values
from cloud_connect_agent.procore.planner import Target, ids_of, targets_of
from cloud_connect_agent.procore.records import flattened
from cloud_connect_agent.procore.rows import CUSTOM_FIELD
from cloud_connect_agent.procore.selection import (
    Selection,
    selection_of_params,
    selection_of_query,
)

__all__ = ["accesses_of_params", "accesses_of_query", "accesses_of_records", "rehearsed"]

_VERBS: Final = {
    Operation.LIST: Verb.READ,
    Operation.GET: Verb.READ,
    Operation.CREATE: Verb.CREATE,
    Operation.UPDATE: Verb.UPDATE,
    Operation.DELETE: Verb.DELETE,
}
_CHANGES: Final = {Action.UPDATE: Verb.UPDATE, Action.DELETE: Verb.DELETE}


def accesses_of_params(
    catalog: Catalog,
    operation: Operation,
    params: RecordParams,
    record: Mapping[str, object] | None = None,
) -> list[Access]:
    """What an operation on records touches.

    Raises:
        InvalidRequestError: If the operation cannot be carried out anyway.
    """
    resource, source = catalog.resource(params.resource), params.source
    if operation is not Operation.GET or resource.get is None:
        catalog.endpoint(resource, operation if operation is not Operation.GET else Operation.LIST)
    verb = _VERBS[operation]
    if operation is Operation.LIST:
        return _reads(selection_of_params(resource, params), source)
    if resource.project_field == "id" and params.record_id is not None:
        return [_access(verb, resource, source, params.record_id, _names(record))]
    if operation is Operation.GET:
        return _reads(Selection(resource=resource, scope=params.scope), source)
    if record is not None:
        target = write_target(resource, source, params.scope, record)
        if operation is Operation.CREATE:
            return _creations(resource, source, [target], [record])
        names = _names(record)
        return [_access(verb, resource, source, target.get("project_id"), names)]
    given = ids_of(resource, params.scope, source)
    project = given.get("project_id")
    if project is None and "project_id" in resource.scope_fields and source.project_id:
        project = str(source.project_id)
    return [_access(verb, resource, source, project)]


def accesses_of_query(catalog: Catalog, source: Source, query: Query) -> list[Access]:
    """What a query of the platform touches: an update or delete reads before it writes.

    Raises:
        InvalidRequestError: If the query cannot be carried out anyway.
    """
    resource = catalog.resource(query.info.name)
    if query.action is Action.SELECT:
        return _reads(selection_of_query(resource, query), source)
    if query.action is Action.INSERT:
        catalog.endpoint(resource, Operation.CREATE)
        records = (query.mappings,) if query.records is None else query.records
        targets = [insert_target(resource, query.condition, one, source) for one in records]
        return _creations(resource, source, targets, records)
    verb = _CHANGES[query.action]
    catalog.endpoint(resource, Operation.UPDATE if verb is Verb.UPDATE else Operation.DELETE)
    selection = selection_for_change(resource, query, source)
    projects = _projects(selection, source)
    names = _names(query.mappings)
    return [
        _access(one, resource, source, project, names)
        for one in (Verb.READ, verb)
        for project in projects
    ]


def accesses_of_records(
    catalog: Catalog, params: RecordParams, records: Sequence[Mapping[str, object]]
) -> list[Access]:
    """What the creation of several records touches.

    Raises:
        InvalidRequestError: If it cannot be carried out anyway.
    """
    resource, source = catalog.resource(params.resource), params.source
    catalog.endpoint(resource, Operation.CREATE)
    targets = [write_target(resource, source, params.scope, record) for record in records]
    return _creations(resource, source, targets, records)


def rehearsed(accesses: Sequence[Access]) -> list[Access]:
    """What a dry run touches: it reads what the write itself would change."""
    reads = [replace(one, verb=Verb.READ) for one in accesses if one.verb in _CHANGES.values()]
    return list(dict.fromkeys([*reads, *accesses]))


def _creations(
    resource: Resource,
    source: Source,
    targets: Iterable[Target],
    records: Sequence[Mapping[str, object]],
) -> list[Access]:
    """What new records touch; in a sync, one with an ``origin_id`` may change one that is there."""
    verbs = [Verb.CREATE]
    sync = resource.sync
    synced = sync is not None and (len(records) > 1 or sync.safe_for_create)
    if synced and any(record.get("origin_id") for record in records):
        verbs.append(Verb.UPDATE)
    projects = dict.fromkeys(target.get("project_id") for target in targets)
    names = _written(records)
    return [
        _access(verb, resource, source, project, names) for verb in verbs for project in projects
    ]


def _written(records: Sequence[Mapping[str, object]]) -> frozenset[str] | None:
    found: set[str] = set()
    for record in records:
        names = _names(record)
        if names is None:
            return None
        found |= names
    return frozenset(found)


def _names(record: Mapping[str, object] | None) -> frozenset[str] | None:
    """The fields that a record sets; the company's own in each way in which they can be written."""
    if record is None:
        return frozenset()
    written, flat = leaf_names(record), leaf_names(flattened(record))
    if written is None or flat is None:
        return None
    own = {name for name in flat if CUSTOM_FIELD.fullmatch(name.partition(".")[0])}
    return written | flat | {f"custom_fields.{name}" for name in own}


def _reads(selection: Selection, source: Source) -> list[Access]:
    projects = _projects(selection, source)
    return [_access(Verb.READ, selection.resource, source, project) for project in projects]


def _projects(selection: Selection, source: Source) -> Iterable[str | None]:
    """The projects that a selection is confined to; one ``None`` if it is not."""
    resource = selection.resource
    if resource.project_field is not None:
        values = implied_values(selection.condition, resource.project_field)
        return [str(value) for value in values if isinstance(value, int)] if values else [None]
    if "project_id" not in resource.scope_fields:
        return [None]
    targets, everywhere = targets_of(selection, source)
    if everywhere:
        return [None]
    return list(dict.fromkeys(target["project_id"] for target in targets)) or [None]


def _access(
    verb: Verb,
    resource: Resource,
    source: Source,
    project: str | None,
    fields: frozenset[str] | None = frozenset(),
) -> Access:
    return Access(
        verb=verb,
        environment=source.environment,
        company_id=source.company_id,
        project_id=None if project is None else int(project),
        resource=resource.name,
        fields=fields if verb.writes else frozenset(),
    )
