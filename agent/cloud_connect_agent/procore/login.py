"""Procore's login host: get a token, revoke one, ask how long it lasts."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final
from urllib.parse import urlencode

import httpx
import orjson
import structlog

from cloud_connect.errors import SignInRequiredError, SourceUnavailableError
from cloud_connect.live_secrets import learn_secret
from cloud_connect_agent.procore.bodies import BodyLimits
from cloud_connect_agent.procore.failures import Failure, read_failure
from cloud_connect_agent.procore.grants.accounts import Account
from cloud_connect_agent.procore.messages import clean_header
from cloud_connect_agent.procore.tokens import (
    AUTHORIZATION_CODE,
    CLIENT_CREDENTIALS,
    AccessToken,
    AppCredentials,
    StoredToken,
    read_answer,
)
from cloud_connect_agent.procore.transport import Origin, Sent, describe_failure

__all__ = ["AnswerLostError", "GrantRefusedError", "LoginHost", "NotSentError", "not_revoked"]

log = structlog.get_logger(__name__)

_ATTEMPTS: Final = 3  # of one request
_MAX_WAIT: Final = 20.0  # seconds between two attempts at most
_REQUEST_TIMEOUT: Final = 30.0  # seconds for one attempt
_REVOKE_SECONDS: Final = 20.0  # for both tokens of a grant; who signs out does not wait longer
_LIMITS: Final = BodyLimits(max_body_bytes=64 * 1024, max_headers=200)
_FORM: Final = (
    (b"content-type", b"application/x-www-form-urlencoded"),
    (b"accept", b"application/json"),
)


class GrantRefusedError(SignInRequiredError):
    """Procore knows the code or refresh token no longer: ``invalid_grant``."""


class AnswerLostError(SourceUnavailableError):
    """A code or refresh token went out and no verdict came back: it may be used up."""


class NotSentError(SourceUnavailableError):
    """Not a byte of a code or refresh token went out, so it is as good as before."""


class LoginHost:
    """One environment's login host.

    With the client-credentials grant nothing is used up by asking, so failures may be tried
    again. A code or a refresh token goes out once, whatever comes of it.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        user_agent: str,
        wall: Callable[[], float] = time.time,
        spread: Callable[[], float] = random.random,
        pause: float = 1.0,
    ) -> None:
        self._origin: Final = origin
        self._fetch: Final = partial(origin.fetch, limits=_LIMITS, within=_REQUEST_TIMEOUT)
        self._agent_header: Final = (b"user-agent", user_agent.encode("ascii"))
        self._wall: Final = wall
        self._spread: Final = spread
        self._pause: Final = pause

    @property
    def host(self) -> str:
        """Its name, for sentences."""
        return self._origin.host

    async def obtain(self, account: Account, app: AppCredentials) -> StoredToken:
        """Get a token with the app's own credentials.

        Raises:
            SignInRequiredError: If Procore refuses them.
            SourceUnavailableError: If it gives no verdict.
        """
        status, headers, body = await self._post(
            b"/oauth/token", {"grant_type": "client_credentials", **_client(app)}
        )
        if 200 <= status < 300:
            return self._read(app, headers, body)
        failure = read_failure(status, headers, body)
        if status in {400, 401}:
            raise SignInRequiredError(_refusal(account, failure, grant=CLIENT_CREDENTIALS))
        raise SourceUnavailableError(self._said(status, failure))

    async def redeem(
        self, account: Account, app: AppCredentials, *, code: str, redirect_uri: str, verifier: str
    ) -> StoredToken:
        """Exchange an authorization code, which is used up by it.

        Raises:
            GrantRefusedError: If Procore does not know the code.
            SignInRequiredError: If it refuses the app.
            AnswerLostError: If it gave no verdict.
            NotSentError: If it could not be reached.
        """
        learn_secret(code)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,  # Procore documents no PKCE and ignores it
            **_client(app),
        }
        try:
            stored = await self._once(account, app, form)
        except AnswerLostError as exc:
            again = "The code may be used up by that; begin the sign-in again."
            raise AnswerLostError(f"{exc.message} {again}") from exc
        return stored.model_copy(update={"grant": AUTHORIZATION_CODE})

    async def refresh(
        self, account: Account, app: AppCredentials, stored: StoredToken
    ) -> StoredToken:
        """Exchange a grant's refresh token for a new pair; it is used up by it.

        Raises:
            GrantRefusedError: If Procore does not know the refresh token.
            AnswerLostError: If it gave no verdict on it.
            NotSentError: If it could not be reached.
        """
        form = {
            "grant_type": "refresh_token",
            "refresh_token": stored.refresh_token.get_secret_value(),
            **_client(app),
        }
        try:
            fresh = await self._once(account, app, form)
        except GrantRefusedError:
            raise
        except SignInRequiredError as exc:  # the app was refused, which says nothing of the token
            raise AnswerLostError(exc.message) from exc
        return fresh.model_copy(
            update={
                "grant": AUTHORIZATION_CODE,
                # RFC 6749, 6: a server that sends no new one lets the old one live.
                "refresh_token": fresh.refresh_token
                if fresh.refresh_token.get_secret_value()
                else stored.refresh_token,
                "login": stored.login,
                "user_id": stored.user_id,
            }
        )

    async def _once(
        self, account: Account, app: AppCredentials, form: Mapping[str, str]
    ) -> StoredToken:
        sent = Sent()
        try:
            status, headers, body = await self._fetch(
                "POST",
                b"/oauth/token",
                headers=(*_FORM, self._agent_header),
                content=urlencode(form).encode("ascii"),
                sent=sent,
            )
        except (httpx.TransportError, TimeoutError, SourceUnavailableError) as exc:
            if isinstance(exc, SourceUnavailableError):
                why = exc.message
            else:
                why = describe_failure(exc, self.host)
            raise (AnswerLostError(why) if sent.started else NotSentError(why)) from exc
        if 200 <= status < 300:
            try:
                return self._read(app, headers, body)
            except SourceUnavailableError as exc:
                raise AnswerLostError(exc.message) from exc
        failure = read_failure(status, headers, body)
        if status in {400, 401}:
            log.info("code_grant_refused", status=status, code=failure.code)
            refusal = _refusal(account, failure, grant=AUTHORIZATION_CODE, code="code" in form)
            if failure.code == "invalid_grant":
                raise GrantRefusedError(refusal)
            raise SignInRequiredError(refusal)
        raise AnswerLostError(self._said(status, failure))

    def _read(self, app: AppCredentials, headers: httpx.Headers, body: bytes) -> StoredToken:
        stored = read_answer(body, date=headers.get("date"), wall=self._wall(), app=app)
        if stored is None:
            raise SourceUnavailableError(f"{self.host} answered without a token.")
        return stored

    async def revoke(self, app: AppCredentials, stored: StoredToken) -> None:
        """End a grant: its access token, and its refresh token if there is one.

        Raises:
            SourceUnavailableError: If Procore did not do it.
        """
        both = (stored.access_token.get_secret_value(), stored.refresh_token.get_secret_value())
        try:
            async with asyncio.timeout(_REVOKE_SECONDS):
                # Revoking one ends both; an access token that has ended may be known no more.
                for token in filter(None, both):
                    await self._revoke(app, token)
        except TimeoutError as exc:
            raise not_revoked(f"{self.host} did not answer in time.") from exc
        except SourceUnavailableError as exc:
            raise not_revoked(exc.message) from exc

    async def _revoke(self, app: AppCredentials, token: str) -> None:
        status, headers, body = await self._post(b"/oauth/revoke", {"token": token, **_client(app)})
        if status >= 400:
            raise SourceUnavailableError(self._said(status, read_failure(status, headers, body)))

    async def seconds_left(self, token: AccessToken) -> float | None:
        """Ask how long *token* still holds; ``None`` if the answer does not say.

        Raises:
            SourceUnavailableError: If there is no usable answer.
        """
        headers = (
            (b"authorization", token.header),
            (b"accept", b"application/json"),
            self._agent_header,
        )
        try:
            status, answer_headers, body = await self._fetch(
                "GET", b"/oauth/token/info", headers=headers
            )
        except (httpx.TransportError, TimeoutError) as exc:
            raise SourceUnavailableError(describe_failure(exc, self._origin.host)) from exc
        if status != 200:
            failure = read_failure(status, answer_headers, body)
            raise SourceUnavailableError(self._said(status, failure))
        try:
            left = orjson.loads(body).get("expires_in_seconds")
        except (orjson.JSONDecodeError, AttributeError):
            return None
        return float(left) if isinstance(left, (int, float)) else None

    def _said(self, status: int, failure: Failure) -> str:
        return f"{self.host} answered {status}: {failure.message.rstrip('.')}."

    async def _post(
        self, target: bytes, form: Mapping[str, str]
    ) -> tuple[int, httpx.Headers, bytes]:
        content = urlencode(form).encode("ascii")
        attempt = 1
        while True:
            wait = self._pause * 2 ** (attempt - 1) * (0.5 + self._spread() / 2)
            try:
                status, headers, body = await self._fetch(
                    "POST", target, headers=(*_FORM, self._agent_header), content=content
                )
            except (httpx.TransportError, TimeoutError) as exc:
                if attempt == _ATTEMPTS:
                    raise SourceUnavailableError(describe_failure(exc, self._origin.host)) from exc
            else:
                if (status != 429 and status < 500) or attempt == _ATTEMPTS:
                    return status, headers, body
                after = headers.get("retry-after", "")
                if after.isdecimal():
                    wait = max(wait, float(after[:9]))
                if wait > _MAX_WAIT:
                    return status, headers, body
            await asyncio.sleep(wait)
            attempt += 1


