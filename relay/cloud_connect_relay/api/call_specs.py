"""From a request to a call: what its headers and its caller add to what it asks for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials

from cloud_connect.call_signatures import SIGNATURE_HEADER
from cloud_connect_relay.access import Use
from cloud_connect_relay.api.security import BEARER, Principal, authenticate_request, services
from cloud_connect_relay.api.strong_calls import (
    CONNECTOR_HEADER,
    on_named_connector,
    signature_headers,
)
from cloud_connect_relay.calls.deadline import timeout_of
from cloud_connect_relay.calls.priority import is_interactive
from cloud_connect_relay.calls.spec import CallSpec

if TYPE_CHECKING:
    from cloud_connect.calls import Operation
    from cloud_connect_relay.calls.spec import Target
    from cloud_connect_relay.services import Services

__all__ = ["on_behalf", "signed_in", "spec_for", "target_for"]


async def signed_in(
    request: Request,
    _: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],  # for the OpenAPI
) -> Principal:
    """Return the caller; which scope is needed depends on the body, so the endpoint checks it."""
    return await authenticate_request(services(request), request.scope)


signed_in.required_scope = "calls:read"  # type: ignore[attr-defined]  # the least it takes


async def target_for(
    services: "Services", principal: Principal, datasource_id: str, *, use: Use
) -> "Target":
    """Return where the calls of the caller's data source go.

    Raises:
        NotFoundError: If there is none, or it is not the caller's.
        InsufficientScopeError: If its security settings do not let the caller use it so.
        DataSourceIncompleteError: If its details do not tell.
    """
    return await services.calls.sources.target(
        principal.subscription_id, datasource_id, subject=principal.subject, use=use
    )


def on_behalf(principal: Principal) -> tuple[str, ...]:
    """Return what the fingerprint of a write has beside the request: the person, if it is one.

    Nobody gets another's stored answer, whatever key they guess. A program's key may be
    another one tomorrow.
    """
    return () if principal.subject.person is None else (principal.subject.person,)


def spec_for(
    services: "Services",
    principal: Principal,
    request: Request,
    *,
    target: "Target",
    operation: "Operation",
    params: Mapping[str, Any] | None = None,
    resource: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    writes: bool = False,
    body: bytes | None = None,
) -> CallSpec:
    """Return what the caller asks for, in the time and with the urgency that its headers tell.

    Raises:
        InvalidRequestError: If the header with its deadline, or with its signature, is malformed.
        AgentOfflineError: If it names a connector that is not there.
    """
    signature = signature_headers(request.headers.getlist(SIGNATURE_HEADER))
    return CallSpec(
        subscription_id=principal.subscription_id,
        key_id=principal.key_id,
        target=on_named_connector(
            services.registry,
            target,
            principal.subscription_id,
            request.headers.get(CONNECTOR_HEADER),
        ),
        actor=principal.actor,
        operation=operation,
        params=params or {},
        resource=resource,
        headers=(*headers, *signature),
        writes=writes,
        body=body,
        timeout=timeout_of(
            request.headers.get("Cloud-Connect-Deadline-Ms"), services.calls.settings
        ),
        interactive=is_interactive(request.headers.get("Priority")),
    )
