"""Signing in: exchange a code, ask whom the token acts for, and refuse a foreign person."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from cloud_connect.errors import (
    CloudConnectError,
    SignInRequiredError,
    SourceRejectedError,
    SourceUnavailableError,
)
from cloud_connect_agent.procore.grants.accounts import Account
from cloud_connect_agent.procore.grants.authorization import Authorization
from cloud_connect_agent.procore.grants.identity import Identity, IdentityHost
from cloud_connect_agent.procore.grants.known import KnownAccount
from cloud_connect_agent.procore.grants.renewing import LOCK_SECONDS, credentials
from cloud_connect_agent.procore.login import LoginHost, not_revoked
from cloud_connect_agent.procore.tokens import AppCredentials, StoredToken, token_secret_name
from cloud_connect_agent.vault.base import SharedVault

__all__ = ["Hosts", "sign_in_by_code", "sign_in_by_secret", "sign_out"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """An environment's hosts, as signing in needs them."""

    login: LoginHost
    identity: IdentityHost


async def sign_in_by_secret(known: KnownAccount, hosts: Hosts, vault: SharedVault) -> None:
    """Obtain a token with the app's own credentials now, whatever is stored.

    Raises:
        SignInRequiredError: If the app's credentials are missing or refused.
        SourceUnavailableError: If the login host gives no answer.
    """
    await known.read_app()
    app = credentials(known)
    try:
        fresh = await hosts.login.obtain(known.account, app)
    except SignInRequiredError as error:
        known.refused(app, error.message)
        raise
    await _replace(known, hosts, vault, app, fresh)


async def sign_in_by_code(
    known: KnownAccount, hosts: Hosts, vault: SharedVault, authorization: Authorization, code: str
) -> None:
    """Exchange *code*, check whom it stands for, and keep the grant.

    A grant of the wrong person is revoked and what is stored stays as it is.

    Raises:
        SignInRequiredError: If Procore refuses the code, or it is the wrong person's.
        SourceUnavailableError: If Procore gives no answer.
        VaultLockedError: If the vault cannot keep it.
    """
    await known.read_app()
    app, account = credentials(known), known.account
    fresh = await hosts.login.redeem(
        account,
        app,
        code=code,
        redirect_uri=authorization.redirect_uri,
        verifier=authorization.verifier,
    )
    try:
        token = fresh.access_token.get_secret_value()
        identity = await hosts.identity.ask(token)
        _accept(await _unseen(hosts.identity, token, account, authorization, identity))
        before = await _replace(
            known,
            hosts,
            vault,
            app,
            fresh.model_copy(update={"login": identity.login, "user_id": identity.user_id}),
            check=lambda before: _accept(_foreign(account, authorization, identity, before)),
        )
    except CloudConnectError as error:
        told = log.warning if authorization.remote else log.info  # the person here reads why
        told("sign_in_refused", account=account.label, remote=authorization.remote)
        await _drop(hosts.login, app, fresh)  # nobody else knows these tokens
        if isinstance(error, SourceRejectedError):
            raise SignInRequiredError(error.message) from error
        raise
    trusted = account.login is not None or (before is not None and before.by_code)
    if authorization.remote and not trusted:
        log.warning("first_person_trusted", account=account.label, login=identity.login)


async def sign_out(known: KnownAccount, hosts: Hosts, vault: SharedVault) -> None:
    """Forget the grant and have Procore revoke its tokens; the app's credentials stay.

    Raises:
        SourceUnavailableError: If the grant is forgotten here, but Procore did not revoke it.
    """
    async with vault.hold(token_secret_name(known.account), seconds=LOCK_SECONDS):
        await known.read_app()
        stored = await known.read_replaced()
        await known.delete()
    if stored is None:
        return
    if known.app is None or known.app.client_id != stored.client_id:
        # Procore answers 200 to another app that asks, and revokes nothing.
        raise not_revoked(
            f"That takes the credentials of the app {stored.client_id}, which are not stored here."
        )
    await hosts.login.revoke(known.app, stored)


async def _replace(
    known: KnownAccount,
    hosts: Hosts,
    vault: SharedVault,
    app: AppCredentials,
    fresh: StoredToken,
    *,
    check: Callable[[StoredToken | None], None] | None = None,
) -> StoredToken | None:
    """Keep a grant instead of the one before it, which ends at Procore if it lives on.

    Args:
        check: Raises if the grant that is there may not give way to this one. It is asked while
            nobody else can change that: of two people who are the first, one is.
    """
    async with vault.hold(token_secret_name(known.account), seconds=LOCK_SECONDS):
        before = await known.read_replaced()
        if check is not None:
            check(before)
        await known.save(fresh)
        known.unsaved = None
        known.use(fresh)
    log.info("signed_in", account=known.account.label, grant=fresh.grant, login=fresh.login)
    if before is not None and before.by_code and before.client_id == app.client_id:
        await _drop(hosts.login, app, before)
    return before


async def _drop(login: LoginHost, app: AppCredentials, stored: StoredToken) -> None:
    try:
        await login.revoke(app, stored)
    except SourceUnavailableError as exc:
        log.warning("token_not_revoked", host=login.host, reason=exc.message)


def _accept(reason: str | None) -> None:
    if reason is not None:
        raise SignInRequiredError(f"{reason} The sign-in is refused and nothing was changed.")


def _foreign(
    account: Account, authorization: Authorization, identity: Identity, before: StoredToken | None
) -> str | None:
    """Return why *identity* is not the person whom the account is for.

    On the PC, its administrator may sign in as somebody else than before; through the relay
    nobody may.
    """
    who = identity.login or "a user whose login Procore does not tell"
    if account.login is not None:
        if account.login.casefold() == identity.login.casefold():
            return None
        return f"{_capital(account.label)} is for {account.login}, but {who} signed in."
    if not authorization.remote or before is None or not before.by_code:
        return None
    same_login = bool(before.login) and before.login.casefold() == identity.login.casefold()
    if same_login or (before.user_id is not None and before.user_id == identity.user_id):
        return None
    return (
        f"{_capital(account.label)} acts for {before.login or 'another user'}, but {who} signed "
        f"in; only {account.login_command(before.grant)} on the connector's PC changes that."
    )


async def _unseen(
    host: IdentityHost,
    token: str,
    account: Account,
    authorization: Authorization,
    identity: Identity,
) -> str | None:
    """Return which company of the account, or of the data source, the person does not see."""
    wanted = dict.fromkeys(account.companies)
    if authorization.company_id is not None:
        wanted[authorization.company_id] = None
    missing = await host.unseen(token, wanted)
    if missing is None:
        return None
    who = identity.login or "The user who signed in"
    return f"{who} does not see company {missing}, which this sign-in is for."


def _capital(label: str) -> str:
    return f"{label[:1].upper()}{label[1:]}"
