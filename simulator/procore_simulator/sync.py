"""Sync actions: up to 1,000 upserts in one call, with the failures inside a 200."""

from procore_simulator.calls import Call
from procore_simulator.crud import change, insert, present
from procore_simulator.failures import ApiError, missing_parameter
from procore_simulator.inputs import to_integer
from procore_simulator.messages import Json, JsonObject, Reply, json_reply
from procore_simulator.records import Record
from procore_simulator.resource import Resource
from procore_simulator.routing import Reach, Route
from procore_simulator.tenancy import Level

__all__ = ["MAX_SYNC_ITEMS", "sync_route"]

MAX_SYNC_ITEMS = 1000


def sync_route(resource: Resource, template: str) -> Route:
    """Declare ``PATCH …/sync`` of a resource."""

    def handle(call: Call) -> Reply:
        updates = call.body.get("updates")
        if not isinstance(updates, list):
            raise missing_parameter("updates")
        if len(updates) > MAX_SYNC_ITEMS:
            message = f"Too many items: {len(updates)}, at most {MAX_SYNC_ITEMS} are allowed"
            raise ApiError(413, {"code": 413, "message": message}, message=message)
        entities: list[Record] = []
        errors: list[JsonObject] = []
        for item in updates:
            sent = item if isinstance(item, dict) else {}
            try:
                row = _upsert(resource, call, sent)
            except ApiError as exc:
                errors.append({**sent, "errors": _item_errors(exc)})
            else:
                entities.append(present(resource, call, row))
        call.record_id = ",".join(str(row["id"]) for row in entities)
        return json_reply({"entities": entities, "errors": errors})

    return Route(
        method="PATCH",
        template=template,
        handler=handle,
        resource=resource.name,
        reach=Reach.COMPANY if resource.company_wide else Reach.PROJECT,
        tool=resource.tool,
        level=Level.STANDARD,
    )


def _upsert(resource: Resource, call: Call, sent: JsonObject) -> Record:
    rows = call.collection(resource.name)
    if sent.get("id") not in (None, ""):
        number = to_integer(sent["id"])
        row = None if number is None else rows.get(number)
        if row is None:
            raise ApiError(
                422,
                {"errors": {"id": ["Entity with this ID not found"]}},
                message="Entity with this ID not found",
            )
        return change(resource, call, row, sent)
    origin = sent.get("origin_id")
    if origin not in (None, ""):
        row = rows.find(lambda other: other.get("origin_id") == str(origin))
        if row is not None:
            return change(resource, call, row, sent)
    return insert(resource, call, sent)


def _item_errors(error: ApiError) -> Json:
    if isinstance(error.payload, dict) and isinstance(error.payload.get("errors"), dict):
        return error.payload["errors"]
    return {"base": [error.message]}
