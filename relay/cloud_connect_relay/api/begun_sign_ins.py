"""Beginning a sign-in at Procore: which connector, and the address for the person's browser."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from cloud_connect.calls import AuthorizeAnswer, Operation
from cloud_connect.errors import InternalError, InvalidRequestError, SourceUnavailableError
from cloud_connect.loopback import is_loopback
from cloud_connect_relay.access import Use
from cloud_connect_relay.api.agent_words import understood
from cloud_connect_relay.api.call_specs import spec_for, target_for

if TYPE_CHECKING:
    from fastapi import Request

    from cloud_connect_relay.authentication import Principal
    from cloud_connect_relay.calls.spec import Target
    from cloud_connect_relay.services import Services

__all__ = ["CALLBACK", "BegunSignIn", "begin_sign_in"]

CALLBACK: Final = "/oauth/callback"
_LIFETIME: Final = 600.0  # seconds, as long as Procore's codes and the connector's memory
_MAX_ANSWER_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunSignIn:
    """Where to send the person's browser, and until when.

    Attributes:
        attempt: What the store knows it by; nobody can come back with it.
    """

    authorize_url: str
    expires_at: float
    connector_id: str
    attempt: str


async def begin_sign_in(
    services: "Services",
    principal: "Principal",
    request: "Request",
    datasource_id: str,
    *,
    connector_id: str | None = None,
) -> BegunSignIn:
    """Have a connector of the data source begin to sign in to Procore.

    Args:
        connector_id: Which; without it, the least loaded that is connected.

    Raises:
        CloudConnectError: Why it cannot.
    """
    target = await target_for(services, principal, datasource_id, use=Use.EDIT)
    if connector_id:
        target = await _narrowed(services, principal.subscription_id, target, connector_id)
    callback = f"{services.addresses.base_url}{CALLBACK}"
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
    if call.connector_id is None:
        raise InternalError("The call that began the sign-in has no connector.")
    now = services.clock()
    tenant = services.storage.of(principal.subscription_id)
    attempt = await tenant.authorizations.add(
        state,
        datasource_id=datasource_id,
        connector_id=call.connector_id,
        source=target.source,
        actor=principal.actor,
        at=now,
        expires_at=now + _LIFETIME,
    )
    return BegunSignIn(
        authorize_url=url,
        expires_at=now + _LIFETIME,
        connector_id=call.connector_id,
        attempt=attempt,
    )


async def _narrowed(
    services: "Services", subscription_id: str, target: "Target", connector_id: str
) -> "Target":
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
