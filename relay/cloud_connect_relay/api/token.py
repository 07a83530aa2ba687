"""``POST /Token``: the platform's sign-in with a user name and a password."""

from email.utils import formatdate
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response

from cloud_connect_relay.api.bodies import to_json
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.security import services, source_of
from cloud_connect_relay.credentials import ROLES
from cloud_connect_relay.services import Services

if TYPE_CHECKING:
    from cloud_connect_relay.storage.users import User

__all__ = ["router"]

router: Final = Routes(tags=["Sign in"])

_FORM: Final = {
    "type": "object",
    "required": ["grant_type", "username", "password"],
    "properties": {
        "grant_type": {"type": "string", "const": "password"},
        "username": {"type": "string"},
        "password": {"type": "string", "format": "password"},
    },
}
_OPENAPI: Final = {
    "requestBody": {
        "required": True,
        "content": {"application/x-www-form-urlencoded": {"schema": _FORM}},
    }
}
_MAX_FIELDS: Final = 20
_NO_STORE: Final = {"cache-control": "no-store", "pragma": "no-cache"}


@router.post(
    "/Token", summary="Sign in with a password", openapi_extra=_OPENAPI, response_class=Response
)
async def sign_in(request: Request, services: Annotated[Services, Depends(services)]) -> Response:
    """Exchange a user name and a password for a bearer token that lives five minutes."""
    async with request.form(max_fields=_MAX_FIELDS, max_files=0) as form:
        fields = {name: value for name, value in form.items() if not isinstance(value, UploadFile)}
    if fields.get("grant_type") != "password":
        return _refusal("unsupported_grant_type")
    user = await services.authenticator.user_of(
        username=fields.get("username", ""),
        password=fields.get("password", ""),
        source=source_of(request.scope),
    )
    if user is None:
        return _refusal("invalid_grant", "The user name or password is incorrect.")
    return await _granted(services, user)


async def _granted(services: Services, user: "User") -> Response:
    lifetime = services.settings.auth.token_lifetime
    issued = await services.authenticator.issue(
        user.subscription_id,
        kind="bearer",
        lifetime=lifetime,
        scopes=ROLES[user.role],
        user_id=user.id,
    )
    return Response(
        to_json(
            {
                "access_token": issued.text,
                "token_type": "bearer",
                "expires_in": lifetime,
                "userName": user.username,
                "userId": user.id,
                "subscriptionId": user.subscription_id,
                ".issued": formatdate(issued.issued_at, usegmt=True),
                ".expires": formatdate(issued.expires_at, usegmt=True),
            }
        ),
        headers=_NO_STORE,
        media_type="application/json",
    )


def _refusal(error: str, description: str | None = None) -> Response:
    document = {"error": error}
    if description is not None:
        document["error_description"] = description
    return Response(
        to_json(document), status_code=400, headers=_NO_STORE, media_type="application/json"
    )
