"""Who am I: whom a fresh token acts for, and which companies that person sees."""

from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final

import httpx
import orjson

from cloud_connect.errors import SourceError, SourceRejectedError, SourceUnavailableError
from cloud_connect_agent.procore.bodies import BodyLimits
from cloud_connect_agent.procore.companies import PAGE_SIZE, companies
from cloud_connect_agent.procore.failures import read_failure
from cloud_connect_agent.procore.transport import Origin, describe_failure

__all__ = ["Identity", "IdentityHost"]

_TIMEOUT: Final = 30.0  # seconds for one request
_LIMITS: Final = BodyLimits(max_body_bytes=4 * 1024 * 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A person at Procore.

    Attributes:
        login: Their e-mail address, as a rule.
    """

    user_id: int | None
    login: str


class IdentityHost:
    """One environment's API, asked for the identity behind a token."""

    def __init__(self, origin: Origin, *, user_agent: str) -> None:
        self._origin: Final = origin
        self._agent_header: Final = (b"user-agent", user_agent.encode("ascii"))

    async def ask(self, token: str) -> Identity:
        """Return whom *token* acts for.

        Raises:
            SourceRejectedError: If Procore refuses to say.
            SourceUnavailableError: If there is no usable answer.
        """
        # Without a company: the person's, who may be in none of ours.
        document, _ = await self._get(token, b"/rest/v1.0/me")
        if not isinstance(document, dict):
            raise SourceUnavailableError(f"{self._origin.host} does not say who signed in.")
        user_id, login = document.get("id"), document.get("login")
        known = isinstance(user_id, int) and not isinstance(user_id, bool)
        return Identity(
            user_id=user_id if known else None,
            login=login[:320] if isinstance(login, str) else "",
        )

    async def unseen(self, token: str, wanted: Iterable[int]) -> int | None:
        """Return the first of the companies *wanted* that *token* does not see.

        Raises:
            SourceRejectedError: If Procore refuses to say.
            SourceUnavailableError: If there is no usable answer.
        """
        missing: dict[int, None] = dict.fromkeys(wanted)
        if not missing:
            return None
        async with aclosing(companies(partial(self._companies, token))) as seen:
            async for company in seen:
                missing.pop(company["id"], None)
                if not missing:
                    return None
        return next(iter(missing))

    async def _companies(self, token: str, page: int) -> tuple[object, str | None]:
        return await self._get(
            token, b"/rest/v1.0/companies?per_page=%d&page=%d" % (PAGE_SIZE, page)
        )

    async def _get(self, token: str, target: bytes) -> tuple[object, str | None]:
        """Return a decoded answer, and its ``Link`` header."""
        headers = (
            (b"authorization", b"Bearer " + token.encode("ascii")),
            (b"accept", b"application/json"),
            self._agent_header,
        )
        try:
            status, answered, body = await self._origin.fetch(
                "GET", target, headers=headers, limits=_LIMITS, within=_TIMEOUT
            )
        except (httpx.TransportError, TimeoutError) as exc:
            raise SourceUnavailableError(describe_failure(exc, self._origin.host)) from exc
        if status != 200:
            raise _refused(status, answered, body, self._origin.host)
        try:
            return orjson.loads(body), answered.get("link")
        except orjson.JSONDecodeError as exc:
            raise SourceUnavailableError(
                f"{self._origin.host} answered with something that is not JSON."
            ) from exc


def _refused(status: int, headers: httpx.Headers, body: bytes, host: str) -> SourceError:
    said = read_failure(status, headers, body).message.rstrip(".")
    if 400 <= status < 500 and status != 429:
        return SourceRejectedError(f"{host} does not say who signed in: {said}.", status=status)
    return SourceUnavailableError(f"{host} answered {status}: {said}.")
