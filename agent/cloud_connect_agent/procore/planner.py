"""Pure: what is to be read, as requests to Procore and as what is left to the agent."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cloud_connect.calls import Operation, Source
from cloud_connect.errors import InvalidRequestError
from cloud_connect.query import Condition, Group, Junction, Operator
from cloud_connect_agent.procore.catalog import Endpoint, IdType, Pager, Resource
from cloud_connect_agent.procore.filters import Predicate, fields_of, predicate
from cloud_connect_agent.procore.implied import implied_values
from cloud_connect_agent.procore.messages import ApiRequest
from cloud_connect_agent.procore.pushdown import server_query, server_sort
from cloud_connect_agent.procore.rows import Row
from cloud_connect_agent.procore.selection import Selection
from cloud_connect_agent.procore.values import Calendar, FieldType, as_number

__all__ = [
    "ReadPlan",
    "Target",
    "ids_of",
    "located",
    "page_request",
    "plan_read",
    "record_request",
    "scoped",
    "targets_of",
    "unseen_rows",
]

_SHOWN_ONE_BY_ONE: Final = 5  # ids that are read one by one rather than from the list
_SHOWN_WITHOUT_LIST: Final = 50  # ids that are read one by one where there is no list

Target = Mapping[str, str]
"""Where records live: scope id by name, without the company."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPlan:
    """How a selection is read.

    Attributes:
        targets: Where the records live.
        everywhere: Whether that is in every project that the grant sees; *targets* then
            lack the project.
        ids: Read these records, one by one; ``None`` reads the lists.
        matches: All conditions, for the agent to apply.
        query: Filters that Procore applies beforehand.
        echo: What was asked for by a filter and records do not carry.
        sort: The order that Procore is asked for.
        filtered: Whether conditions remain that Procore's ``Total`` does not count.
    """

    selection: Selection
    targets: tuple[Target, ...]
    everywhere: bool
    ids: tuple[str, ...] | None
    matches: Predicate
    query: tuple[tuple[str, str], ...]
    echo: Mapping[str, str]
    sort: tuple[tuple[str, str], ...]
    filtered: bool
    per_page: int

    @property
    def paged(self) -> bool:
        """Whether what is read comes in pages."""
        endpoint = self.selection.resource.list_
        return self.ids is None and endpoint is not None and endpoint.pager is not Pager.NONE


def plan_read(selection: Selection, source: Source, calendar: Calendar) -> ReadPlan:
    """Decide which requests answer a selection.

    Raises:
        InvalidRequestError: If a scope id is missing or malformed, or an order impossible.
        UnsupportedOperationError: If Procore neither lists the records nor shows those meant.
    """
    resource, condition = selection.resource, selection.condition
    matches = predicate(condition, resource.type_of, calendar)
    for order in selection.order:
        if resource.type_of(order.field) is FieldType.OBJECT:
            raise InvalidRequestError(_several(order.field, "sorted by"))
        if resource.holds_several(order.field):
            raise InvalidRequestError(
                f"“{order.field}” holds several values and cannot be sorted by; name one of them "
                "by its place, from 0, behind the list."
            )
    _check_conditions(resource, condition)
    targets, everywhere = targets_of(selection, source)
    endpoint = resource.list_
    ids = _ids_to_show(selection, everywhere=everywhere)
    if endpoint is None and ids is None:
        endpoint = resource.needed(Operation.LIST)
    filtered = condition is not None and not _only_says_where(condition, resource)
    # What a list must be told, such as the day, a record that is shown by its id need not be.
    query = server_query(resource, condition, calendar) if ids is None else ()
    listed = ids is None and len(targets) == 1 and not everywhere
    return ReadPlan(
        selection=selection,
        targets=targets,
        everywhere=everywhere,
        ids=ids,
        matches=matches,
        query=query,
        echo=_echoed(resource, query),
        sort=server_sort(selection) if listed else (),
        filtered=filtered,
        per_page=1 if endpoint is None else _page_size(endpoint, selection, filtered=filtered),
    )


