"""From a request to a call: what its headers and its caller add to what it asks for."""

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials

from cloud_connect_relay.api.security import BEARER, Principal, authenticate_request, services
from cloud_connect_relay.calls.deadline import timeout_of
from cloud_connect_relay.calls.priority import is_interactive

if TYPE_CHECKING:
    from cloud_connect_relay.calls.spec import Target
    from cloud_connect_relay.services import Services

__all__ = ["interactive_for", "signed_in", "target_for", "timeout_for"]


async def signed_in(
    request: Request,
    _: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],  # for the OpenAPI
) -> Principal:
    """Return the caller; which scope is needed depends on the body, so the endpoint checks it."""
    return await authenticate_request(services(request), request.scope)


signed_in.required_scope = "calls:read"  # type: ignore[attr-defined]  # the least it takes


async def target_for(services: "Services", principal: Principal, datasource_id: str) -> "Target":
    """Return where the calls of the caller's data source go.

    Raises:
        NotFoundError: If there is none, or it is not the caller's.
        DataSourceIncompleteError: If its details do not tell.
    """
    return await services.calls.sources.target(principal.subscription_id, datasource_id)


def timeout_for(services: "Services", request: Request) -> float:
    """Return the seconds that the caller gives the call.

    Raises:
        InvalidRequestError: If the header that says so is malformed.
    """
    header = request.headers.get("Cloud-Connect-Deadline-Ms")
    return timeout_of(header, services.calls.settings)


def interactive_for(request: Request) -> bool:
    """Whether a person waits for the call, which its ``Priority`` tells."""
    return is_interactive(request.headers.get("Priority"))
