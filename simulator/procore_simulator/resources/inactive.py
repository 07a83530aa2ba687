"""Who and what in a company's directory is active, and what is not."""

from functools import partial

from procore_simulator.calls import Call
from procore_simulator.crud import list_reply
from procore_simulator.filtering import selected_rows
from procore_simulator.messages import Reply
from procore_simulator.resource import Resource
from procore_simulator.resources.companies import VENDORS
from procore_simulator.resources.directory import COMPANY_USERS
from procore_simulator.routing import Handler, Reach, Route, route

__all__ = ["RESOURCES", "ROUTES"]


def _inactive(resource: Resource) -> Handler:
    def handle(call: Call) -> Reply:
        rows = call.collection(resource.name).rows()
        return list_reply(resource, call, [row for row in rows if row.get("is_active") is False])

    return handle


def _active_users(call: Call) -> Reply:
    """List who is active: of the lists of users, none has everybody."""
    rows = selected_rows(
        COMPANY_USERS,
        call.collection(COMPANY_USERS.name),
        call.request.query,
        today=call.world.clock.today(),
    )
    active = [row for row in rows if row.get("is_active") is not False]
    return list_reply(COMPANY_USERS, call, active)


_route = partial(route, "GET", reach=Reach.COMPANY, tool="directory")
RESOURCES: tuple[Resource, ...] = ()
ROUTES: tuple[Route, ...] = (
    *(
        _route(
            f"/rest/v1.0/companies/{{company_id}}/{noun}/inactive",
            _inactive(resource),
            resource.name,
        )
        for noun, resource in (("users", COMPANY_USERS), ("vendors", VENDORS))
    ),
    *(
        _route(f"/rest/{version}/companies/{{company_id}}/users", _active_users, COMPANY_USERS.name)
        for version in ("v1.0", "v1.1", "v1.3")
    ),
)
