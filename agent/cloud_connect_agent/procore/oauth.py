"""Signs requests to Procore in: a token for each account, kept in the vault, renewed once."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog

from cloud_connect.calls import Environment, ReportedGrant
from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.procore.grants.accounts import DEFAULT_ACCOUNT, Account, AccountBook
from cloud_connect_agent.procore.grants.authorization import Authorization
from cloud_connect_agent.procore.grants.flights import Flights
from cloud_connect_agent.procore.grants.known import KnownAccount
from cloud_connect_agent.procore.grants.refresh import Age, Move
from cloud_connect_agent.procore.grants.renewing import (
    credentials,
    not_signed_in,
    obtain,
    refresh,
    sign_in_again,
    step,
)
from cloud_connect_agent.procore.grants.signing_in import (
    Hosts,
    sign_in_by_code,
    sign_in_by_secret,
    sign_out,
)
from cloud_connect_agent.procore.tokens import AccessToken
from cloud_connect_agent.tasks import lasting_tasks
from cloud_connect_agent.vault.base import SharedVault

__all__ = ["Authenticator"]

log = structlog.get_logger(__name__)

_EARLY_RETRY: Final = 30.0  # seconds between early renewals that fail
_REJECTION_SECONDS: Final = 60.0  # within which a second 401 is no matter of the token


class Authenticator:
    """Signs requests to Procore in, with the account that serves their company.

    Renewals run in tasks of this object's own, so that no caller's cancellation loses a
    token that Procore has issued; callers wait for the one that runs.
    """

    def __init__(
        self,
        vault: SharedVault,
        hosts: Callable[[Environment], Hosts],
        tasks: asyncio.TaskGroup,
        *,
        accounts: AccountBook,
        login_url: Callable[[Environment], str],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._vault: Final = vault
        self._hosts: Final = hosts
        self._flights: Final = Flights(tasks)
        self._accounts: Final = accounts
        self._login_url: Final = login_url
        self._clock: Final = clock
        self._wall: Final = wall
        self._known: Final[dict[tuple[Environment, str], KnownAccount]] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        vault: SharedVault,
        hosts: Callable[[Environment], Hosts],
        *,
        accounts: AccountBook,
        login_url: Callable[[Environment], str],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> AsyncIterator["Authenticator"]:
        """Open the authenticator; closing it ends renewals under way.

        A refresh token that is out is waited for: half a minute at most.

        Args:
            hosts: Gives the hosts of an environment.
            login_url: Where a person's browser goes to sign in to an environment.
        """
        async with lasting_tasks() as tasks:
            authenticator = cls(
                vault,
                hosts,
                tasks,
                accounts=accounts,
                login_url=login_url,
                clock=clock,
                wall=wall,
            )
            try:
                yield authenticator
            finally:
                authenticator._flights.stop()

    @property
    def accounts(self) -> AccountBook:
        """The accounts of this PC."""
        return self._accounts

    def wind_down(self, *, urgent: bool = False) -> None:
        """Present no refresh token from here on, since the agent stops.

        Args:
            urgent: Break off what is out, too; its mark in the vault tells the next start.
        """
        self._flights.stopping = True
        if urgent:
            self._flights.stop(urgent=True)

    def reload(self) -> None:
        """Read the vault again before the next use: somebody changed it."""
        for known in self._known.values():
            known.forget_reading()

    def ready(self, environment: Environment, company_id: int | None = None) -> AccessToken | None:
        """Return the token in use if nothing has to be looked at first."""
        account = self._accounts.serving(environment, company_id)
        known = self._known.get((environment, account.name))
        if known is None or not known.current or known.age is not Age.FRESH:
            return None
        return known.token

    async def token(self, environment: Environment, company_id: int | None = None) -> AccessToken:
        """Return a token that is good for a while.

        Args:
            company_id: The company that it is for; it may have an account of its own.

        Raises:
            SignInRequiredError: If somebody has to act on the PC; the message says how.
            SourceUnavailableError: If the login host gives none just now.
        """
        known = self._of(self._accounts.serving(environment, company_id))
        if not known.current:
            await known.read()
        age = known.age
        if known.token is None or age is Age.ENDED:
            return await self._renewed(known)
        if age is Age.AGEING and self._clock() >= known.retry_early_at:
            try:
                return await self._renewed(known)
            except CloudConnectError as error:
                known.retry_early_at = self._clock() + _EARLY_RETRY
                log.warning(
                    "token_renewal_failed", account=known.account.label, reason=error.message
                )
        return known.token

    async def renew(self, rejected: AccessToken) -> AccessToken:
        """Return another token than *rejected*, which Procore answered with 401.

        However many requests were rejected with one token, one renewal is made. A person's token
        that replaced a rejected one a moment ago comes back as it is: 401 then means something
        else, such as an app that is not installed, and refresh tokens are not spent on that.
        """
        known = self._known[rejected.account.environment, rejected.account.name]
        token, replaced_at = known.token, known.replaced_at
        if token is not None and token.generation > rejected.generation:
            return token
        lately = replaced_at is not None and self._clock() - replaced_at < _REJECTION_SECONDS
        if lately and rejected.stored.by_code:
            return rejected
        known.rejected = rejected.generation
        renewed = await self._renewed(known)
        known.replaced_at = self._clock()
        return renewed

    async def sign_in(
        self, environment: Environment, *, account: str = DEFAULT_ACCOUNT
    ) -> ReportedGrant:
        """Obtain a token with the app's credentials now, whatever is stored, and keep the grant.

        Raises:
            SignInRequiredError: If the app's credentials are missing or refused.
            SourceUnavailableError: If the login host gives no answer.
        """
        known = self._of(self._accounts.named(environment, account))
        work = sign_in_by_secret(known, self._hosts(environment), self._vault)
        await asyncio.shield(self._flights.start(work, name=f"sign-in-{known.account.key}"))
        return known.report()

    async def authorize(
        self,
        account: Account,
        *,
        redirect_uri: str,
        company_id: int | None = None,
        remote: bool = False,
    ) -> Authorization:
        """Begin to sign a person in.

        Args:
            company_id: Of the data source that asks for it; the person has to see it.
            remote: Whether the relay asks, and not somebody on this PC.

        Raises:
            SignInRequiredError: If no app is set up.
        """
        known = self._of(account)
        await known.read_app()
        return Authorization(
            account=account,
            client_id=credentials(known).client_id,
            login_url=self._login_url(account.environment),
            redirect_uri=redirect_uri,
            company_id=company_id,
            remote=remote,
        )

    async def redeem(self, authorization: Authorization, code: str) -> ReportedGrant:
        """Exchange the code that came back, check whose it is, and keep the grant.

        Raises:
            SignInRequiredError: If Procore refuses the code, or the wrong person signed in.
            SourceUnavailableError: If Procore gives no answer.
            ConfigurationError: If the account is gone from the settings.
        """
        return await asyncio.shield(self.begin_redeem(authorization, code))

    def begin_redeem(
        self, authorization: Authorization, code: str
    ) -> "asyncio.Future[ReportedGrant]":
        """Begin what :meth:`redeem` does; it goes on whoever stops waiting for it.

        Raises:
            ConfigurationError: If the account is gone from the settings.
        """
        # As it is meanwhile: whom it expects may have been set since the sign-in was begun.
        begun = authorization.account
        known = self._of(self._accounts.named(begun.environment, begun.name))
        hosts = self._hosts(begun.environment)

        async def work() -> ReportedGrant:
            await sign_in_by_code(known, hosts, self._vault, authorization, code)
            return known.report()

        return self._flights.start(work(), name=f"redeem-{known.account.key}", precious=True)

    async def sign_out(self, environment: Environment, *, account: str = DEFAULT_ACCOUNT) -> None:
        """Forget the grant and tell Procore to revoke its tokens; the app's credentials stay.

        Raises:
            SourceUnavailableError: If it is forgotten here, but Procore did not revoke it.
        """
        known = self._of(self._accounts.named(environment, account))
        await sign_out(known, self._hosts(environment), self._vault)

    async def grants(self) -> list[ReportedGrant]:
        """Return what is known of each account that has credentials or a grant."""
        found = []
        for account in self._accounts.all():
            known = self._of(account)
            if not known.current:
                await known.read()
            if known.app is not None or known.token is not None:
                found.append(known.report())
        return found

    async def report(
        self, environment: Environment, company_id: int | None = None
    ) -> ReportedGrant:
        """Return what is known of the account that serves a company."""
        known = self._of(self._accounts.serving(environment, company_id))
        if not known.current:
            await known.read()
        return known.report()

    async def seconds_left(
        self, environment: Environment, company_id: int | None = None
    ) -> float | None:
        """Ask the login host how long the token in use still holds; ``None`` if it says not.

        Raises:
            SourceUnavailableError: If it does not answer.
        """
        token = await self.token(environment, company_id)
        return await self._hosts(environment).login.seconds_left(token)

    def _of(self, account: Account) -> KnownAccount:
        key = (account.environment, account.name)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = KnownAccount(
                account, self._vault, clock=self._clock, wall=self._wall
            )
        known.account = account  # its companies or its login may have changed
        return known

    async def _renewed(self, known: KnownAccount) -> AccessToken:
        renewal = known.renewal
        if renewal is None:
            token = known.token
            # A pair that waits for the vault is good, whatever the one that it replaces allows.
            if token is not None and token.stored.by_code and known.unsaved is None:
                move = step(known)
                if move is Move.USE:
                    return token
                if move is not Move.PRESENT and known.current:
                    raise sign_in_again(known, move)
            renewal = self._begin(known)
        return await asyncio.shield(renewal)

    def _begin(self, known: KnownAccount) -> "asyncio.Future[AccessToken]":
        renewal = self._flights.start(self._renew(known), name=f"renew-token-{known.account.key}")

        def over(done: "asyncio.Future[AccessToken]") -> None:
            if known.renewal is done:
                known.renewal = None

        known.renewal = renewal
        renewal.add_done_callback(over)
        return renewal

    async def _renew(self, known: KnownAccount) -> AccessToken:
        token = known.token
        if token is None:
            token = await _found(known)
            if known.age is Age.FRESH:
                return token  # somebody has signed in meanwhile
        login = self._hosts(known.account.environment).login
        if token.stored.by_code:
            return await refresh(known, login, self._vault, commit=self._flights.commit)
        return await obtain(known, login)


async def _found(known: KnownAccount) -> AccessToken:
    """Look for a grant in the vault.

    Raises:
        SignInRequiredError: If there is none, or no app for it.
    """
    await known.read()
    credentials(known)
    if known.token is None:
        raise not_signed_in(known)
    return known.token
