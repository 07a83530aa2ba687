"""The pass-through: raw Procore requests in, raw answers out, both bodies as they come.

This is the hot path, so it is bare ASGI: it looks nothing up in the store that it has just
looked up, and parses no body.
"""

import re
from typing import TYPE_CHECKING, Final

import structlog
from starlette.requests import Request

from cloud_connect.calls import Operation
from cloud_connect.errors import (
    CloudConnectError,
    InvalidRequestError,
    UnsupportedOperationError,
)
from cloud_connect_relay.access import Use
from cloud_connect_relay.api.call_response import Reply, call_problem
from cloud_connect_relay.api.call_specs import on_behalf, target_for
from cloud_connect_relay.api.hang_up import until_hang_up
from cloud_connect_relay.api.oauth_token import answer_oauth
from cloud_connect_relay.api.problems import not_found, problem_response
from cloud_connect_relay.api.raw_answer import pass_on
from cloud_connect_relay.api.request_body import CallerGoneError
from cloud_connect_relay.api.security import authenticate_request, check_scope
from cloud_connect_relay.api.strong_calls import on_named_connector, signature_headers
from cloud_connect_relay.api.uploads import Intake, take_in
from cloud_connect_relay.caller import caller_of
from cloud_connect_relay.calls.deadline import timeout_of
from cloud_connect_relay.calls.idempotency import canonical, checked_key, fingerprint
from cloud_connect_relay.calls.priority import is_interactive
from cloud_connect_relay.calls.spec import CallSpec

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from cloud_connect_relay.services import Services

__all__ = ["Passthrough"]

log = structlog.get_logger(__name__)

_PATH: Final = re.compile(r"/api/datasources/[^/]+/procore(?:/.*)?", re.DOTALL)
_READS: Final = frozenset({"GET", "HEAD"})
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_MAX_TARGET: Final = 8192  # characters of path and query
_MAX_HEADERS: Final = 4096  # characters of the headers that go on

# Nothing else goes to the agent, the caller's Authorization least of all.
_REQUEST_HEADERS: Final = frozenset(
    {
        b"accept",
        b"accept-language",
        b"content-length",
        b"content-type",
        b"idempotency-token",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"procore-company-id",
        b"procore-sdk-language",
        b"procore-sdk-version",
        b"range",
    }
)
_OWN_HEADERS: Final = frozenset(
    {
        b"cloud-connect-connector",
        b"cloud-connect-deadline-ms",
        b"cloud-connect-signature",
        b"idempotency-key",
        b"priority",
    }
)
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})  # a body: RFC 9112, 6.3
_NOTHING: Final = Intake(body=None)
_MORE: Final = ((b"x-content-type-options", b"nosniff"),)