def _client(app: AppCredentials) -> dict[str, str]:
    return {
        "client_id": app.client_id,
        "client_secret": app.client_secret.get_secret_value(),
    }


def not_revoked(reason: str) -> SourceUnavailableError:
    """Say why a grant that is forgotten here may live on at Procore."""
    return SourceUnavailableError(
        f"The grant is forgotten here, but Procore was not told to revoke its tokens. {reason}"
    )


def _refusal(account: Account, failure: Failure, *, grant: str, code: bool = False) -> str:
    said = clean_header(failure.message).rstrip(".")
    if failure.code == "invalid_grant" and code:  # of the grant that is there it says nothing
        return (
            f"Procore did not accept the code for {account.label} ({said}). A code works once, for "
            "ten minutes: begin the sign-in again. Who was signed in before still is."
        )
    if failure.code == "invalid_grant":
        return (
            f"Procore no longer accepts the sign-in for {account.label} ({said}). Run "
            f"{account.login_command(grant)} on the connector's PC."
        )
    cause = (
        "the client id or secret is wrong or belongs to another environment"
        if failure.code == "invalid_client"
        else "the grant was refused"
    )
    return (
        f"Procore did not sign the app in for {account.label}: {cause} ({said}). Run "
        f"`cloud-connect procore app {account.options} --client-id ID "
        f"--secret-stdin` and {account.login_command(grant)} on the connector's PC."
    )
