"""Who and what in a company's directory is inactive."""

from procore_simulator.calls import Call
from procore_simulator.crud import list_reply
from procore_simulator.messages import Reply
from procore_simulator.resource import Resource
from procore_simulator.resources.companies import VENDORS
from procore_simulator.resources.directory import COMPANY_USERS
from procore_simulator.routing import Handler, Reach, Route

__all__ = ["RESOURCES", "ROUTES"]


def _inactive(resource: Resource) -> Handler:
    def handle(call: Call) -> Reply:
        rows = call.collection(resource.name).rows()
        return list_reply(resource, call, [row for row in rows if row.get("is_active") is False])

    return handle


RESOURCES: tuple[Resource, ...] = ()
ROUTES: tuple[Route, ...] = tuple(
    Route(
        method="GET",
        template=f"/rest/v1.0/companies/{{company_id}}/{noun}/inactive",
        handler=_inactive(resource),
        resource=resource.name,
        reach=Reach.COMPANY,
        tool="directory",
    )
    for noun, resource in (("users", COMPANY_USERS), ("vendors", VENDORS))
)