class Passthrough:
    """A raw endpoint: it takes its paths before FastAPI sees them, and looks after itself."""

    def __init__(self, services: "Services") -> None:
        self._services: Final = services

    def matches(self, path: str) -> bool:
        """Whether it takes *path*."""
        return _PATH.fullmatch(path) is not None

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""
        reply = Reply(send, caller_of(scope))
        refusal: Response | None = None
        try:
            refusal = await self._answer(scope, receive, reply)
        except CallerGoneError:
            return
        except CloudConnectError as error:
            if reply.started:
                log.info("answer_broken_off", call_id=error.call_id, code=error.code.value)
            else:
                refusal = call_problem(error)
        if refusal is not None:
            await refusal(scope, receive, send)

    async def _answer(self, scope: "Scope", receive: "Receive", reply: Reply) -> "Response | None":
        datasource_id, path = _split(scope)
        if path.startswith("oauth/"):
            request = Request(scope, receive)
            return await answer_oauth(
                self._services, request, path[6:], datasource_id=datasource_id
            )
        services = self._services
        principal = await authenticate_request(services, scope)
        method: str = scope["method"]
        writes = method not in _READS
        if method not in _METHODS:
            refused = problem_response(
                UnsupportedOperationError(
                    "The pass-through takes GET, HEAD, POST, PUT, PATCH and DELETE."
                )
            )
            refused.headers["allow"] = ", ".join(sorted(_METHODS))
            return refused
        check_scope(principal, "calls:write" if writes else "calls:read")
        if not path.startswith("rest/"):
            raise not_found()
        headers, own, bodiless = _headers(scope)
        key = checked_key(own.get(b"idempotency-key")) if writes else None
        timeout = timeout_of(own.get(b"cloud-connect-deadline-ms"), services.calls.settings)
        target = on_named_connector(
            services.registry,
            await target_for(services, principal, datasource_id, use=Use.PASSTHROUGH),
            principal.subscription_id,
            own.get(b"cloud-connect-connector"),
        )
        given = own.get(b"cloud-connect-signature")
        signature = signature_headers(() if given is None else (given,))
        query = scope["query_string"].decode("latin-1")
        raw_target = f"{path}?{query}" if query else path
        if len(raw_target) > _MAX_TARGET:
            raise InvalidRequestError(
                f"The path and query are longer than {_MAX_TARGET} characters."
            )
        if bodiless:
            intake = _NOTHING
        else:
            intake = await take_in(scope, receive, whole=key is not None or not writes)
        digest = None
        if key is not None:
            digest = fingerprint(
                "passthrough",
                datasource_id,
                canonical(target.source),
                method,
                raw_target,
                repr(headers),
                intake.body,
                *on_behalf(principal),
            )
        spec = CallSpec(
            subscription_id=principal.subscription_id,
            key_id=principal.key_id,
            actor=principal.actor,
            target=target,
            operation=Operation.PASSTHROUGH,
            params={"method": method, "target": raw_target},
            resource=path[:200],
            headers=(*headers, *signature),
            writes=writes,
            body=intake.body,
            timeout=timeout,
            interactive=is_interactive(own.get(b"priority")),
            idempotency_key=key,
            fingerprint=digest,
        )
        base = f"{services.addresses.base_url}/api/datasources/{datasource_id}/procore"
        refusal: Response | None = None
        async with until_hang_up(scope, receive, body=intake.pump):
            try:
                running = (
                    services.calls.write(spec, upload=intake.upload, streams=True)
                    if writes
                    else services.calls.read(spec)
                )
                async with running as answer:
                    await pass_on(answer, reply, base=base, head=method == "HEAD", more=_MORE)
            except CloudConnectError as error:
                if reply.started:
                    log.info("answer_broken_off", call_id=error.call_id, code=error.code.value)
                else:
                    refusal = call_problem(error)
        return refusal


def _split(scope: "Scope") -> tuple[str, str]:
    """Return the data source's id and what follows ``procore/``, exactly as it was sent."""
    try:
        raw: str = scope["raw_path"].decode("ascii")
    except UnicodeDecodeError:
        raise InvalidRequestError("The path holds a character that is not ASCII.") from None
    parts = raw.split("/", 5)
    if len(parts) != 6 or parts[:3] != ["", "api", "datasources"] or parts[4] != "procore":
        raise not_found()
    return parts[3], parts[5]


def _headers(scope: "Scope") -> tuple[tuple[tuple[str, str], ...], dict[bytes, str], bool]:
    """Return the headers that go on, those for the relay, and whether there is no body."""
    passed: list[tuple[str, str]] = []
    own: dict[bytes, str] = {}
    size = 0
    bodiless = True
    for name, value in scope["headers"]:
        if name in _FRAMING:
            bodiless = False
        if name in _REQUEST_HEADERS:
            text = value.decode("latin-1")
            if not text.isprintable():
                raise InvalidRequestError(
                    f"The header '{name.decode('latin-1')}' holds a control character."
                )
            size += len(name) + len(text)
            passed.append((name.decode("latin-1"), text))
        elif name in _OWN_HEADERS:
            own[name] = value.decode("latin-1")
    if size > _MAX_HEADERS:
        raise InvalidRequestError(
            f"The headers that go on to Procore are longer than {_MAX_HEADERS} characters."
        )
    return tuple(passed), own, bodiless
