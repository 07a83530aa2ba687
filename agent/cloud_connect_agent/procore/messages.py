"""A request to Procore's API and its answer, as the rest of the agent sees them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from cloud_connect.errors import SourceUnavailableError

__all__ = ["READ_METHODS", "ApiRequest", "ApiResponse", "clean_header", "plain_headers"]

READ_METHODS: Final = frozenset({"GET", "HEAD"})
_CONTROLS: Final = dict.fromkeys((*range(32), 127))


def clean_header(value: str) -> str:
    """Strip control characters, so that no value can start a line of its own."""
    return value if value.isprintable() else value.translate(_CONTROLS)


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
        headers: Beside those that the client sets itself.
        about: What is asked for, as a noun, so that a refusal can say what was refused.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    json: object = None
    form: tuple[tuple[str, str], ...] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    about: str = ""

    @property
    def writes(self) -> bool:
        """Whether it may change something at Procore."""
        return self.method not in READ_METHODS


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiResponse:
    """A 2xx answer.

    Attributes:
        headers: By lower-case name; values hold no control characters.
        json: The decoded body; ``None`` when it is empty or not JSON.
        text: The body when it is not JSON.
        already_absent: A deletion was repeated, and the first attempt had been carried out.
    """

    status: int
    headers: Mapping[str, str]
    json: Any = None
    text: str = ""
    already_absent: bool = False

    def api_json(self) -> Any:
        """Return the decoded body of a read.

        Raises:
            SourceUnavailableError: If it is another thing, such as a proxy's sign-in page.
        """
        if self.json is None and self.text:
            raise SourceUnavailableError(
                "Procore's host answered with something that is not its API; check the address "
                "and whether a proxy asks for a sign-in."
            )
        return self.json

    @property
    def request_id(self) -> str | None:
        """Procore's reference of the request."""
        return self.headers.get("x-request-id")
