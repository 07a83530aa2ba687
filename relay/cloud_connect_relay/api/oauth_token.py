"""Procore's token endpoint, for its clients: an API key in, a token that stands for it out.

Procore itself is never asked: its tokens stay with the agent. What is answered here lives for
a while, dies with its key, and opens only the data source at whose address it was asked for.
"""

import base64
import binascii
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import parse_qsl

from fastapi import Depends
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import Response

from cloud_connect.errors import InvalidRequestError
from cloud_connect_relay.api.bodies import check_json, to_json
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.problems import not_found
from cloud_connect_relay.api.request_body import read_body
from cloud_connect_relay.api.security import services, source_of
from cloud_connect_relay.credentials import CredentialKind
from cloud_connect_relay.services import Services

if TYPE_CHECKING:
    from starlette.types import Message, Receive

    from cloud_connect_relay.storage.keys import Grant

__all__ = ["answer_oauth", "router"]

router: Final = Routes(tags=["Sign in"])

TOKEN_LIFETIME: Final = 5400  # seconds, Procore's own
_REFRESH_LIFETIME: Final = 30 * 86_400  # seconds
_MAX_BODY_BYTES: Final = 64 * 1024
_MAX_FIELDS: Final = 50
_GRANTS: Final = frozenset({"authorization_code", "client_credentials", "refresh_token"})
_NOWHERE: Final = "unknown"  # in no network, if a key is bound to some
_NO_STORE: Final = {"cache-control": "no-store", "pragma": "no-cache"}

# Doorkeeper's words, as Procore answers them.
_INVALID_CLIENT: Final = (
    "Client authentication failed due to unknown client, no client authentication included, or"
    " unsupported authentication method."
)
_INVALID_GRANT: Final = (
    "The provided authorization grant is invalid, expired, revoked, does not match the redirection"
    " URI used in the authorization request, or was issued to another client."
)
_INVALID_TOKEN: Final = "The access token is invalid"  # noqa: S105  a message

_FORM: Final = {
    "type": "object",
    "required": ["grant_type", "client_secret"],
    "properties": {
        "grant_type": {"type": "string", "enum": sorted(_GRANTS)},
        "client_id": {"type": "string"},
        "client_secret": {"type": "string", "description": "An API key."},
        "refresh_token": {"type": "string"},
    },
}
_OPENAPI: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {"schema": _FORM},
            "multipart/form-data": {"schema": _FORM},
            "application/json": {"schema": _FORM},
        },
    }
}

Shared = Annotated[Services, Depends(services)]


@router.post("/oauth/token", openapi_extra=_OPENAPI, response_class=Response)
@router.post("/oauth/token/", include_in_schema=False, response_class=Response)
async def oauth_token(request: Request, services: Shared) -> Response:
    """Exchange an API key, sent as `client_secret`, for a token that stands for it.

    The token is good for every data source of the subscription. Asked for at
    `/api/datasources/{datasource_id}/procore/oauth/token`, it is good for that one only.
    """
    return await _issue(services, request, datasource_id=None)


@router.get("/oauth/token/info", response_class=Response)
async def oauth_token_info(request: Request, services: Shared) -> Response:
    """Tell how long the token in `Authorization` lives."""
    return await _info(services, request, datasource_id=None)


@router.post("/oauth/revoke", response_class=Response)
async def oauth_revoke(request: Request, services: Shared) -> Response:
    """End a token; the answer is the same whether there was one."""
    return await _revoke(services, request)


async def answer_oauth(
    services: Services, request: Request, path: str, *, datasource_id: str
) -> Response:
    """Answer a request below a data source's own address.

    Args:
        path: What follows ``oauth/``.

    Raises:
        NotFoundError: If there is nothing at *path*.
    """
    match request.method, path.rstrip("/"):
        case "POST", "token":
            return await _issue(services, request, datasource_id=datasource_id)
        case "GET", "token/info":
            return await _info(services, request, datasource_id=datasource_id)
        case "POST", "revoke":
            return await _revoke(services, request)
        case _:
            raise not_found()


async def _issue(services: Services, request: Request, *, datasource_id: str | None) -> Response:
    fields = await _fields(request)
    grant_type = fields.get("grant_type")
    if not grant_type:
        return _refusal(400, "invalid_request", "Missing required parameter: grant_type.")
    if grant_type not in _GRANTS:
        return _refusal(
            400,
            "unsupported_grant_type",
            "The authorization grant type is not supported by the authorization server.",
        )
    secret = fields.get("client_secret") or _basic_password(request) or ""
    source = source_of(request.scope)
    key = await services.authenticator.redeem(
        secret, kinds=(CredentialKind.API_KEY,), source=source or _NOWHERE
    )
    if key is None:
        services.authenticator.failure(source, kind="oauth")
        return _refusal(401, "invalid_client", _INVALID_CLIENT)
    if datasource_id is not None:
        await services.calls.sources.find(key.subscription_id, datasource_id)
    if grant_type == "refresh_token" and not await _redeemed(
        services, fields.get("refresh_token", ""), key, datasource_id
    ):
        return _refusal(400, "invalid_grant", _INVALID_GRANT)
    return await _granted(services, key, datasource_id)


