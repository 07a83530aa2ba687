"""From a request to the call that carries out a query of the platform."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cloud_connect.calls import Operation
from cloud_connect.errors import InvalidRequestError
from cloud_connect_relay.access import Use
from cloud_connect_relay.api.bodies import passed_on
from cloud_connect_relay.api.call_specs import on_behalf, spec_for, target_for
from cloud_connect_relay.api.query_calls import (
    action_of,
    check_action,
    is_write,
    query_spec,
    table_of,
)
from cloud_connect_relay.api.strong_calls import is_signed

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from fastapi import Request

    from cloud_connect_relay.api.security import Principal
    from cloud_connect_relay.calls.answer import Answer
    from cloud_connect_relay.calls.spec import CallSpec
    from cloud_connect_relay.services import Services

__all__ = ["QueryCall", "UnusableQueryError", "query_call"]


class UnusableQueryError(InvalidRequestError):
    """The query is none that can be carried out; whoever wrote it is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryCall:
    """A query, ready to run.

    Attributes:
        rehearsal: It writes nothing, it tells what it would write.
    """

    spec: "CallSpec"
    rehearsal: bool

    def run(self, services: "Services") -> "AbstractAsyncContextManager[Answer]":
        """Run it and hold its answer."""
        calls = services.calls
        return calls.write(self.spec) if self.spec.writes else calls.read(self.spec)


async def query_call(
    services: "Services",
    principal: "Principal",
    request: "Request",
    datasource_id: str,
    document: dict[str, Any],
    *,
    body: bytes | None = None,
    key: str | None = None,
) -> QueryCall:
    """Return the call of a query, within what its caller is bound to.

    Args:
        body: The query as it came, if it did.
        key: Its idempotency key, if it writes and has one.

    Raises:
        NotFoundError: If there is no such data source, or it is not the caller's.
        InsufficientScopeError: If its security settings do not let the caller query it.
        DataSourceIncompleteError: If its details do not tell where the query goes.
        UnusableQueryError: If the query is wrong; the message says where.
        InvalidRequestError: If a header of the request is.
        AgentOfflineError: If it names a connector that is not there.
    """
    action = action_of(document)
    target = await target_for(services, principal, datasource_id, use=Use.QUERY)
    try:
        check_action(action)
        if target.partner_rules is not None:
            document, body = target.partner_rules.query(document), None
            target = target.confined()
    except InvalidRequestError as error:
        raise UnusableQueryError(error.message) from error
    asked = spec_for(
        services,
        principal,
        request,
        target=target,
        operation=Operation.QUERY,
        resource=table_of(document),
        headers=(("content-type", "application/json"),),
        writes=is_write(action),
        body=passed_on(document) if body is None else body,
    )
    try:
        spec, rehearsal = query_spec(
            # One that is signed carries its own number: two of them are two by their caller's word.
            asked,
            document,
            key=key,
            coalesces=not is_signed(request),
            on_behalf=on_behalf(principal),
        )
    except InvalidRequestError as error:
        raise UnusableQueryError(error.message) from error
    return QueryCall(spec=spec, rehearsal=rehearsal)
