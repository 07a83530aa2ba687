"""Pure: a record as it would be sent, out of the request that would send it."""

from cloud_connect.errors import InvalidRequestError
from cloud_connect_agent.procore.catalog import Endpoint, Resource
from cloud_connect_agent.procore.messages import ApiRequest
from cloud_connect_agent.procore.rows import Path, Row

__all__ = ["check_required", "sent_record"]


def sent_record(request: ApiRequest, endpoint: Endpoint) -> Row:
    """The record of a request, without its envelope and the ids of where it goes."""
    body = dict(request.json) if isinstance(request.json, dict) else {}
    inside = body.pop(endpoint.envelope, None) if endpoint.envelope else None
    beside = {name: value for name, value in body.items() if name not in endpoint.body}
    return {**(inside if isinstance(inside, dict) else {}), **beside}


def check_required(resource: Resource, endpoint: Endpoint, record: Row) -> None:
    """Refuse a new record that lacks what Procore documents as needed.

    Raises:
        InvalidRequestError: Naming what is missing.
    """
    missing = [
        name
        for name in endpoint.required
        if name not in resource.scope_fields and Path(name).of(record) in (None, "", [])
    ]
    if missing:
        named = ", ".join(f"“{name}”" for name in missing)
        raise InvalidRequestError(f"The new {resource.one} lacks what Procore needs: {named}.")
