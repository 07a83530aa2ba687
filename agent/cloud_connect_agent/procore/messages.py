"""A request to Procore's API and its answer, as the rest of the agent sees them."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from cloud_connect.errors import SourceUnavailableError

__all__ = [
    "NOT_THE_API",
    "READ_METHODS",
    "ApiRequest",
    "ApiResponse",
    "clean_header",
    "has_next",
    "plain_headers",
]

READ_METHODS: Final = frozenset({"GET", "HEAD"})
NOT_THE_API: Final = (
    "Procore's host answered with something that is not its API; check the address and whether a "
    "proxy or this network (guest Wi-Fi, hotel) asks for a sign-in."
)
_NEXT: Final = re.compile(r';\s*rel="?next\b', re.IGNORECASE)
_CONTROLS: Final = dict.fromkeys((*range(32), 127))


def clean_header(value: str) -> str:
    """Strip control characters, so that no value can start a line of its own."""
    return value if value.isprintable() else value.translate(_CONTROLS)


def has_next(link: str | None) -> bool | None:
    """Whether a ``Link`` header names a next page; ``None`` without the header."""
    return None if link is None else _NEXT.search(link) is not None


def plain_headers(headers: httpx.Headers) -> dict[str, str]:
    """Return headers by lower-case name; of repeated ones, the last."""
    return {
        name.lower().decode("latin-1"): clean_header(value.decode("latin-1"))
        for name, value in headers.raw
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """One request of the catalogue's making.

    Attributes:
        path: From ``/rest/`` on, percent-encoded where needed.
        query: In order, repeated names as they are.
        json: The body, if it is not ``None``.
        form: The body as ``application/x-www-form-urlencoded``, if there is no *json*.
        content: Gives the body anew for each attempt, if there is neither; *headers* describe it.
        headers: Beside those that the client sets itself.
        idempotent: Procore carries it out once for each ``Idempotency-Token``.
        about: What is asked for, as a noun, so that a refusal can say what was refused.
        read_ahead: Its answer waits for its turn, and is decoded then, to take less memory.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    json: object = None
    form: tuple[tuple[str, str], ...] | None = None
    content: Callable[[], AsyncIterator[bytes]] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    idempotent: bool = False
    about: str = ""
    read_ahead: bool = False

    @property
    def writes(self) -> bool:
        """Whether it may change something at Procore."""
        return self.method not in READ_METHODS


class ApiResponse:
    """A 2xx answer.

    Attributes:
        headers: By lower-case name; values hold no control characters.
        text: The body when it is not JSON.
        already_absent: A deletion was repeated, and the first attempt had been carried out.
    """

    __slots__ = ("_json", "_unpack", "already_absent", "headers", "status", "text")

    def __init__(
        self,
        *,
        status: int,
        headers: Mapping[str, str],
        json: object = None,
        text: str = "",
        already_absent: bool = False,
        unpack: Callable[[], object] | None = None,
    ) -> None:
        self.status: Final = status
        self.headers: Final = headers
        self.text: Final = text
        self.already_absent: Final = already_absent
        self._json: Any = json
        self._unpack = unpack

    @property
    def json(self) -> Any:
        """The decoded body; ``None`` when it is empty or not JSON.

        Raises:
            SourceUnavailableError: If what was read ahead is not the JSON that it says it is.
        """
        if self._unpack is not None:
            self._json = self._unpack()
            self._unpack = None
        return self._json

    def api_json(self) -> Any:
        """Return the decoded body of a read.

        Raises:
            SourceUnavailableError: If it is another thing, such as a proxy's sign-in page.
        """
        decoded = self.json
        if decoded is None and self.text:
            raise SourceUnavailableError(NOT_THE_API)
        return decoded

    @property
    def request_id(self) -> str | None:
        """Procore's reference of the request."""
        return self.headers.get("x-request-id")
