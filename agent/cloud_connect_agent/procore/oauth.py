"""Procore's tokens: got with the client-credentials grant, kept in the vault, renewed once."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog

from cloud_connect.calls import Environment, ReportedGrant
from cloud_connect.errors import (
    CloudConnectError,
    ConfigurationError,
    SignInRequiredError,
    SourceUnavailableError,
)
from cloud_connect_agent.procore.login import LoginHost
from cloud_connect_agent.procore.tokens import (
    AccessToken,
    AppCredentials,
    StoredToken,
    app_secret_name,
    token_secret_name,
)
from cloud_connect_agent.tasks import lasting_tasks
from cloud_connect_agent.vault.base import Vault

__all__ = ["Authenticator"]

log = structlog.get_logger(__name__)

CLIENT_CREDENTIALS: Final = "client-credentials"
_REREAD_INTERVAL: Final = 5.0  # seconds after which the vault is looked at again
_REFUSAL_SECONDS: Final = 30.0  # how long a refusal is believed without asking again
_EARLY_RETRY: Final = 30.0  # seconds between early renewals that fail


class _State:
    """What is known of one environment's grant."""

    __slots__ = (
        "app",
        "generation",
        "read_at",
        "refusal",
        "refusal_mark",
        "refused_until",
        "renewal",
        "retry_early_at",
        "token",
    )

    def __init__(self) -> None:
        self.app: AppCredentials | None = None
        self.token: AccessToken | None = None
        self.generation = 0
        self.read_at: float | None = None
        self.renewal: asyncio.Future[AccessToken] | None = None
        self.retry_early_at = 0.0
        self.refusal: str | None = None
        self.refusal_mark = ""
        self.refused_until = 0.0


