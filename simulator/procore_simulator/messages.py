"""An HTTP request as an origin sees it, and the reply it gives."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import orjson

__all__ = [
    "CallerLeftError",
    "Json",
    "JsonObject",
    "Receive",
    "Reply",
    "Request",
    "Scope",
    "Send",
    "json_reply",
    "text_reply",
]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Json: TypeAlias = Any
"""Decoded JSON, whose shape only the reader of a key knows."""
JsonObject: TypeAlias = dict[str, Any]


class CallerLeftError(Exception):
    """The caller hung up in the middle of a request's body."""


class Request:
    """One request of an origin; the body is read by whoever needs it."""

    __slots__ = (
        "_query",
        "body",
        "headers",
        "is_read",
        "method",
        "path",
        "query_string",
        "receive",
        "scope",
    )

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query_string: bytes = scope["query_string"]
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.body = b""
        self.is_read = False
        """Whether the whole body has come, so that nothing may be waited for."""
        self._query: list[tuple[str, str]] | None = None

    def header(self, name: bytes) -> str | None:
        """Return the first header called *name* (lower case), or ``None``."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None

    @property
    def query(self) -> list[tuple[str, str]]:
        """The query's pairs in the order received, repeated keys kept."""
        if self._query is None:
            self._query = (
                parse_qsl(self.query_string.decode("latin-1"), keep_blank_values=True)
                if self.query_string
                else []
            )
        return self._query

    def argument(self, name: str) -> str | None:
        """Return the last query value called *name*, as Rails does."""
        found = None
        for key, value in self.query:
            if key == name:
                found = value
        return found

    async def read_body(self, *, limit: int) -> bool:
        """Read the whole body into ``body``; tell whether it stayed within *limit* bytes."""
        message = await self.receive()
        if message["type"] == "http.disconnect":
            return True
        body = message.get("body", b"")
        if not message.get("more_body", False):
            self.body = body
            self.is_read = True
            return len(body) <= limit
        pieces = [body]
        size = len(body)
        while size <= limit and message.get("more_body", False):
            message = await self.receive()
            if message["type"] == "http.disconnect":
                break
            piece = message.get("body", b"")
            size += len(piece)
            pieces.append(piece)
        self.body = b"".join(pieces)
        self.is_read = not message.get("more_body", False)
        return size <= limit

    async def pieces(self) -> AsyncIterator[bytes]:
        """Read the body as it comes, without an end to its size.

        Raises:
            CallerLeftError: If the caller hangs up before its end.
        """
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise CallerLeftError
            more = message.get("more_body", False)
            self.is_read = not more
            yield message.get("body", b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Status, headers and body of an answer.

    Args:
        size: The length of a body that is read from ``source`` as it goes out.
    """

    status: int = 200
    body: bytes = b""
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    source: Iterable[bytes] | None = None
    size: int = 0

    @property
    def length(self) -> int:
        """How many bytes the body has."""
        return len(self.body) if self.source is None else self.size

    def parts(self) -> Iterable[bytes]:
        """The body in parts that are small enough to be sent one by one."""
        return (self.body,) if self.source is None else self.source


def json_reply(value: Json, *, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Reply:
    """Answer with *value* as JSON."""
    return Reply(
        status=status,
        body=orjson.dumps(value),
        content_type="application/json",
        headers=tuple(headers),
    )


def text_reply(text: str, *, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Reply:
    """Answer with plain text."""
    return Reply(
        status=status,
        body=text.encode(),
        content_type="text/plain; charset=utf-8",
        headers=tuple(headers),
    )