async def _redeemed(services: Services, text: str, key: "Grant", datasource_id: str | None) -> bool:
    """Use up a refresh token; whether it was one of *key* and of this address."""
    token = await services.authenticator.redeem(text, kinds=(CredentialKind.REFRESH_TOKEN,))
    if token is None or (token.key_id, token.datasource_id) != (key.id, datasource_id):
        return False
    tokens = services.storage.of(key.subscription_id).access_tokens
    return await tokens.revoke(token.id, at=services.clock())


async def _granted(services: Services, key: "Grant", datasource_id: str | None) -> Response:
    access = await services.authenticator.issue(
        key.subscription_id,
        kind="oauth",
        lifetime=TOKEN_LIFETIME,
        scopes=key.scopes,
        key_id=key.id,
        datasource_id=datasource_id,
    )
    refresh = await services.authenticator.issue(
        key.subscription_id,
        kind="refresh",
        lifetime=_REFRESH_LIFETIME,
        scopes=key.scopes,
        key_id=key.id,
        datasource_id=datasource_id,
    )
    return _json(
        {
            "access_token": access.text,
            "token_type": "bearer",
            "expires_in": TOKEN_LIFETIME,
            "refresh_token": refresh.text,
            "created_at": int(access.issued_at),
        }
    )


async def _info(services: Services, request: Request, *, datasource_id: str | None) -> Response:
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    grant = None
    if scheme.lower() == "bearer":
        grant = await services.authenticator.redeem(
            text.strip(),
            kinds=(CredentialKind.ACCESS_TOKEN, CredentialKind.API_KEY),
            source=source_of(request.scope) or _NOWHERE,
        )
    if grant is None or (
        datasource_id is not None and grant.datasource_id not in {None, datasource_id}
    ):
        services.authenticator.failure(source_of(request.scope), kind="oauth")
        refusal = _refusal(401, "invalid_token", _INVALID_TOKEN)
        refusal.headers["www-authenticate"] = (
            f'Bearer error="invalid_token", error_description="{_INVALID_TOKEN}"'
        )
        return refusal
    left = None if grant.live_until is None else max(0, int(grant.live_until - services.clock()))
    return _json(
        {
            "resource_owner_id": None,
            "scopes": [],
            "expires_in_seconds": left,
            "application": {"uid": grant.key_id},
            "created_at": None if left is None else int(services.clock()) - (TOKEN_LIFETIME - left),
        }
    )


async def _revoke(services: Services, request: Request) -> Response:
    fields = await _fields(request)
    token = await services.authenticator.redeem(
        fields.get("token", ""),
        kinds=(CredentialKind.ACCESS_TOKEN, CredentialKind.REFRESH_TOKEN),
    )
    if token is not None:
        tokens = services.storage.of(token.subscription_id).access_tokens
        await tokens.revoke(token.id, at=services.clock())
        services.authenticator.forget()
    return _json({})


async def _fields(request: Request) -> dict[str, str]:
    """Return the parameters of a form, a multipart form or a JSON object."""
    body = await read_body(request.scope, request.receive, max_bytes=_MAX_BODY_BYTES)
    media = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media == "application/json":
        document = check_json(body) if body.strip() else {}
        if not isinstance(document, dict):
            raise InvalidRequestError("The body must be one JSON object.")
        return {name: str(value) for name, value in document.items() if value is not None}
    if media == "multipart/form-data":
        return await _multipart(Request(request.scope, _once(body)))
    try:
        return dict(parse_qsl(body.decode(), max_num_fields=_MAX_FIELDS, keep_blank_values=True))
    except ValueError as error:
        raise InvalidRequestError("The body is no form.") from error


async def _multipart(request: Request) -> dict[str, str]:
    try:
        async with request.form(max_fields=_MAX_FIELDS, max_files=0) as form:
            return {
                name: value for name, value in form.items() if not isinstance(value, UploadFile)
            }
    except (HTTPException, MultiPartException) as error:
        raise InvalidRequestError("The body is no form.") from error


def _once(body: bytes) -> "Receive":
    async def receive() -> "Message":
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _basic_password(request: Request) -> str | None:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return decoded.partition(":")[2]


def _refusal(status: int, error: str, description: str) -> Response:
    return _json({"error": error, "error_description": description}, status=status)


def _json(document: dict[str, Any], *, status: int = 200) -> Response:
    return Response(
        to_json(document), status_code=status, headers=_NO_STORE, media_type="application/json"
    )
