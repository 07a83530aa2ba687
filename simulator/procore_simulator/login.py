"""The login origin: authorize, token, revoke and token info of one environment."""

import base64
import binascii
from html import escape
from urllib.parse import quote, urlencode, urlsplit

import structlog

from procore_simulator.auth import OOB_URI
from procore_simulator.bodies import parse_body
from procore_simulator.delivery import Delivery
from procore_simulator.failures import ApiError
from procore_simulator.inputs import to_integer
from procore_simulator.messages import (
    JsonObject,
    Receive,
    Reply,
    Request,
    Scope,
    Send,
    json_reply,
    text_reply,
)
from procore_simulator.simulation import Simulation
from procore_simulator.world import USER_ID, World

__all__ = ["LoginOrigin"]

_MAX_BODY_BYTES = 1024 * 1024
_INVALID_GRANT = (
    "The provided authorization grant is invalid, expired, revoked, does not match the "
    "redirection URI used in the authorization request, or was issued to another client."
)
_INVALID_CLIENT = (
    "Client authentication failed due to unknown client, no client authentication included, "
    "or unsupported authentication method."
)

log = structlog.get_logger()


def _oauth_error(
    status: int, error: str, description: str | None = None, *, headers: bool = False
) -> Reply:
    body = {"error": error}
    if description is not None:
        body["error_description"] = description
    challenge = (("WWW-Authenticate", f'Bearer realm="Doorkeeper", error="{error}"'),)
    return json_reply(body, status=status, headers=challenge if headers else ())