def unseen_rows(selection: Selection, source: Source, calendar: Calendar) -> list[Row] | None:
    """The records that conditions name by their ids alone, of a table that shows none.

    Returns:
        ``None`` if Procore shows the table's records, or if the ids do not say it all.

    Raises:
        InvalidRequestError: If an id is missing that says where the records are.
    """
    resource = selection.resource
    wanted = implied_values(selection.condition, "id", kind=resource.type_of("id"))
    if resource.list_ is not None or resource.get is not None or wanted is None:
        return None
    if not fields_of(selection.condition) <= {"id", *resource.scope_fields}:
        return None
    targets, _ = targets_of(selection, source)
    ids = [text for value in wanted if (text := _id_text(value, resource.id_type))]
    rows = [
        scoped({"id": resource.id_type.typed(text)}, resource, target)
        for target in targets
        for text in ids
    ]
    matches = predicate(selection.condition, resource.type_of, calendar)
    return [row for row in rows if matches(row)][: selection.limit]


def _ids_to_show(selection: Selection, *, everywhere: bool) -> tuple[str, ...] | None:
    """The ids to read one by one, if that is possible and better than the list."""
    resource = selection.resource
    wanted = implied_values(selection.condition, "id", kind=resource.type_of("id"))
    if resource.get is None or wanted is None:
        return None
    ids = tuple(text for value in wanted if (text := _id_text(value, resource.id_type)))
    if resource.list_ is None:
        if len(ids) > _SHOWN_WITHOUT_LIST:
            raise InvalidRequestError(
                f"{resource.text} cannot be listed in Procore, and more than "
                f"{_SHOWN_WITHOUT_LIST} at once are too many to read one by one."
            )
        return ids
    # Where every project is asked, a list that Procore filters is kinder than many 404s.
    filterable = any(spec.field == "id" for spec in resource.list_.filters)
    if len(ids) > _SHOWN_ONE_BY_ONE or (everywhere and filterable):
        return None
    return ids


