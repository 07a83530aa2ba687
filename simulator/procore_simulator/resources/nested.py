"""Collections below the records of another resource, each found below its own record only."""

from collections.abc import Callable
from dataclasses import replace

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes, list_reply, stored
from procore_simulator.failures import not_found
from procore_simulator.filtering import select_among
from procore_simulator.messages import Reply
from procore_simulator.records import Record
from procore_simulator.resource import Resource
from procore_simulator.routing import Handler, Route

__all__ = ["holder_of", "nested_routes"]


def holder_of(call: Call, holder: str, holder_id: str) -> Record:
    """Return the record of *holder* that the path names as *holder_id*.

    Raises:
        ApiError: 404 if there is none.
    """
    row = call.lookup(holder, call.item_id(holder_id))
    if row is None:
        raise not_found()
    return row


def nested_routes(
    resource: Resource,
    path: str,
    verbs: str,
    *,
    holder: str,
    holder_id: str,
    belongs: Callable[[Record, Record], bool],
    v2: bool = False,
    created: int = 201,
) -> tuple[Route, ...]:
    """Declare the operations *verbs*, as ``crud_routes`` does, below a record of *holder*.

    Args:
        path: The collection's template, which names the record as *holder_id*.
        belongs: Whether a row is one of a record's.
    """

    def listing(call: Call) -> Reply:
        above = holder_of(call, holder, holder_id)
        rows = [row for row in call.collection(resource.name).rows() if belongs(row, above)]
        return list_reply(resource, call, select_among(resource, rows, call.request.query), v2=v2)

    def below(handler: Handler) -> Handler:
        def handle(call: Call) -> Reply:
            above = holder_of(call, holder, holder_id)
            if "id" in call.params and not belongs(stored(resource, call), above):
                raise not_found()
            return handler(call)

        return handle

    routes = crud_routes(resource, path, verbs, v2=v2, created=created)
    return tuple(
        replace(
            route,
            handler=listing
            if (route.method, route.template) == ("GET", path)
            else below(route.handler),
        )
        for route in routes
    )