class LoginOrigin:
    """OAuth of one environment, on an origin of its own."""

    def __init__(self, simulation: Simulation, world: World) -> None:
        self._simulation = simulation
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        simulation = self._simulation
        entry = simulation.ledger.arrived(
            request,
            origin="login",
            environment=self._world.environment,
            now=simulation.clock.now(),
        )
        delivery = Delivery(request, send, entry, simulation.clock)
        try:
            await request.read_body(limit=_MAX_BODY_BYTES)
            simulation.ledger.hash_body(entry, request.body)
            rule = simulation.faults.strike(
                origin="login",
                environment=self._world.environment,
                method=request.method,
                path=entry.path,
                query=entry.query,
            )
            if rule is not None:
                entry.fault = rule.fault.kind.value
            if rule is not None and rule.prevents_execution:
                self._burn_presented(request)
                await delivery.fail(rule.fault, Reply())
                return
            try:
                reply = self._answer(request)
            except ApiError as exc:
                reply = exc.reply(v2=False)
            if rule is not None:
                await delivery.fail(rule.fault, reply)
            else:
                await delivery.answer(reply)
        except Exception:
            log.exception("login_request_failed", path=request.path)
            if entry.status is None:
                await delivery.answer(text_reply("Internal server error", status=500))
        finally:
            simulation.ledger.left(entry)

    def _burn_presented(self, request: Request) -> None:
        # "Any refresh call, successful or not, kills the token presented."
        try:
            body = parse_body(request.body, request.header(b"content-type"))
        except ApiError:
            return
        if body.get("grant_type") == "refresh_token":
            self._world.grants.burn(str(body.get("refresh_token")))

    def _answer(self, request: Request) -> Reply:
        match request.method, request.path.rstrip("/"):
            case "POST", "/oauth/token":
                return self._token(request)
            case "POST", "/oauth/revoke":
                return self._revoke(request)
            case "GET" | "HEAD", "/oauth/token/info":
                return self._info(request)
            case "GET" | "HEAD", "/oauth/authorize":
                return self._authorize(request)
            case "POST", "/oauth/authorize":
                return self._decide(request)
            case "GET" | "HEAD", "/oauth/authorize/native":
                code = escape(request.argument("code") or "")
                return _page("Authorization code", f"<code id='authorization_code'>{code}</code>")
            case _:
                return json_reply({"code": 404, "message": "Not found"}, status=404)

    def _credentials(self, request: Request, body: JsonObject) -> tuple[str | None, str | None]:
        header = request.header(b"authorization") or ""
        scheme, _, encoded = header.partition(" ")
        if scheme.lower() == "basic" and self._simulation.behaviour.basic_auth:
            try:
                decoded = base64.b64decode(encoded, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                return None, None
            client_id, _, secret = decoded.partition(":")
            return client_id, secret
        return body.get("client_id"), body.get("client_secret")

    def _token(self, request: Request) -> Reply:
        grants = self._world.grants
        body = {
            **dict(request.query),
            **parse_body(request.body, request.header(b"content-type")),
        }
        kind = body.get("grant_type")
        if not grants.is_client(*self._credentials(request, body)):
            if kind == "refresh_token":
                grants.burn(str(body.get("refresh_token")))
            self._simulation.ledger.counters["clients_refused"] += 1
            return _oauth_error(401, "invalid_client", _INVALID_CLIENT, headers=True)
        refused = _oauth_error(
            self._simulation.behaviour.invalid_grant_status, "invalid_grant", _INVALID_GRANT
        )
        match kind:
            case None | "":
                return _oauth_error(
                    400, "invalid_request", "Missing required parameter: grant_type."
                )
            case "client_credentials":
                if self._simulation.behaviour.one_service_token:
                    grants.end_service_tokens()
                token = grants.issue(self._world.service_principal())
            case "refresh_token":
                renewed = grants.refresh(str(body.get("refresh_token")))
                if renewed is None:
                    return refused
                token = renewed
            case "authorization_code":
                redeemed = grants.redeem(str(body.get("code")), body.get("redirect_uri"))
                if redeemed is None:
                    return refused
                token = redeemed
            case _:
                return _oauth_error(
                    400,
                    "unsupported_grant_type",
                    "The authorization grant type is not supported by the authorization server.",
                )
        return json_reply(token.answer(), headers=(("Cache-Control", "no-store"),))

    def _revoke(self, request: Request) -> Reply:
        body = parse_body(request.body, request.header(b"content-type"))
        if self._world.grants.is_client(*self._credentials(request, body)):
            self._world.grants.revoke(str(body.get("token")))
        return json_reply({})

    def _info(self, request: Request) -> Reply:
        header = request.header(b"authorization") or ""
        token = self._world.grants.find(header.partition(" ")[2].strip())
        if token is None:
            return _oauth_error(401, "invalid_token", "The access token is invalid", headers=True)
        return json_reply(
            {
                "resource_owner_id": token.principal.user_id,
                "scopes": [
                    scope for scope in self._simulation.behaviour.scopes.split(",") if scope
                ],
                "expires_in_seconds": int(token.expires_at - self._simulation.clock.now()),
                "application": {"uid": self._world.grants.app.client_id},
                "created_at": int(token.created_at),
            }
        )

    def _authorize(self, request: Request) -> Reply:
        wanted = dict(request.query)
        problem = self._refusal(wanted)
        if problem is not None:
            return _page("Sign-in failed", escape(problem), status=400)
        if wanted.get("auto_approve") == "true" or self._simulation.behaviour.auto_approve:
            return self._approved(wanted)
        fields = "".join(
            f"<input type='hidden' name='{name}' value='{escape(wanted.get(name, ''))}'>"
            for name in ("response_type", "client_id", "redirect_uri", "state")
        )
        people = "".join(
            f"<option value='{user['id']}'>{escape(user['name'])}</option>"
            for user in self._world.people()
        )
        form = (
            "<p>Cloud Connect would like to act for you in Procore.</p>"
            f"<form method='post'>{fields}<p>You are <select name='as'>{people}</select></p>"
            "<button name='commit' value='approve'>Approve</button> "
            "<button name='commit' value='deny'>Deny</button></form>"
        )
        return _page("Authorize the app", form)

    def _decide(self, request: Request) -> Reply:
        sent = parse_body(request.body, request.header(b"content-type"))
        wanted = {name: str(value) for name, value in sent.items()}
        problem = self._refusal(wanted)
        if problem is not None:
            return _page("Sign-in failed", escape(problem), status=400)
        if wanted.get("commit") == "approve":
            return self._approved(wanted)
        denied = {
            "error": "access_denied",
            "error_description": "The resource owner or authorization server denied the request.",
        }
        if wanted["redirect_uri"] == OOB_URI:
            return _page("Denied", denied["error_description"])
        return self._redirect(wanted, denied)

    def _refusal(self, wanted: dict[str, str]) -> str | None:
        grants = self._world.grants
        if wanted.get("client_id") != grants.app.client_id:
            return _INVALID_CLIENT
        if wanted.get("redirect_uri") not in grants.redirect_uris:
            return "The redirect URI included is not valid."
        if wanted.get("response_type") != "code":
            return "The authorization server does not support this response type."
        return None

    def _approved(self, wanted: dict[str, str]) -> Reply:
        address = wanted["redirect_uri"]
        chosen = to_integer(wanted.get("as"))
        person = self._world.user_principal(USER_ID if chosen is None else chosen)
        code = self._world.grants.make_code(person, address)
        if address == OOB_URI:
            return Reply(
                status=302, headers=(("Location", f"/oauth/authorize/native?code={quote(code)}"),)
            )
        return self._redirect(wanted, {"code": code})

    @staticmethod
    def _redirect(wanted: dict[str, str], answer: dict[str, str]) -> Reply:
        if wanted.get("state"):
            answer = {**answer, "state": wanted["state"]}
        address = wanted["redirect_uri"]
        joint = "&" if urlsplit(address).query else "?"
        return Reply(status=302, headers=(("Location", f"{address}{joint}{urlencode(answer)}"),))


def _page(title: str, body: str, *, status: int = 200) -> Reply:
    html = (
        f"<!doctype html><meta charset='utf-8'><title>{title}</title>"
        f"<h1>{title}</h1><p>This is the Procore simulator.</p>{body}"
    )
    return Reply(status=status, body=html.encode(), content_type="text/html; charset=utf-8")