class Authenticator:
    """Signs requests to Procore in.

    Renewals run in a task of this object's own, so that no caller's cancellation loses a
    token that Procore has issued; callers wait for the one that runs.
    """

    def __init__(
        self,
        vault: Vault,
        login: Callable[[Environment], LoginHost],
        tasks: asyncio.TaskGroup,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._vault: Final = vault
        self._login: Final = login
        self._tasks: Final = tasks
        self._clock: Final = clock
        self._wall: Final = wall
        self._renewing: Final[set[asyncio.Task[None]]] = set()
        self._states: Final = {environment: _State() for environment in Environment}

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        vault: Vault,
        login: Callable[[Environment], LoginHost],
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> AsyncIterator["Authenticator"]:
        """Open the authenticator; closing it ends a renewal under way.

        Args:
            login: Gives the login host of an environment.
        """
        async with lasting_tasks() as tasks:
            authenticator = cls(vault, login, tasks, clock=clock, wall=wall)
            try:
                yield authenticator
            finally:
                authenticator._stop()

    def _stop(self) -> None:
        for task in self._renewing:
            task.cancel()

    def reload(self) -> None:
        """Read the vault again before the next use: somebody changed it."""
        for state in self._states.values():
            state.read_at = None
            state.refused_until = 0.0

    def ready(self, environment: Environment) -> AccessToken | None:
        """Return the token in use if nothing has to be looked at first."""
        state = self._states[environment]
        token, now = state.token, self._clock()
        if token is None or state.read_at is None or now - state.read_at > _REREAD_INTERVAL:
            return None
        return None if token.ageing(now=now, wall=self._wall()) else token

    async def token(self, environment: Environment) -> AccessToken:
        """Return a token that is good for a while.

        Raises:
            SignInRequiredError: If somebody has to act on the PC; the message says how.
            SourceUnavailableError: If the login host gives none just now.
        """
        state = self._states[environment]
        now = self._clock()
        if state.read_at is None or now - state.read_at > _REREAD_INTERVAL:
            await self._read(environment, state)
        token = state.token
        if token is None or token.ended(now=now, wall=self._wall()):
            return await self._renewed(environment, state)
        if now >= state.retry_early_at and token.ageing(now=now, wall=self._wall()):
            try:
                return await self._renewed(environment, state)
            except CloudConnectError as error:
                state.retry_early_at = self._clock() + _EARLY_RETRY
                log.warning(
                    "token_renewal_failed", environment=environment.flag, reason=error.message
                )
        return token

    async def renew(self, environment: Environment, rejected: AccessToken) -> AccessToken:
        """Return another token than *rejected*, which Procore answered with 401.

        However many requests were rejected with one token, one renewal is made.
        """
        state = self._states[environment]
        token = state.token
        if token is not None and token.generation > rejected.generation:
            return token
        return await self._renewed(environment, state)

    async def sign_in(
        self, environment: Environment, grant: str = CLIENT_CREDENTIALS
    ) -> ReportedGrant:
        """Obtain a token now, whatever is stored, and keep the grant.

        Raises:
            ConfigurationError: If the grant is not one that this agent can use.
            SignInRequiredError: If the app's credentials are missing or refused.
            SourceUnavailableError: If the login host gives no answer.
        """
        if grant != CLIENT_CREDENTIALS:
            raise ConfigurationError(
                f"The grant {grant!r} is not available; use --grant {CLIENT_CREDENTIALS}."
            )
        state = self._states[environment]
        await self._read(environment, state)
        state.refused_until = 0.0
        await self._renewed(environment, state, signing_in=True)
        return self._report(environment, state)

    async def sign_out(self, environment: Environment) -> None:
        """Forget the grant and tell Procore to revoke its token; the app's credentials stay."""
        state = self._states[environment]
        await self._read(environment, state)
        token, app = state.token, state.app
        await self._vault.delete(token_secret_name(environment))
        state.token = None
        state.read_at = None
        if token is None or app is None:
            return
        await self._login(environment).revoke(app, token.stored)

    async def grants(self) -> list[ReportedGrant]:
        """Return what is known of each environment that has credentials or a grant."""
        found = []
        for environment, state in self._states.items():
            if state.read_at is None or self._clock() - state.read_at > _REREAD_INTERVAL:
                await self._read(environment, state)
            if state.app is not None or state.token is not None:
                found.append(self._report(environment, state))
        return found

    async def seconds_left(self, environment: Environment) -> float | None:
        """Ask the login host how long the token in use still holds; ``None`` if it says not.

        Raises:
            SourceUnavailableError: If it does not answer.
        """
        return await self._login(environment).seconds_left(await self.token(environment))

    def _report(self, environment: Environment, state: _State) -> ReportedGrant:
        client_id = state.app.client_id if state.app else ""
        token, now, wall = state.token, self._clock(), self._wall()
        refused = state.app is not None and state.refusal_mark == state.app.mark
        if token is None:
            status = "no_grant"
        elif state.app is None or (refused and token.ended(now=now, wall=wall)):
            status = "sign_in_required"
        else:
            status = "at_risk" if refused else "ready"
        return ReportedGrant.model_validate(
            {
                "environment": environment,
                "grant": CLIENT_CREDENTIALS,
                "client_id": client_id[:200],
                "state": status,
                "expires_at": token.stored.expires_at if token else None,
            }
        )

    async def _read(self, environment: Environment, state: _State) -> None:
        """Look at the vault; a token that another process got there replaces ours."""
        app_data = await self._vault.get(app_secret_name(environment))
        token_data = await self._vault.get(token_secret_name(environment))
        state.app = AppCredentials.parse(app_data, environment) if app_data else None
        stored = StoredToken.parse(token_data) if token_data else None
        if stored is None:
            state.token = None
        elif state.token is None or state.token.stored != stored:
            state.token = self._use(state, stored)
        if state.app is not None and state.token is not None:
            fresh = state.token.stored.app_mark == state.app.mark
            if not fresh and state.token.stored.access_token.get_secret_value():
                # Got with other credentials: good for the grant, not for requests.
                kept = stored.model_copy(update={"expires_at": 0.0}) if stored else None
                state.token = self._use(state, kept) if kept else None
        state.read_at = self._clock()

    def _use(self, state: _State, stored: StoredToken) -> AccessToken:
        state.generation += 1
        return AccessToken.of(
            stored, generation=state.generation, now=self._clock(), wall=self._wall()
        )

    async def _renewed(
        self, environment: Environment, state: _State, *, signing_in: bool = False
    ) -> AccessToken:
        renewal = state.renewal
        if renewal is None or signing_in:
            renewal = asyncio.get_running_loop().create_future()
            renewal.add_done_callback(_look_at)
            state.renewal = renewal
            task = self._tasks.create_task(
                self._renew_into(renewal, environment, state, signing_in=signing_in),
                name=f"renew-token-{environment.flag}",
            )
            self._renewing.add(task)
            task.add_done_callback(self._renewing.discard)
        return await asyncio.shield(renewal)

    async def _renew_into(
        self,
        renewal: "asyncio.Future[AccessToken]",
        environment: Environment,
        state: _State,
        *,
        signing_in: bool,
    ) -> None:
        try:
            token = await self._obtain(environment, state, signing_in=signing_in)
        except BaseException as exc:
            if not renewal.done():
                renewal.set_exception(
                    SourceUnavailableError("The agent is stopping.")
                    if isinstance(exc, asyncio.CancelledError)
                    else exc
                )
            if not isinstance(exc, Exception):
                raise
        else:
            if not renewal.done():
                renewal.set_result(token)
        finally:
            if state.renewal is renewal:
                state.renewal = None

    async def _obtain(
        self, environment: Environment, state: _State, *, signing_in: bool
    ) -> AccessToken:
        before = state.generation
        await self._read(environment, state)
        app = state.app
        if app is None:
            raise SignInRequiredError(
                f"No Procore app is set up for {environment.flag}. Run `cloud-connect procore app "
                f"--environment {environment.flag} --client-id ID --secret-stdin` on the "
                "connector's PC, then `cloud-connect procore login`."
            )
        if state.token is None and not signing_in:
            raise SignInRequiredError(
                f"Nobody has signed in to Procore for {environment.flag}. Run `cloud-connect "
                f"procore login --environment {environment.flag} --grant {CLIENT_CREDENTIALS}` "
                "on the connector's PC."
            )
        now, wall = self._clock(), self._wall()
        found = state.token
        quicker = found is not None and found.generation > before and not signing_in
        if found and quicker and not found.ageing(now=now, wall=wall):
            return found  # another process was quicker
        if state.refusal and state.refusal_mark == app.mark and now < state.refused_until:
            raise SignInRequiredError(state.refusal)
        try:
            stored = await self._login(environment).obtain(app)
        except SignInRequiredError as error:
            state.refusal, state.refusal_mark = error.message, app.mark
            state.refused_until = self._clock() + _REFUSAL_SECONDS
            raise
        # Durable before use: a token that only this process knows is lost with it.
        await self._vault.put(token_secret_name(environment), stored.dump())
        state.token = self._use(state, stored)
        state.refusal, state.refusal_mark, state.retry_early_at = None, "", 0.0
        log.info("token_obtained", environment=environment.flag, lifetime=stored.lifetime)
        return state.token


def _look_at(renewal: "asyncio.Future[AccessToken]") -> None:
    """Mark a failure as seen, also when every caller went away meanwhile."""
    if not renewal.cancelled():
        renewal.exception()
