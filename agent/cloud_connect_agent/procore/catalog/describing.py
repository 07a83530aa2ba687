"""Pure: what a table of the catalogue says, in words for people and as a document."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final

from cloud_connect.calls import Operation
from cloud_connect.errors import UnsupportedOperationError
from cloud_connect_agent.procore.catalog.endpoint import (
    Endpoint,
    FilterKind,
    Pager,
    ServerFilter,
    SortStyle,
)
from cloud_connect_agent.procore.catalog.fields import label_of
from cloud_connect_agent.procore.catalog.model import Resource
from cloud_connect_agent.procore.files.attaching import check_takes_files

__all__ = [
    "LETTERS",
    "VERBS",
    "area_title",
    "body_of",
    "by_area",
    "document_of",
    "filter_words",
    "letters_of",
    "operations_of",
    "paging_of",
    "request_of",
    "scope_words",
    "sort_words",
    "takes_files",
]

VERBS: Final[Mapping[str, Operation]] = {
    "list": Operation.LIST,
    "get": Operation.GET,
    "create": Operation.CREATE,
    "update": Operation.UPDATE,
    "delete": Operation.DELETE,
}
LETTERS: Final[Mapping[str, str]] = {
    "list": "L",
    "get": "S",
    "create": "C",
    "update": "U",
    "delete": "D",
}
_AREAS: Final = {"rfis": "RFIs", "task_items": "Tasks", "forms": "PDF forms"}
_DAILY_LOG: Final = "daily_log_"
_KINDS: Final = {
    FilterKind.ONE: "one value",
    FilterKind.MANY: "any of several values",
    FilterKind.RANGE: "from…until",
    FilterKind.DATES: "first…last day",
    FilterKind.SINCE: "since",
    FilterKind.DAYS: "first and last day, always sent",
    FilterKind.DAY: "one day, always needed",
}


def area_title(area: str) -> str:
    """What an area is called as a heading."""
    if area.startswith(_DAILY_LOG):
        return f"Daily log: {area.removeprefix(_DAILY_LOG).replace('_', ' ')}"
    return _AREAS.get(area) or label_of(area)


def by_area(catalog: Iterable[Resource]) -> Iterator[tuple[str, Iterable[Resource]]]:
    """The tables under the headings of their areas, in the order of those."""
    ordered = sorted(catalog, key=lambda resource: area_title(resource.area).casefold())
    return groupby(ordered, key=lambda resource: area_title(resource.area))


def operations_of(resource: Resource) -> Iterator[tuple[str, Endpoint]]:
    """The operations that exist, by the names that the catalogue's tables give them."""
    for verb, operation in VERBS.items():
        endpoint = resource.endpoint(operation)
        if endpoint is not None:
            yield verb, endpoint


def letters_of(resource: Resource) -> str:
    """``LSCUD`` with a dash for each operation that Procore lacks."""
    there = dict(operations_of(resource))
    return "".join(letter if verb in there else "-" for verb, letter in LETTERS.items())


def takes_files(resource: Resource) -> bool:
    """Whether files can be hung on the records."""
    try:
        check_takes_files(resource)
    except UnsupportedOperationError:
        return False
    return True


def request_of(resource: Resource, verb: str, endpoint: Endpoint) -> str:
    """The request line, with the names of ids in braces."""
    pairs = [f"{name}={{{name}}}" for name in endpoint.query]
    pairs += [f"{name}={value}" for name, value in endpoint.always]
    line = f"{resource.method(VERBS[verb])} {endpoint.template}"
    return f"{line}?{'&'.join(pairs)}" if pairs else line


def body_of(endpoint: Endpoint) -> str:
    """What the body of a create or an update looks like."""
    inside = f'{{"{endpoint.envelope}": {{…}}}}' if endpoint.envelope else "{…}"
    beside = (*endpoint.body, *endpoint.top_level)
    words = f"{inside} beside {', '.join(beside)}" if beside else inside
    if endpoint.query_fields:
        words += f"; {', '.join(endpoint.query_fields)} in the query"
    return f"{words}; a form if a file is in it" if endpoint.attach else words


def paging_of(endpoint: Endpoint) -> str:
    """How a list comes."""
    if endpoint.pager is Pager.NONE:
        return "all in one answer"
    return f"pages of {endpoint.per_page}"


def scope_words(resource: Resource) -> str:
    """Which ids say where a record lives."""
    return ", ".join(resource.scope_fields) or "company"


def filter_words(spec: ServerFilter) -> str:
    """How Procore takes a filter."""
    words = _KINDS[spec.kind]
    known = tuple(spec.map) or spec.values
    if known:
        words += f" of {', '.join(known)}"
    if spec.default is not None:
        words += f"; {spec.default} unless asked for"
    return words


def sort_words(resource: Resource) -> str:
    """What Procore is asked to sort by, and how it is told; empty if that is nothing."""
    names = ", ".join(resource.served_sorts)
    by_attribute = resource.list_ and resource.list_.sort_style is SortStyle.ATTRIBUTE
    return f"{names} (sort[attribute])" if names and by_attribute else names


def document_of(resource: Resource) -> dict[str, object]:
    """Everything about a table, as a document for programs."""
    needed = {*resource.needed_fields, *resource.scope_fields}
    return {
        "name": resource.name,
        "text": resource.text,
        "desc": resource.desc,
        "area": resource.area,
        "level": resource.level.value,
        "scope": list(resource.scope_fields),
        "id_type": resource.id_type.value,
        "identity": resource.identity,
        "single": resource.single,
        "dynamic": resource.dynamic,
        "takes_files": takes_files(resource),
        "operations": {
            verb: _endpoint(resource, verb, endpoint) for verb, endpoint in operations_of(resource)
        },
        "sync": resource.sync and resource.sync.model_dump(mode="json"),
        "missing": dict(resource.missing),
        "sends": dict(resource.sends),
        "fields": [
            {
                "name": spec.name,
                "label": spec.label,
                "type": spec.type.value,
                "sent_as": (spec.sent or spec.type).value if spec.direction.goes_in else None,
                "direction": spec.direction.value,
                "required": spec.direction.goes_in and spec.name in needed,
            }
            for spec in (*resource.scope_specs, *resource.fields)
        ],
    }


def _endpoint(resource: Resource, verb: str, endpoint: Endpoint) -> dict[str, object]:
    table = endpoint.model_dump(
        mode="json", exclude_defaults=True, exclude={"method", "path", "version"}
    )
    return {"method": resource.method(VERBS[verb]), "path": endpoint.template} | table
