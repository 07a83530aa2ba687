"""Procore's login host: get a token, revoke one, ask how long it lasts."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlencode

import httpx
import orjson

from cloud_connect.calls import Environment
from cloud_connect.errors import SignInRequiredError, SourceUnavailableError
from cloud_connect_agent.procore.bodies import BodyLimits, read_body
from cloud_connect_agent.procore.failures import read_failure
from cloud_connect_agent.procore.messages import clean_header
from cloud_connect_agent.procore.tokens import (
    AccessToken,
    AppCredentials,
    StoredToken,
    read_answer,
)
from cloud_connect_agent.procore.transport import Origin, describe_failure

__all__ = ["LoginHost"]

_ATTEMPTS: Final = 3  # of one request
_MAX_WAIT: Final = 20.0  # seconds between two attempts at most
_REQUEST_TIMEOUT: Final = 30.0  # seconds for one attempt
_LIMITS: Final = BodyLimits(max_body_bytes=64 * 1024, max_headers=200)
_FORM: Final = (
    (b"content-type", b"application/x-www-form-urlencoded"),
    (b"accept", b"application/json"),
)


class LoginHost:
    """One environment's login host, as the client-credentials grant uses it.

    With this grant nothing is used up by asking, so failures may be tried again.
    """

    def __init__(
        self,
        environment: Environment,
        origin: Origin,
        *,
        user_agent: str,
        wall: Callable[[], float] = time.time,
        spread: Callable[[], float] = random.random,
        pause: float = 1.0,
    ) -> None:
        self._environment: Final = environment
        self._origin: Final = origin
        self._agent_header: Final = (b"user-agent", user_agent.encode("ascii"))
        self._wall: Final = wall
        self._spread: Final = spread
        self._pause: Final = pause

    async def obtain(self, app: AppCredentials) -> StoredToken:
        """Get a token with the app's own credentials.

        Raises:
            SignInRequiredError: If Procore refuses them.
            SourceUnavailableError: If it gives no verdict.
        """
        form = {
            "grant_type": "client_credentials",
            "client_id": app.client_id,
            "client_secret": app.client_secret.get_secret_value(),
        }
        status, headers, body = await self._post(b"/oauth/token", form)
        host = self._origin.host
        if 200 <= status < 300:
            stored = read_answer(body, date=headers.get("date"), wall=self._wall(), app=app)
            if stored is None:
                raise SourceUnavailableError(f"{host} answered without a token.")
            return stored
        failure = read_failure(status, headers, body)
        if status in {400, 401}:
            raise SignInRequiredError(_refusal(self._environment, failure.code, failure.message))
        raise SourceUnavailableError(f"{host} answered {status}: {failure.message}.")

    async def revoke(self, app: AppCredentials, token: StoredToken) -> None:
        """End a token.

        Raises:
            SourceUnavailableError: If Procore did not do it.
        """
        form = {
            "token": token.access_token.get_secret_value(),
            "client_id": app.client_id,
            "client_secret": app.client_secret.get_secret_value(),
        }
        status, headers, body = await self._post(b"/oauth/revoke", form)
        if status >= 400:
            said = read_failure(status, headers, body).message.rstrip(".")
            raise SourceUnavailableError(
                f"The grant is forgotten here, but Procore did not revoke its token: {said}."
            )

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
            status, answer_headers, body = await self._send(
                "GET", b"/oauth/token/info", headers=headers
            )
        except (httpx.TransportError, TimeoutError) as exc:
            raise SourceUnavailableError(describe_failure(exc, self._origin.host)) from exc
        if status != 200:
            said = read_failure(status, answer_headers, body).message.rstrip(".")
            raise SourceUnavailableError(f"{self._origin.host} answered {status}: {said}.")
        try:
            left = orjson.loads(body).get("expires_in_seconds")
        except (orjson.JSONDecodeError, AttributeError):
            return None
        return float(left) if isinstance(left, (int, float)) else None

    async def _post(
        self, target: bytes, form: Mapping[str, str]
    ) -> tuple[int, httpx.Headers, bytes]:
        content = urlencode(form).encode("ascii")
        attempt = 1
        while True:
            wait = self._pause * 2 ** (attempt - 1) * (0.5 + self._spread() / 2)
            try:
                status, headers, body = await self._send(
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

    async def _send(
        self,
        method: str,
        target: bytes,
        *,
        headers: tuple[tuple[bytes, bytes], ...],
        content: bytes | None = None,
    ) -> tuple[int, httpx.Headers, bytes]:
        async with asyncio.timeout(_REQUEST_TIMEOUT):
            response = await self._origin.send(
                method, target, headers=headers, content=content, reuse=False
            )
            try:
                body = await read_body(
                    response.aiter_raw(),
                    encoding=response.headers.get("content-encoding"),
                    limits=_LIMITS,
                )
            finally:
                await response.aclose()
        return response.status_code, response.headers, body


def _refusal(environment: Environment, code: str | None, message: str) -> str:
    said = clean_header(message).rstrip(".")
    cause = (
        "the client id or secret is wrong or belongs to another environment"
        if code == "invalid_client"
        else "the grant was refused"
    )
    return (
        f"Procore did not sign the app in for {environment.flag}: {cause} ({said}). Run "
        f"`cloud-connect procore app --environment {environment.flag} --client-id ID "
        "--secret-stdin` and `cloud-connect procore login` on the connector's PC."
    )