def _echoed(resource: Resource, query: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """What filters chose and the records will not say."""
    sent = dict(query)
    filters = resource.list_.filters if resource.list_ else ()
    return {
        spec.field: sent[spec.parameters[0]]
        for spec in filters
        if spec.echo and spec.parameters[0] in sent
    }


def _page_size(endpoint: Endpoint, selection: Selection, *, filtered: bool) -> int:
    """Records to ask for at once: no more than a limit needs, in pages of one size."""
    most, limit = endpoint.per_page, selection.limit
    if not limit or filtered or selection.order or selection.cursor is not None:
        return most
    return math.ceil(limit / math.ceil(limit / most))


def targets_of(selection: Selection, source: Source) -> tuple[tuple[Target, ...], bool]:
    """Where the records live, from conditions, parameters and the data source.

    Returns:
        The targets, and whether each stands for all projects that the grant sees.

    Raises:
        InvalidRequestError: If an id is missing that we cannot choose ourselves.
    """
    resource = selection.resource
    given = ids_of(resource, selection.scope, source)
    found: dict[str, tuple[str, ...]] = {}
    everywhere = False
    for name in resource.scope_fields:
        kind = resource.scope_type(name)
        values = implied_values(selection.condition, name, kind=resource.type_of(name))
        chosen = None
        if values is not None:
            chosen = tuple(text for value in values if (text := _id_text(value, kind)))
        if name in given:
            own = (given[name],)
            chosen = own if chosen is None else tuple(value for value in own if value in chosen)
        if chosen is None and name == "project_id":
            if source.project_id is None:
                everywhere = True
                continue
            chosen = (str(source.project_id),)
        if chosen is None:
            raise InvalidRequestError(
                f"Say where the {resource.many} are: a condition or parameter on “{name}” is "
                "missing."
            )
        found[name] = chosen
    targets: list[dict[str, str]] = [{}]
    for name, values in found.items():
        targets = [{**target, name: value} for target in targets for value in values]
    return tuple(targets), everywhere


def ids_of(resource: Resource, scope: Mapping[str, str], source: Source) -> dict[str, str]:
    """Check the scope ids that were given outright.

    Raises:
        InvalidRequestError: If one is malformed, unknown here or another company's.
    """
    given: dict[str, str] = {}
    for name, value in scope.items():
        if name != "company_id" and name not in resource.scope_fields:
            if resource.type_of(name) is not None:
                raise InvalidRequestError(
                    f"{resource.text} are not kept by “{name}”; a condition on it chooses among "
                    f"them, such as filter[{name}]=…."
                )
            raise InvalidRequestError(f"{resource.text} have no “{name}”.")
        kind = resource.scope_type(name)
        text = _id_text(value, kind)
        if text is None:
            wanted = "a number" if kind is IdType.INTEGER else "an id of letters and digits"
            raise InvalidRequestError(f"“{name}” must be {wanted}.")
        if name != "company_id":
            given[name] = text
        elif text != str(source.company_id):
            raise InvalidRequestError("“company_id” is not the company of this data source.")
    return given


def page_request(plan: ReadPlan, source: Source, target: Target, *, page: int) -> ApiRequest:
    """The request for one page of one list.

    Args:
        page: Its number, from 1; of a list that is told where to start, its start.
    """
    resource = plan.selection.resource
    endpoint = resource.needed(Operation.LIST)
    path, ids = endpoint.filled(located(source, target))
    query = [*ids, *endpoint.always, *plan.query, *plan.sort]
    if endpoint.pager is Pager.LINK:
        query += [("page", str(page)), ("per_page", str(plan.per_page))]
    elif endpoint.pager is Pager.OFFSET:
        query += [("page_start", str(page)), ("page_size", str(plan.per_page))]
    return ApiRequest(
        method=resource.method(Operation.LIST),
        path=path,
        query=tuple(query),
        about=f"the list of {resource.many}",
    )


def record_request(
    resource: Resource, source: Source, target: Target, *, record_id: str
) -> ApiRequest:
    """The request that shows one record.

    Raises:
        UnsupportedOperationError: If Procore shows none singly.
    """
    endpoint = resource.needed(Operation.GET)
    path, ids = endpoint.filled(located(source, {**target, "id": record_id}))
    return ApiRequest(
        method=resource.method(Operation.GET),
        path=path,
        query=(*ids, *endpoint.always),
        about=f"the reading of {resource.one} {record_id}",
    )


def scoped(row: Row, resource: Resource, target: Target) -> Row:
    """Add the scope ids to a record as ordinary fields, and its id where it has another name."""
    if resource.identity in row:
        row["id"] = row[resource.identity]
    for name, text in target.items():
        row[name] = resource.scope_type(name).typed(text)
    return row


def located(source: Source, target: Target) -> dict[str, str]:
    """The ids of where a request goes, the company's among them."""
    return {"company_id": str(source.company_id), **target}


def _id_text(value: object, kind: IdType) -> str | None:
    """An id as it stands in a path; ``None`` if it can be none."""
    if kind is IdType.INTEGER:
        number = as_number(value)
        if number is None or number != number.to_integral_value():
            return None
        value = int(number)
    text = "" if value is None else str(value)
    return text if kind.accepts(text) else None


def _only_says_where(tree: Condition | Group, resource: Resource) -> bool:
    """Whether conditions do nothing but choose the lists that are read."""
    if isinstance(tree, Condition):
        equal = tree.operator in {Operator.EQ, Operator.IN}
        return equal and tree.field in resource.scope_fields
    every = all(_only_says_where(part, resource) for part in tree.conditions)
    return every and tree.group is Junction.AND


def _check_conditions(resource: Resource, tree: Condition | Group | None) -> None:
    if tree is None:
        return
    if isinstance(tree, Group):
        for part in tree.conditions:
            _check_conditions(resource, part)
        return
    kind = resource.type_of(tree.field)
    nests = kind is FieldType.OBJECT or (kind is FieldType.LIST and resource.has_parts(tree.field))
    if nests and tree.operator not in {Operator.ISBLANK, Operator.ISNOTBLANK}:
        raise InvalidRequestError(_several(tree.field, "compared"))


def _several(name: str, done: str) -> str:
    return (
        f"“{name}” holds several values and cannot be {done}; name one of them, such as "
        f"“{name}.name”."
    )
