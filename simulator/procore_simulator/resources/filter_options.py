"""The values that a list can be filtered by, as its ``filter_options`` name them."""

from collections.abc import Iterator, Mapping

from procore_simulator.calls import Call
from procore_simulator.failures import not_found
from procore_simulator.messages import Json, JsonObject, Reply, json_reply
from procore_simulator.resource import Resource
from procore_simulator.resources.rfis import RFIS
from procore_simulator.resources.submittals import SUBMITTALS
from procore_simulator.routing import Handler, Route, route

__all__ = ["RESOURCES", "ROUTES"]

# By list: what a filter is called, and the key of a record that it looks at.
_LISTS: tuple[tuple[Resource, str, Mapping[str, str]], ...] = (
    (
        RFIS,
        "/rest/v1.0/projects/{project_id}/rfis",
        {
            "assigned_id": "assignees",
            "ball_in_court_id": "ball_in_court",
            "location_id": "location",
            "received_from_login_information_id": "received_from",
            "responsible_contractor_id": "responsible_contractor",
            "rfi_manager_id": "rfi_manager",
            "status": "status",
        },
    ),
    (
        # The list itself is of version 1.1.
        SUBMITTALS,
        "/rest/v1.0/projects/{project_id}/submittals",
        {
            "ball_in_court_id": "ball_in_court",
            "responsible_contractor_id": "responsible_contractor",
            "status_id": "status",
            "submittal_manager_id": "submittal_manager",
        },
    ),
)


def _options(value: Json) -> Iterator[tuple[Json, str]]:
    """What a record can be found by: an id and its name, or a plain value."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            yield item["id"], str(item.get("name") or item.get("login") or item["id"])
        elif item is not None:
            yield item, str(item).replace("_", " ").capitalize()


def _values(resource: Resource, fields: Mapping[str, str]) -> Handler:
    def handle(call: Call) -> Reply:
        key = fields.get(call.params["field"])
        if key is None:
            raise not_found("Filter")
        rows = call.collection(resource.name).rows()
        found = {
            option: text
            for row in rows
            for option, text in _options(row.get(key, resource.template.get(key)))
        }
        pairs = sorted(found.items(), key=lambda pair: pair[1])
        return json_reply([{"key": option, "value": text} for option, text in pairs])

    return handle


def _filters(fields: Mapping[str, str]) -> Handler:
    def handle(call: Call) -> Reply:
        listed: list[JsonObject] = [
            {
                "key": name,
                "value": name.removesuffix("_id").replace("_", " ").capitalize(),
                "endpoint": f"{call.request.path}/{name}",
            }
            for name in fields
        ]
        return json_reply(listed)

    return handle


def _route(resource: Resource, template: str, handler: Handler) -> Route:
    return route("GET", template, handler, f"{resource.name}_filter_options", tool=resource.tool)


RESOURCES: tuple[Resource, ...] = ()
ROUTES: tuple[Route, ...] = tuple(
    route
    for resource, path, fields in _LISTS
    for route in (
        _route(resource, f"{path}/filter_options", _filters(fields)),
        _route(resource, f"{path}/filter_options/{{field}}", _values(resource, fields)),
    )
)
