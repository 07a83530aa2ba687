"""Who is signed in to the console: sessions are tokens in the store, and a cookie names one."""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cloud_connect.errors import UnauthorizedError
from cloud_connect_relay.authentication import Principal
from cloud_connect_relay.console.csrf import token_for
from cloud_connect_relay.credentials import ROLES, CredentialKind

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from cloud_connect_relay.console.addresses import ConsoleAddresses
    from cloud_connect_relay.services import Services
    from cloud_connect_relay.storage.users import User

__all__ = ["Session", "Sessions", "SignInNeededError", "cookie_name"]

_NAME: Final = "cloud_connect_session"
_PROLONGING: Final = 0.05  # of the idle time must have passed before the store is told of use
# Pages ask for news by themselves; that is no sign of somebody who sits before them.
_BACKGROUND: Final = "console-background"
_COOKIE: Final = re.compile(r"ccs_[a-z0-9_]{1,100}", re.ASCII)


class SignInNeededError(UnauthorizedError):
    """Nobody is signed in, or not any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who is signed in.

    Attributes:
        csrf: What forms of this session carry.
        secret: The cookie's text; what is derived from it only we and this browser know.
    """

    principal: Principal
    username: str
    role: str
    began_at: float
    expires_at: float
    csrf: str = field(repr=False)
    secret: str = field(repr=False)


def cookie_name(addresses: "ConsoleAddresses", name: str = _NAME) -> str:
    """Return a cookie's name: by https one that no other host can set (RFC 6265bis, 4.1.3)."""
    return f"__Host-{name}" if addresses.secure else name


class Sessions:
    """Begins, finds and ends sessions."""

    def __init__(self, services: "Services", addresses: "ConsoleAddresses") -> None:
        self._services: Final = services
        self._addresses: Final = addresses
        self._idle: Final = services.settings.auth.session_idle_timeout
        self._longest: Final = services.settings.auth.session_lifetime

    async def begin(self, user: "User", response: "Response") -> None:
        """Let somebody in who has shown their password; *response* gets the cookie."""
        issued = await self._services.authenticator.issue(
            user.subscription_id,
            kind="console",
            lifetime=min(self._idle, self._longest),
            scopes=ROLES[user.role],
            user_id=user.id,
        )
        response.set_cookie(
            cookie_name(self._addresses),
            issued.text,
            httponly=True,
            secure=self._addresses.secure,
            samesite="lax",
        )

    async def find(self, request: "Request") -> Session | None:
        """Return the session of a request, which goes on for another while by it."""
        text = request.cookies.get(cookie_name(self._addresses))
        if text is None or _COOKIE.fullmatch(text) is None:
            return None
        grant = await self._services.authenticator.redeem(text, kinds=(CredentialKind.SESSION,))
        if grant is None or grant.live_until is None or grant.user_id is None:
            return None
        expires_at = grant.live_until
        if _BACKGROUND not in request.headers:
            latest = grant.created_at + self._longest
            until = min(self._services.clock() + self._idle, latest)
            if until - expires_at > self._idle * _PROLONGING:
                tokens = self._services.storage.of(grant.subscription_id).access_tokens
                await tokens.prolong(grant.id, until=until)
                expires_at = until
        return Session(
            principal=self._services.authenticator.holder(grant),
            username=grant.username or "",
            role=grant.role or "",
            began_at=grant.created_at,
            expires_at=expires_at,
            csrf=token_for(text),
            secret=text,
        )

    async def end(self, session: Session) -> None:
        """Refuse a session from now on; what it runs is cut."""
        principal = session.principal
        tokens = self._services.storage.of(principal.subscription_id).access_tokens
        await tokens.revoke(principal.credential_id, at=self._services.clock())

    def forget(self, response: "Response") -> None:
        """Have the browser drop its cookie."""
        response.delete_cookie(
            cookie_name(self._addresses),
            httponly=True,
            secure=self._addresses.secure,
            samesite="lax",
        )
