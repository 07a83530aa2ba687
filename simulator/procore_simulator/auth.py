"""Grants of one environment: its app's credentials, codes, access and refresh tokens."""

import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from procore_simulator.clock import SimulatorClock
from procore_simulator.messages import JsonObject

__all__ = ["OOB_URI", "App", "Grants", "Principal", "Token"]

OOB_URI = "urn:ietf:wg:oauth:2.0:oob"
_CODE_SECONDS = 600
"""An authorization code is valid for ten minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Whom a token acts for: the app's own service account or a user."""

    key: str
    user_id: int
    is_service: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An app as registered in one environment."""

    client_id: str
    client_secret: str

    @classmethod
    def registered(cls, environment: str, seed: int) -> "App":
        """Make the credentials, the same for the same environment and seed.

        A Monthly Sandbox takes Production's credentials; its tokens are still its own.
        """
        facts = f"{'live' if environment == 'monthly_sandbox' else environment}:{seed}"
        return cls(
            client_id=hashlib.sha256(f"{facts}:client-id".encode()).hexdigest(),
            client_secret=hashlib.sha256(f"{facts}:client-secret".encode()).hexdigest(),
        )


@dataclass(slots=True, kw_only=True)
class Token:
    """An access token, with the refresh token issued beside it if there is one."""

    access: str
    refresh: str | None
    principal: Principal
    created_at: float
    lifetime: float
    revoked: bool = False

    @property
    def expires_at(self) -> float:
        """When it stops working, on the simulator's clock."""
        return self.created_at + self.lifetime

    def answer(self) -> JsonObject:
        """Write the token endpoint's answer."""
        body: JsonObject = {
            "access_token": self.access,
            "token_type": "bearer",
            "expires_in": _whole(self.lifetime),
            "created_at": int(self.created_at),
        }
        if self.refresh is not None:
            body["refresh_token"] = self.refresh
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class _Code:
    principal: Principal
    redirect_uri: str
    expires_at: float


def _whole(seconds: float) -> float:
    return int(seconds) if seconds == int(seconds) else seconds


class Grants:
    """Issues, finds, rotates and revokes the tokens of one environment."""

    def __init__(
        self,
        environment: str,
        app: App,
        *,
        clock: SimulatorClock,
        lifetime: Callable[[], float],
        counters: Callable[[], Counter[str]],
        redirect_uris: Iterable[str] = (),
    ) -> None:
        self.environment = environment
        self.app = app
        self.redirect_uris = {"http://localhost", OOB_URI, *redirect_uris}
        self._clock = clock
        self._lifetime = lifetime
        self._counters = counters
        self._access: dict[str, Token] = {}
        self._refresh: dict[str, Token] = {}
        self._codes: dict[str, _Code] = {}

    def is_client(self, client_id: str | None, client_secret: str | None) -> bool:
        """Tell whether these are the app's credentials."""
        return hmac.compare_digest(
            f"{client_id}:{client_secret}".encode(),
            f"{self.app.client_id}:{self.app.client_secret}".encode(),
        )

    def issue(self, principal: Principal) -> Token:
        """Make a token; a service account's has no refresh token."""
        token = Token(
            access=f"{self.environment[:3]}{secrets.token_hex(32)}",
            refresh=None if principal.is_service else secrets.token_hex(32),
            principal=principal,
            created_at=self._clock.now(),
            lifetime=self._lifetime(),
        )
        self._access[token.access] = token
        if token.refresh is not None:
            self._refresh[token.refresh] = token
        self._counters()["tokens_issued"] += 1
        return token

    def find(self, access: str) -> Token | None:
        """Return the token if the API would accept it in this moment."""
        token = self._access.get(access)
        if token is None or token.revoked or token.expires_at <= self._clock.now():
            return None
        return token

    def refresh(self, presented: str) -> Token | None:
        """Rotate: the presented refresh token is dead when this returns."""
        old = self._refresh.pop(presented, None)
        if old is None:
            self._counters()["refreshes_refused"] += 1
            return None
        self._counters()["refreshes"] += 1
        return self.issue(old.principal)

    def burn(self, presented: str) -> None:
        """Kill a refresh token that came with a call that failed."""
        self._refresh.pop(presented, None)

    def make_code(self, principal: Principal, redirect_uri: str) -> str:
        """Make an authorization code for one use."""
        code = secrets.token_hex(32)
        self._codes[code] = _Code(
            principal=principal,
            redirect_uri=redirect_uri,
            expires_at=self._clock.now() + _CODE_SECONDS,
        )
        return code

    def redeem(self, code: str, redirect_uri: str | None) -> Token | None:
        """Exchange a code; it is dead afterwards, whatever the answer."""
        known = self._codes.pop(code, None)
        if (
            known is None
            or known.redirect_uri != redirect_uri
            or known.expires_at <= self._clock.now()
        ):
            return None
        return self.issue(known.principal)

    def revoke(self, presented: str) -> bool:
        """Revoke an access or refresh token together with its twin."""
        token = self._access.get(presented) or self._refresh.get(presented)
        if token is None:
            return False
        token.revoked = True
        if token.refresh is not None:
            self._refresh.pop(token.refresh, None)
        self._counters()["tokens_revoked"] += 1
        return True

    def end_service_tokens(self) -> None:
        """Revoke what was issued to the service account before."""
        for token in self._access.values():
            token.revoked = token.revoked or token.principal.is_service

    def revoke_all(self) -> int:
        """Revoke every token, as when the app is uninstalled; return how many lived."""
        alive = [token for token in self._access.values() if not token.revoked]
        for token in alive:
            self.revoke(token.access)
        return len(alive)

    def clear(self) -> None:
        """Forget every token and code."""
        self._access.clear()
        self._refresh.clear()
        self._codes.clear()
