"""Pure: a record as it would be sent, out of the request that would send it."""

from cloud_connect_agent.procore.catalog import Endpoint, Resource
from cloud_connect_agent.procore.messages import ApiRequest
from cloud_connect_agent.procore.metadata import names_in_sets
from cloud_connect_agent.procore.rows import CUSTOM_FIELD, Path, Row
from cloud_connect_agent.procore.values import is_blank

__all__ = ["asked_for", "lacking", "sent_record"]


def sent_record(request: ApiRequest, endpoint: Endpoint) -> Row:
    """The record of a request, without its envelope and the ids of where it goes."""
    body = dict(request.json) if isinstance(request.json, dict) else {}
    inside = body.pop(endpoint.envelope, None) if endpoint.envelope else None
    beside = {name: value for name, value in body.items() if name not in endpoint.body}
    return {**(inside if isinstance(inside, dict) else {}), **beside}


def lacking(resource: Resource, endpoint: Endpoint, record: Row) -> list[str]:
    """The fields that a new record lacks and that Procore documents as needed."""
    return [
        name
        for name in endpoint.required
        if name not in resource.scope_fields and is_blank(Path(name).of(record))
    ]


def asked_for(resource: Resource, required: frozenset[str], record: Row) -> list[str]:
    """The fields that a new record lacks and that one of the company's field sets requires.

    Args:
        required: As the field sets name them.
    """
    missing = []
    for name in sorted(required):
        meant = [
            spec.name
            for spec in resource.fields
            if spec.direction.goes_in and name in names_in_sets(spec.name)
        ]
        if CUSTOM_FIELD.fullmatch(name):
            meant = [name]
        if meant and all(is_blank(Path(one).of(record)) for one in meant):
            missing.append(meant[0])
    return missing
