"""Signing a connector in to Procore from the platform: the address, and the browser's return.

The relay passes a code on to the connector that began the sign-in. It cannot redeem it: that
takes the app's secret and a verifier, which never leave the connector's PC.
"""

import math
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import parse_qs, urlsplit

import structlog
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from cloud_connect.browser_page import DENIED, PAGE_HEADERS, render_page, without_code
from cloud_connect.calls import AuthorizeAnswer, Operation, RedeemAnswer, RedeemBody
from cloud_connect.errors import (
    CloudConnectError,
    InternalError,
    InvalidRequestError,
    QuotaExceededError,
    SourceUnavailableError,
)
from cloud_connect.loopback import is_loopback
from cloud_connect_relay.access import Use
from cloud_connect_relay.api.agent_words import understood
from cloud_connect_relay.api.call_specs import spec_for, target_for
from cloud_connect_relay.api.security import Principal, require, services, source_of
from cloud_connect_relay.calls.spec import CallSpec, Target
from cloud_connect_relay.services import Services
from cloud_connect_relay.storage.authorizations import AuthorizationsOfAll, BegunAuthorization
from cloud_connect_relay.times import iso_time

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

__all__ = ["router"]

log = structlog.get_logger(__name__)

router: Final = APIRouter(tags=["Data sources"])

Shared = Annotated[Services, Depends(services)]

_LIFETIME: Final = 600.0  # seconds, as long as Procore's codes and the connector's memory
_MAX_ANSWER_BYTES: Final = 64 * 1024
_CALLBACK: Final = "/oauth/callback"
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
    target = await target_for(services, principal, datasource_id, use=Use.EDIT)
    wanted = body.connector_id if body else None
    if wanted:
        target = await _narrowed(services, principal.subscription_id, target, wanted)
    callback = f"{services.addresses.base_url}{_CALLBACK}"
    spec = spec_for(
        services,
        principal,
        request,
        target=target,
        operation=Operation.AUTHORIZE,
        params={"redirect_uri": callback},
    )
    async with services.calls.read(spec) as answer:
        text = await answer.collect(max_bytes=_MAX_ANSWER_BYTES)
        url, state = _checked_url(text, callback)
        call = await services.calls.find(principal.subscription_id, answer.call_id)
    now = services.clock()
    tenant = services.storage.of(principal.subscription_id)
    connector_id = call.connector_id
    if connector_id is None:
        raise InternalError("The call that began the sign-in has no connector.")
    await tenant.authorizations.add(
        state,
        datasource_id=datasource_id,
        connector_id=connector_id,
        source=target.source,
        actor=principal.actor,
        at=now,
        expires_at=now + _LIFETIME,
    )
    return AuthorizeReply(authorize_url=url, expires_at=iso_time(now + _LIFETIME) or "")


@router.get(
    _CALLBACK, response_class=Response, responses=_PAGE, summary="Where a browser comes back to"
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


async def _narrowed(
    services: Services, subscription_id: str, target: Target, connector_id: str
) -> Target:
    """Return *target* with one connector of its own.

    Raises:
        InvalidRequestError: If it is none of the data source's.
    """
    found = await services.storage.of(subscription_id).connectors.get(connector_id)
    if found is None or not target.includes(found.id, group=found.group, hosted=found.hosted):
        raise InvalidRequestError("connectorId: it is none of the data source's connectors.")
    return target.only(connector_id)


def _checked_url(text: bytes, callback: str) -> tuple[str, str]:
    """Return the connector's address and its state; a browser is about to be sent there.

    Raises:
        SourceUnavailableError: If it is no address of a sign-in that comes back here.
    """
    url = understood(AuthorizeAnswer, text).authorize_url
    try:
        parts = urlsplit(url)
        query = parse_qs(parts.query, max_num_fields=50)
        host = parts.hostname
    except ValueError as error:
        raise SourceUnavailableError(
            "The connector's answer is no address to sign in at."
        ) from error
    secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host or ""))
    states = query.get("state", [])
    if not secure or query.get("redirect_uri") != [callback] or len(states) != 1:
        raise SourceUnavailableError("The connector's answer is no address to sign in at.")
    return url, states[0]


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
