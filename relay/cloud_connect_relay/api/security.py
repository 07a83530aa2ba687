"""Dependencies of the endpoints: the services, and who is calling with which rights."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from cloud_connect.errors import InsufficientScopeError, InvalidRequestError, NotFoundError
from cloud_connect_relay.authentication import Principal
from cloud_connect_relay.credentials import SCOPES
from cloud_connect_relay.services import Services

if TYPE_CHECKING:
    from starlette.types import Scope

__all__ = [
    "BEARER",
    "Principal",
    "authenticate",
    "authenticate_request",
    "check_grant",
    "check_scope",
    "require",
    "require_any",
    "services",
    "source_of",
]

BEARER: Final = HTTPBearer(
    scheme_name="Bearer",
    description="An API key (`cck_…`) or a token of `POST /Token`.",
    auto_error=False,
)

_DATASOURCES: Final = "/api/datasources/"
_ACTS_FOR: Final = b"cloud-connect-user"
_MAX_NAME: Final = 256
_PRINCIPAL: Final = "cloud_connect_principal"  # where the gate leaves it in the ASGI scope


def services(request: Request) -> Services:
    """Return what the parts of this relay share."""
    found: Services = request.app.state.services
    return found


def source_of(scope: "Scope") -> str | None:
    """Return the address a request came from."""
    client = scope.get("client")
    return str(client[0]) if client else None


async def authenticate(
    services: Services, authorization_header: str | None, *, source: str | None = None
) -> Principal:
    """Return who presents the header; for callers that are no FastAPI endpoint.

    Args:
        source: The caller's address (``source_of``); its failures are counted.

    Raises:
        UnauthorizedError: If no live credential came.
        QuotaExceededError: If the source fails too often.
    """
    return await services.authenticator.authenticate(authorization_header, source=source)


def check_scope(principal: Principal, scope: str) -> None:
    """Refuse a principal whose credential does not cover *scope*.

    Raises:
        InsufficientScopeError: Naming the scope.
    """
    if not principal.may(scope):
        raise InsufficientScopeError(
            f"This needs the scope '{scope}', which the credential does not have."
        )


def check_grant(principal: Principal, scopes: frozenset[str]) -> None:
    """Refuse to hand out what the caller does not have.

    Raises:
        InsufficientScopeError: Naming what is missing.
    """
    missing = sorted(scope for scope in scopes if not principal.may(scope))
    if missing:
        raise InsufficientScopeError(
            f"Nobody gives away more than they have; the credential lacks {', '.join(missing)}."
        )


def require(*scopes: str) -> Callable[..., Awaitable[Principal]]:
    """Return a dependency: the caller, whose credential must cover all *scopes*."""
    _check_known(scopes)

    async def principal(
        request: Request,
        _: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],  # for the OpenAPI
    ) -> Principal:
        found = await _authenticated(request)
        for scope in scopes:
            check_scope(found, scope)
        return found

    principal.required_scope = "+".join(scopes)  # type: ignore[attr-defined]  # tests read it
    return principal


def require_any(*scopes: str) -> Callable[..., Awaitable[Principal]]:
    """Return a dependency: the caller, whose credential must cover one of *scopes*."""
    _check_known(scopes)

    async def principal(
        request: Request,
        _: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],  # for the OpenAPI
    ) -> Principal:
        found = await _authenticated(request)
        if not any(found.may(scope) for scope in scopes):
            raise InsufficientScopeError(
                f"This needs one of the scopes {', '.join(scopes)}, which the credential does not"
                " have."
            )
        return found

    principal.required_scope = "|".join(scopes)  # type: ignore[attr-defined]  # as above
    return principal


def _check_known(scopes: tuple[str, ...]) -> None:
    for scope in scopes:
        if scope not in SCOPES:
            raise ValueError(f"unknown scope {scope}")


async def _authenticated(request: Request) -> Principal:
    found = request.scope.get(_PRINCIPAL)
    if isinstance(found, Principal):
        return found
    return await authenticate_request(services(request), request.scope)


async def authenticate_request(services: Services, scope: "Scope") -> Principal:
    """Authenticate an ASGI request and leave the principal in its scope for ``require``.

    Raises:
        UnauthorizedError: If no live credential came, or more than one.
        InsufficientScopeError: If the credential is bound to a data source, and this is none.
        NotFoundError: If it is bound to another data source.
        QuotaExceededError: If the source fails too often.
        InvalidRequestError: If the header with the user that it acts for is malformed.
    """
    presented = [value for name, value in scope["headers"] if name == b"authorization"]
    header = presented[0].decode("latin-1") if len(presented) == 1 else None
    found = await authenticate(services, header, source=source_of(scope))
    named = [value for name, value in scope["headers"] if name == _ACTS_FOR]
    if named:
        found = await services.authenticator.acting_for(found, _name_of(named))
    if found.datasource_id is not None:
        _check_binding(found.datasource_id, scope["path"])
    scope[_PRINCIPAL] = found
    services.requests.enter(scope, found)
    return found


def _name_of(values: list[bytes]) -> str:
    """Return the user that a request names; what is unclear is refused, never ignored."""
    name = values[0].decode("latin-1").strip() if len(values) == 1 else ""
    if not (0 < len(name) <= _MAX_NAME and name.isascii() and name.isprintable()):
        raise InvalidRequestError(
            f"Cloud-Connect-User must come once and be 1 to {_MAX_NAME} printable ASCII characters:"
            " the user's id, or a user name that can be written so."
        )
    return name


def _check_binding(datasource_id: str, path: str) -> None:
    """Keep a token that is bound to one data source from everything else."""
    if not path.startswith(_DATASOURCES):
        raise InsufficientScopeError("This token is good for one data source only.")
    if path.removeprefix(_DATASOURCES).partition("/")[0] != datasource_id:
        raise NotFoundError("There is nothing here, or it is not yours.")
