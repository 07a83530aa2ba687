"""The people who may sign in, for administrators; and everybody's own password."""

from typing import Annotated, Any, Final

from fastapi import Depends, Request
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
)
from starlette.responses import Response

from cloud_connect.errors import InsufficientScopeError, InvalidRequestError
from cloud_connect_relay.api.call_specs import signed_in
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.problems import not_found
from cloud_connect_relay.api.security import (
    Principal,
    check_grant,
    require,
    services,
    source_of,
)
from cloud_connect_relay.credentials import ROLES
from cloud_connect_relay.ids import is_id
from cloud_connect_relay.names import NAME
from cloud_connect_relay.passwords import MAX_PASSWORD, MIN_PASSWORD, random_password
from cloud_connect_relay.services import Services
from cloud_connect_relay.storage.users import User
from cloud_connect_relay.times import iso_time

__all__ = ["router"]

router: Final = Routes(prefix="/api/users", tags=["Keys and users"])


def _role(value: str) -> str:
    if value not in ROLES:
        raise ValueError(f"there are the roles {', '.join(sorted(ROLES))}")
    return value


async def _person(principal: Annotated[Principal, Depends(signed_in)]) -> str:
    """Return who signed in; a program has no password."""
    if principal.user_id is None:
        raise InsufficientScopeError("Only a person who signed in with a password has one.")
    return principal.user_id


Username = Annotated[str, StringConstraints(strip_whitespace=True, pattern=NAME)]
Role = Annotated[str, Field(max_length=64), AfterValidator(_role)]
Password = Annotated[SecretStr, Field(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD)]
Manages = Annotated[Principal, Depends(require("users:manage"))]
Shared = Annotated[Services, Depends(services)]


class UserRequest(BaseModel):
    """A new person."""

    model_config = ConfigDict(extra="forbid")

    username: Username
    role: Role = "operator"
    password: Password | None = Field(
        default=None, description="Without it one is made, and is in the answer, once."
    )


class UserChange(BaseModel):
    """What changes about a person."""

    model_config = ConfigDict(extra="forbid")

    role: Role


class PasswordRequest(BaseModel):
    """A person's new password, as an administrator sets it."""

    model_config = ConfigDict(extra="forbid")

    password: Password | None = Field(
        default=None, description="Without it one is made, and is in the answer, once."
    )


class OwnPasswordRequest(BaseModel):
    """The caller's own new password."""

    model_config = ConfigDict(extra="forbid")

    current: SecretStr = Field(max_length=MAX_PASSWORD)
    password: Password


@router.post("", status_code=201, summary="Create a user")
async def create_user(body: UserRequest, principal: Manages, services: Shared) -> dict[str, Any]:
    """Let a person sign in, with a role that allows no more than the caller may."""
    check_grant(principal, ROLES[body.role])
    password, shown = _password(body.password)
    made = await services.storage.of(principal.subscription_id).users.create(
        body.username,
        password_hash=await services.authenticator.hash_password(password),
        role=body.role,
        actor=principal.actor,
        at=services.clock(),
    )
    return {**_document(made), "password": shown}


@router.get("", summary="List users")
async def list_users(principal: Manages, services: Shared) -> dict[str, Any]:
    """List the people, oldest first; those who may not sign in any more, too."""
    users = await services.storage.of(principal.subscription_id).users.all()
    return {"items": [_document(user) for user in users]}


@router.get("/{user_id}", summary="Show a user")
async def show_user(user_id: str, principal: Manages, services: Shared) -> dict[str, Any]:
    """Show one person who may sign in."""
    return _document(await _found(services, principal, user_id))


@router.patch("/{user_id}", summary="Give a user another role")
async def change_user(
    user_id: str, body: UserChange, principal: Manages, services: Shared
) -> dict[str, Any]:
    """Give a person another role; they sign in anew."""
    user = await _found(services, principal, user_id)
    check_grant(principal, ROLES[user.role])
    check_grant(principal, ROLES[body.role])
    users = services.storage.of(principal.subscription_id).users
    if await users.set_role(user_id, body.role, actor=principal.actor, at=services.clock()) is None:
        raise not_found()
    services.authenticator.forget()
    return {**_document(user), "role": body.role}


@router.put("/{user_id}/password", summary="Set a user's password")
async def set_password(
    user_id: str, principal: Manages, services: Shared, body: PasswordRequest | None = None
) -> dict[str, Any]:
    """Set a person's password and end their sessions."""
    user = await _found(services, principal, user_id)
    check_grant(principal, ROLES[user.role])  # whoever knows a password is that person
    password, shown = _password((body or PasswordRequest()).password)
    await _store_password(services, principal, user_id, password)
    return {**_document(user), "password": shown}


@router.post("/me/password", status_code=204, summary="Change your own password")
async def change_own_password(
    body: OwnPasswordRequest,
    request: Request,
    user_id: Annotated[str, Depends(_person)],
    principal: Annotated[Principal, Depends(signed_in)],
    services: Shared,
) -> Response:
    """Change the password of the person whose token this is; all their sessions end."""
    user = await _found(services, principal, user_id)
    genuine = await services.authenticator.user_of(
        username=user.username,
        password=body.current.get_secret_value(),
        source=source_of(request.scope),
    )
    if genuine is None:
        raise InvalidRequestError("current: this is not your password.")
    await _store_password(services, principal, user.id, body.password.get_secret_value())
    return Response(status_code=204)


@router.delete("/{user_id}", status_code=204, summary="Revoke a user")
async def revoke_user(user_id: str, principal: Manages, services: Shared) -> Response:
    """Refuse a person from now on and end their sessions; never the last administrator."""
    user = await _found(services, principal, user_id)
    check_grant(principal, ROLES[user.role])
    users = services.storage.of(principal.subscription_id).users
    if await users.revoke(user_id, actor=principal.actor, at=services.clock()) is None:
        raise not_found()
    services.authenticator.forget()
    return Response(status_code=204)


async def _store_password(
    services: Services, principal: Principal, user_id: str, password: str
) -> None:
    hashed = await services.authenticator.hash_password(password)
    users = services.storage.of(principal.subscription_id).users
    if (
        await users.set_password(user_id, hashed, actor=principal.actor, at=services.clock())
        is None
    ):
        raise not_found()
    services.authenticator.forget()


def _password(given: SecretStr | None) -> tuple[str, str | None]:
    """Return the password to store, and what of it is shown: only what was made up here."""
    if given is not None:
        return given.get_secret_value(), None
    made_up = random_password()
    return made_up, made_up


async def _found(services: Services, principal: Principal, user_id: str) -> User:
    users = services.storage.of(principal.subscription_id).users
    user = await users.find(user_id) if is_id("usr", user_id) else None
    if user is None:
        raise not_found()
    return user


def _document(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "username": user.username,
        "role": user.role,
        "status": "live" if user.revoked_at is None else "revoked",
        "created_at": iso_time(user.created_at),
        "revoked_at": iso_time(user.revoked_at),
    }
