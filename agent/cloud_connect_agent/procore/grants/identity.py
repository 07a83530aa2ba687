"""Who am I: whom a fresh token acts for, and which companies that person sees."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import httpx
import orjson

from cloud_connect.errors import SourceError, SourceRejectedError, SourceUnavailableError
from cloud_connect_agent.procore.bodies import BodyLimits, read_body
from cloud_connect_agent.procore.failures import read_failure
from cloud_connect_agent.procore.transport import Origin, describe_failure

__all__ = ["Identity", "IdentityHost"]

_TIMEOUT: Final = 30.0  # seconds for one request
_MAX_PAGES: Final = 200  # of the companies list, 100 a page
_LIMITS: Final = BodyLimits(max_body_bytes=4 * 1024 * 1024)
_NEXT: Final = re.compile(r'rel="?next"?')


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

    async def unseen(self, token: str, companies: Iterable[int]) -> int | None:
        """Return the first of *companies* that *token* does not see.

        Raises:
            SourceRejectedError: If Procore refuses to say.
            SourceUnavailableError: If there is no usable answer.
        """
        wanted = list(companies)
        missing = set(wanted)
        seen: set[int] = set()
        for page in range(1, _MAX_PAGES + 1):
            if not missing:
                return None
            listed, more = await self._get(
                token, b"/rest/v1.0/companies?per_page=100&page=%d" % page
            )
            items = listed if isinstance(listed, list) else []
            ids = {item["id"] for item in items if _has_id(item)}
            missing -= ids
            # A server that ignores the page number must not be asked for ever.
            if ids <= seen or not more:
                break
            seen |= ids
        return next((company for company in wanted if company in missing), None)

    async def _get(self, token: str, target: bytes) -> tuple[object, bool]:
        """Return a decoded answer, and whether another page may follow."""
        headers = (
            (b"authorization", b"Bearer " + token.encode("ascii")),
            (b"accept", b"application/json"),
            self._agent_header,
        )
        try:
            async with asyncio.timeout(_TIMEOUT):
                response = await self._origin.send("GET", target, headers=headers, reuse=False)
                try:
                    body = await read_body(
                        response.aiter_raw(),
                        encoding=response.headers.get("content-encoding"),
                        limits=_LIMITS,
                    )
                finally:
                    await response.aclose()
        except (httpx.TransportError, TimeoutError) as exc:
            raise SourceUnavailableError(describe_failure(exc, self._origin.host)) from exc
        if response.status_code != 200:
            raise _refused(response, body, self._origin.host)
        link = response.headers.get("link")
        try:
            # Without the header, only an empty page is the end.
            return orjson.loads(body), link is None or _NEXT.search(link) is not None
        except orjson.JSONDecodeError as exc:
            raise SourceUnavailableError(
                f"{self._origin.host} answered with something that is not JSON."
            ) from exc


def _has_id(item: object) -> bool:
    return isinstance(item, dict) and isinstance(item.get("id"), int)


def _refused(response: httpx.Response, body: bytes, host: str) -> SourceError:
    status = response.status_code
    said = read_failure(status, response.headers, body).message.rstrip(".")
    if 400 <= status < 500 and status != 429:
        return SourceRejectedError(f"{host} does not say who signed in: {said}.", status=status)
    return SourceUnavailableError(f"{host} answered {status}: {said}.")
