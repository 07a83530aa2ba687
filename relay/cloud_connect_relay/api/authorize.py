"""Signing a connector in to Procore from the platform: the address, and the browser's return.

The relay passes a code on to the connector that began the sign-in. It cannot redeem it: that
takes the app's secret and a verifier, which never leave the connector's PC.
"""

import math
from typing import TYPE_CHECKING, Annotated, Any, Final

import structlog
from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from cloud_connect.browser_page import DENIED, PAGE_HEADERS, render_page, without_code
from cloud_connect.calls import Operation, RedeemAnswer, RedeemBody
from cloud_connect.errors import (
    CloudConnectError,
    QuotaExceededError,
)
from cloud_connect_relay.api.agent_words import understood
from cloud_connect_relay.api.begun_sign_ins import CALLBACK, begin_sign_in
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.security import Principal, require, services, source_of
from cloud_connect_relay.calls.spec import CallSpec, Target
from cloud_connect_relay.services import Services
from cloud_connect_relay.storage.authorizations import AuthorizationsOfAll, BegunAuthorization
from cloud_connect_relay.times import iso_time

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

__all__ = ["router"]

log = structlog.get_logger(__name__)

router: Final = Routes(tags=["Data sources"])

Shared = Annotated[Services, Depends(services)]

_MAX_ANSWER_BYTES: Final = 64 * 1024
_NOT_KNOWN: Final = (
    "This sign-in is not known here: it was answered already, or begun more than ten minutes ago.",
    "Go back to the data source and choose Authorize again.",
)
_AGAIN: Final = "To try again, go back to the data source and choose Authorize."
# The border adds its own to every answer.
_PAGE_HEADERS: Final = {
    name: value
    for name, value in PAGE_HEADERS
    if name not in {"referrer-policy", "x-content-type-options"}
}
_PAGE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "A page for the person.", "content": {"text/html": {}}}
}


class AuthorizeRequest(BaseModel):
    """Which connector is to be signed in."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    connector_id: str | None = Field(
        default=None,
        alias="connectorId",
        max_length=64,
        description="One of the data source's; without it, the least loaded that is connected.",
    )


class AuthorizeReply(BaseModel):
    """Where to send the person's browser, and until when."""

    authorize_url: str
    expires_at: str


@router.post("/api/datasources/{datasource_id}/authorize")
async def authorize(
    datasource_id: str,
    request: Request,
    principal: Annotated[Principal, Depends(require("datasources:write"))],
    services: Shared,
    body: AuthorizeRequest | None = None,
) -> AuthorizeReply:
    """Begin to sign the data source's connector in to Procore, as the person who opens the URL.

    The connector's PC decides whom it accepts. Register `{relay}/oauth/callback` as a redirect
    URI of the app at Procore.
    """
    begun = await begin_sign_in(
        services,
        principal,
        request,
        datasource_id,
        connector_id=body.connector_id if body else None,
    )
    return AuthorizeReply(
        authorize_url=begun.authorize_url, expires_at=iso_time(begun.expires_at) or ""
    )


@router.get(
    CALLBACK, response_class=Response, responses=_PAGE, summary="Where a browser comes back to"
)
async def callback(request: Request, services: Shared) -> Response:
    """Pass the code on to the connector that waits for it, and tell the person how it ended."""
    query = request.query_params
    state = _only(query, "state")
    begun = None
    if state is not None:
        everybody = AuthorizationsOfAll(services.storage)
        begun = await everybody.use(state, now=services.clock())
    if state is None or begun is None:
        try:
            services.authenticator.failure(source_of(request.scope), kind="authorize")
        except QuotaExceededError as error:
            return _slowed(error)
        return _page(400, "Not signed in", *_NOT_KNOWN)
    if "code" not in query:
        why = _only(query, "error")
        reason = DENIED if why == DENIED else "no_code"
        await _record(services, begun, succeeded=False, detail={"reason": reason})
        return _page(200, "Not signed in", without_code(why), _AGAIN)
    try:
        body = RedeemBody(code=_only(query, "code") or "", state=state)
    except ValidationError:
        await _record(services, begun, succeeded=False, detail={"reason": "malformed_code"})
        malformed = "The code that came back with the browser is malformed; nothing was changed."
        return _page(400, "Not signed in", malformed, _AGAIN)
    try:
        redeemed = await _redeem(services, begun, body)
    except CloudConnectError as error:
        await _record(services, begun, succeeded=False, detail={"reason": error.code.value})
        return _page(error.status, "Not signed in", error.message, _AGAIN)
    await _record(services, begun, succeeded=True, detail={"login": redeemed.login})
    return _page(
        200,
        "Signed in",
        f"Cloud Connect on {redeemed.machine or 'your PC'} now acts in Procore as "
        f"{redeemed.login or 'you'}.",
        "You can close this window.",
    )


async def _redeem(services: Services, begun: BegunAuthorization, body: RedeemBody) -> RedeemAnswer:
    spec = CallSpec(
        subscription_id=begun.subscription_id,
        key_id=None,
        actor=begun.actor,
        target=Target(
            datasource_id=begun.datasource_id,
            connector_ids=(begun.connector_id,),
            group=None,
            hosted=False,  # whichever it is, its id alone tells
            source=begun.source,
        ),
        operation=Operation.REDEEM,
        body=body.model_dump_json().encode(),
        timeout=services.calls.settings.default_deadline,
    )
    async with services.calls.read(spec) as answer:
        text = await answer.collect(max_bytes=_MAX_ANSWER_BYTES)
    return understood(RedeemAnswer, text)


def _only(query: "QueryParams", name: str) -> str | None:
    values = query.getlist(name)
    return values[0] if len(values) == 1 and 0 < len(values[0]) <= 4096 else None


async def _record(
    services: Services, begun: BegunAuthorization, *, succeeded: bool, detail: dict[str, Any]
) -> None:
    await services.storage.of(begun.subscription_id).audit.add(
        at=services.clock(),
        actor=begun.actor,
        action="datasource.authorized" if succeeded else "datasource.authorize_failed",
        target=begun.datasource_id,
        detail={"connector_id": begun.connector_id, **detail},
    )


def _slowed(error: QuotaExceededError) -> Response:
    many = "Too many sign-ins that are not known here came from this address; wait a minute."
    page = _page(error.status, "Not signed in", many, _NOT_KNOWN[1])
    page.headers["retry-after"] = str(math.ceil(error.retry_after or 1))
    return page


def _page(status: int, title: str, *sentences: str) -> Response:
    return Response(render_page(title, *sentences), status_code=status, headers=_PAGE_HEADERS)
