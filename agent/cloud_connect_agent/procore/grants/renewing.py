"""Another token for an account: asked for anew, or by the refresh protocol."""

from collections.abc import Callable
from typing import Final

import structlog
from pydantic import SecretStr

from cloud_connect.errors import SignInRequiredError, VaultLockedError
from cloud_connect_agent.procore.grants.known import KnownAccount
from cloud_connect_agent.procore.grants.refresh import (
    Age,
    Move,
    Phase,
    Signal,
    next_move,
    next_phase,
)
from cloud_connect_agent.procore.login import (
    AnswerLostError,
    GrantRefusedError,
    LoginHost,
    NotSentError,
)
from cloud_connect_agent.procore.tokens import (
    AUTHORIZATION_CODE,
    CLIENT_CREDENTIALS,
    AccessToken,
    AppCredentials,
    StoredToken,
    token_secret_name,
)
from cloud_connect_agent.vault.base import SharedVault

__all__ = [
    "LOCK_SECONDS",
    "credentials",
    "not_signed_in",
    "obtain",
    "refresh",
    "sign_in_again",
    "step",
]

log = structlog.get_logger(__name__)

LOCK_SECONDS: Final = 40.0  # for a grant's lock: another process may wait 30 s for Procore


async def obtain(known: KnownAccount, login: LoginHost) -> AccessToken:
    """Get a token with the app's own credentials, unless another process was quicker.

    Raises:
        SignInRequiredError: If somebody has to act on the PC.
        SourceUnavailableError: If the login host gives none just now.
    """
    before = known.token
    await known.read()
    app, found = credentials(known), known.token
    if found is None:
        raise not_signed_in(known)
    if found is not before and known.age is Age.FRESH:
        return found  # another process was quicker
    if known.refusal is not None:
        raise SignInRequiredError(known.refusal)
    try:
        stored = await login.obtain(known.account, app)
    except SignInRequiredError as error:
        known.refused(app, error.message)
        raise
    try:
        await known.save(stored)
    except VaultLockedError as error:  # a full disk: if it is lost, the app gets another one
        log.warning("token_not_kept", account=known.account.label, reason=error.message)
    log.info("token_obtained", account=known.account.label, lifetime=stored.lifetime)
    return known.use(stored)


async def refresh(
    known: KnownAccount, login: LoginHost, vault: SharedVault, *, commit: Callable[[], None]
) -> AccessToken:
    """Get a token with the grant's refresh token, as the refresh protocol allows.

    Args:
        commit: Called before the refresh token goes out; raises if the agent stops.

    Raises:
        SignInRequiredError: If somebody has to sign in again.
        SourceUnavailableError: If the login host gives none just now.
    """
    async with vault.hold(token_secret_name(known.account), seconds=LOCK_SECONDS):
        await known.read()
        app = credentials(known)
        token = known.token
        if token is None or not token.stored.by_code:
            raise not_signed_in(known)
        if known.unsaved is not None:
            presented, fresh = known.unsaved
            if presented == token.stored.refresh_token:  # nobody has signed in since
                return await _release(known, presented, fresh)
            known.unsaved = None
        move = step(known)
        if move is Move.USE:
            return token  # another process was quicker
        if move is not Move.PRESENT:
            raise sign_in_again(known, move)
        commit()
        return await _present(known, login, app, token.stored)


async def _present(
    known: KnownAccount, login: LoginHost, app: AppCredentials, before: StoredToken
) -> AccessToken:
    """Send the refresh token once, between a durable mark and a durable verdict."""
    phase = next_phase(before.phase, Signal.PRESENT)
    await _mark(known, before, phase)
    try:
        fresh = await login.refresh(known.account, app, before)
    except GrantRefusedError:
        await _mark(known, before, next_phase(phase, Signal.REFUSED))
        raise
    except NotSentError:
        await _mark(known, before, next_phase(phase, Signal.UNSENT))
        raise
    except AnswerLostError as exc:
        after = next_phase(phase, Signal.LOST)
        if after is not phase:
            await _mark(known, before, after)
        log.warning("refresh_answer_lost", account=known.account.label, reason=exc.message)
        raise
    settled = fresh.model_copy(update={"phase": next_phase(phase, Signal.GRANTED)})
    return await _release(known, before.refresh_token, settled)


async def _release(known: KnownAccount, presented: SecretStr, fresh: StoredToken) -> AccessToken:
    """Make a new pair durable, and only then let it be used."""
    known.unsaved = (presented, fresh)
    await known.save(fresh)  # if that fails, the next caller tries again
    known.unsaved = None
    log.info("token_refreshed", account=known.account.label, lifetime=fresh.lifetime)
    return known.use(fresh)


async def _mark(known: KnownAccount, stored: StoredToken, phase: Phase) -> None:
    marked = stored.model_copy(update={"phase": phase})
    await known.save(marked)
    known.mark(marked)


def step(known: KnownAccount) -> Move:
    """Return what the protocol allows for the token in use, as old as it is."""
    token = known.token
    if token is None:
        return Move.SIGN_IN
    move = next_move(token.stored.phase, known.age)
    if move is Move.PRESENT and not token.stored.refresh_token.get_secret_value():
        return Move.USE if known.age is Age.AGEING else Move.SIGN_IN
    return move


def credentials(known: KnownAccount) -> AppCredentials:
    """Return the app's credentials.

    Raises:
        SignInRequiredError: If there are none.
    """
    if known.app is None:
        grant = known.token.stored.grant if known.token else CLIENT_CREDENTIALS
        raise SignInRequiredError(
            f"No Procore app is set up for {known.account.label}. Run `cloud-connect procore app "
            f"{known.account.options} --client-id ID --secret-stdin` on the "
            f"connector's PC, then {known.account.login_command(grant)}."
        )
    return known.app


def sign_in_again(known: KnownAccount, move: Move) -> SignInRequiredError:
    """Say why the grant of *known* cannot be used."""
    command = known.account.login_command(AUTHORIZATION_CODE)
    if move is Move.WAIT:
        return SignInRequiredError(
            f"Procore rejects the token of {known.account.label}, and whether its renewal came "
            "through is not known; it is tried once more when the token ends. To go on at once, "
            f"run {command} on the connector's PC."
        )
    return SignInRequiredError(
        f"The sign-in for {known.account.label} has ended and cannot be renewed. Run {command} on "
        "the connector's PC."
    )


def not_signed_in(known: KnownAccount) -> SignInRequiredError:
    """Say that the account has no grant."""
    return SignInRequiredError(
        f"Nobody has signed in to Procore for {known.account.label}. Run "
        f"{known.account.login_command(CLIENT_CREDENTIALS)} on the connector's PC."
    )
