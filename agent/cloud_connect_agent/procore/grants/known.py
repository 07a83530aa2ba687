"""What is known of one account: its app, its grant, and the token in use."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog

from cloud_connect.calls import ReportedGrant
from cloud_connect_agent.procore.grants.accounts import DEFAULT_ACCOUNT, Account
from cloud_connect_agent.procore.grants.refresh import Age, Phase
from cloud_connect_agent.procore.tokens import (
    CLIENT_CREDENTIALS,
    AccessToken,
    AppCredentials,
    StoredToken,
    app_secret_name,
    token_secret_name,
)
from cloud_connect_agent.vault.base import DamagedSecretError, Vault

if TYPE_CHECKING:
    import asyncio

    from pydantic import SecretStr

__all__ = ["KnownAccount"]

log = structlog.get_logger(__name__)

_REREAD_INTERVAL: Final = 5.0  # seconds after which the vault is looked at again
_VOID: Final = 0.0  # when a token ends that was got with other credentials
_REFUSAL_SECONDS: Final = 30.0  # how long a refusal is believed without asking again


class KnownAccount:
    """One account as this process knows it; the vault knows it better.

    Attributes:
        renewal: The renewal under way.
        retry_early_at: When an early renewal that failed may be tried again.
        rejected: The generation of the last token that Procore answered 401 to.
        replaced_at: When another one was last got for such a token.
        unsaved: A new pair that the vault could not take, after the refresh token that it was
            got with: used for nothing until the vault does.
    """

    def __init__(
        self,
        account: Account,
        vault: Vault,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.account = account
        self.app: AppCredentials | None = None
        self.token: AccessToken | None = None
        self.renewal: asyncio.Future[AccessToken] | None = None
        self.retry_early_at = 0.0
        self.rejected = 0
        self.replaced_at: float | None = None
        self.unsaved: tuple[SecretStr, StoredToken] | None = None
        self._vault: Final = vault
        self._clock: Final = clock
        self._wall: Final = wall
        self._generation = 0
        self._changes = 0
        self._read_at: float | None = None
        self._refusal: str | None = None
        self._refusal_mark = ""
        self._refused_until = 0.0

    @property
    def current(self) -> bool:
        """Whether the vault was looked at a moment ago."""
        return self._read_at is not None and self._clock() - self._read_at <= _REREAD_INTERVAL

    @property
    def age(self) -> Age:
        """How old the token in use is; without one, nothing can be used."""
        token, now, wall = self.token, self._clock(), self._wall()
        if token is None or token.ended(now=now, wall=wall):
            return Age.ENDED
        if token.generation == self.rejected:
            return Age.REJECTED
        return Age.AGEING if token.ageing(now=now, wall=wall) else Age.FRESH

    @property
    def refusal(self) -> str | None:
        """Why Procore refused the app a moment ago, if it did."""
        if self.app is None or self._refusal_mark != self.app.mark:
            return None
        return self._refusal if self._clock() < self._refused_until else None

    def refused(self, app: AppCredentials, reason: str) -> None:
        """Remember for a moment that Procore refused the app."""
        self._refusal, self._refusal_mark = reason, app.mark
        self._refused_until = self._clock() + _REFUSAL_SECONDS

    def forget_reading(self) -> None:
        """Look at the vault before the next use: somebody changed it."""
        self._read_at = None
        self._refused_until = 0.0

    def use(self, stored: StoredToken) -> AccessToken:
        """Put a token that was got just now to use."""
        token = self._use(stored)
        self._refusal, self._refusal_mark, self.retry_early_at = None, "", 0.0
        return token

    def mark(self, stored: StoredToken) -> None:
        """Note the phase of the grant in use; its access token stays the same."""
        if self.token is not None and self.token.stored != stored:
            self._changes += 1
            self.token = AccessToken.of(
                stored,
                account=self.account,
                generation=self.token.generation,
                now=self._clock(),
                wall=self._wall(),
            )

    async def read(self) -> None:
        """Look at the vault; a token that another process got there replaces ours.

        Raises:
            SignInRequiredError: If the app's credentials are damaged.
            VaultLockedError: If the vault cannot be read.
        """
        while True:
            before = self._changes
            await self.read_app()
            data = await self._vault.get(token_secret_name(self.account))
            if self._changes == before:
                break  # else a newer grant came meanwhile, and this one is out of date
        stored = StoredToken.parse(data) if data else None
        if stored is None:
            self.token = None
        else:
            stored = self._fitting(stored)
            known = self.token.stored if self.token else None
            if known is not None and _same_token(known, stored):
                self.mark(stored)
            else:
                self._use(stored)
        self._read_at = self._clock()

    async def read_app(self) -> None:
        """Look at the credentials alone; an account without its own has the default one's.

        Raises:
            SignInRequiredError: If they are damaged.
            VaultLockedError: If the vault cannot be read.
        """
        data = await self._vault.get(app_secret_name(self.account))
        if data is None and not self.account.is_default:
            default = Account(environment=self.account.environment, name=DEFAULT_ACCOUNT)
            data = await self._vault.get(app_secret_name(default))
        self.app = AppCredentials.parse(data, self.account) if data else None

    async def read_replaced(self) -> StoredToken | None:
        """Return the grant that a sign-in is about to replace; a damaged one counts as none.

        Raises:
            VaultLockedError: If the vault cannot be read.
        """
        try:
            data = await self._vault.get(token_secret_name(self.account))
        except DamagedSecretError as exc:
            log.warning("damaged_grant_replaced", account=self.account.label, reason=exc.message)
            return None
        return StoredToken.parse(data) if data else None

    async def save(self, stored: StoredToken) -> None:
        """Keep the grant; durable when it returns."""
        await self._vault.put(token_secret_name(self.account), stored.dump())

    async def delete(self) -> None:
        """Forget the grant."""
        await self._vault.delete(token_secret_name(self.account))
        self._changes += 1
        self.token, self.unsaved, self._read_at = None, None, None

    def report(self) -> ReportedGrant:
        """Describe the account without its secrets."""
        stored = self.token.stored if self.token else None
        return ReportedGrant.model_validate(
            {
                "environment": self.account.environment,
                "account": self.account.name,
                "grant": stored.grant if stored else CLIENT_CREDENTIALS,
                "client_id": (self.app.client_id if self.app else "")[:200],
                "login": (stored.login if stored else "")[:320],
                "state": self._state(stored),
                "expires_at": None if stored is None or _void(stored) else stored.expires_at,
            }
        )

    def _state(self, stored: StoredToken | None) -> str:
        if stored is None:
            return "no_grant"
        if self.app is None:
            return "sign_in_required"
        ended = self.age is Age.ENDED
        if stored.by_code:
            if stored.phase is Phase.ENDED or (stored.phase is Phase.LAST_ATTEMPT and ended):
                return "sign_in_required"
            if ended and not stored.refresh_token.get_secret_value():
                return "sign_in_required"
            return "ready" if stored.phase is Phase.SETTLED else "at_risk"
        if _void(stored):
            return "sign_in_required"  # nobody knows yet whether these credentials are good
        if self._refusal_mark != self.app.mark:
            return "ready"
        return "sign_in_required" if ended else "at_risk"

    def _use(self, stored: StoredToken) -> AccessToken:
        self._changes += 1
        self._generation += 1
        self.token = AccessToken.of(
            stored,
            account=self.account,
            generation=self._generation,
            now=self._clock(),
            wall=self._wall(),
        )
        return self.token

    def _fitting(self, stored: StoredToken) -> StoredToken:
        """Void a token that was got with other credentials than those that are there."""
        app = self.app
        if app is None or stored.app_mark == app.mark:
            return stored
        if not stored.by_code:
            # Good for the grant, not for requests.
            return stored.model_copy(update={"expires_at": _VOID})
        if stored.client_id == app.client_id:
            return stored  # only the secret was changed
        return stored.model_copy(update={"expires_at": _VOID, "phase": Phase.ENDED})


def _void(stored: StoredToken) -> bool:
    return stored.expires_at == _VOID


def _same_token(one: StoredToken, other: StoredToken) -> bool:
    return (one.access_token, one.expires_at) == (other.access_token, other.expires_at)
