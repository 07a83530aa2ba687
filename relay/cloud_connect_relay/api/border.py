"""The edge of the API: what every request passes before an endpoint sees it."""

import asyncio
import re
import time
from typing import TYPE_CHECKING, Final

import structlog
from starlette.exceptions import HTTPException

from cloud_connect.errors import (
    BodyTooLargeError,
    CloudConnectError,
    InternalError,
    InvalidRequestError,
)
from cloud_connect_relay.api.bodies import check_large_json
from cloud_connect_relay.api.problems import error_response
from cloud_connect_relay.api.security import authenticate_request

if TYPE_CHECKING:
    from typing import Protocol

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from cloud_connect_relay.services import Services

    class RawEndpoint(Protocol):
        """Takes some paths before FastAPI sees them."""

        def matches(self, path: str) -> bool:
            """Whether it takes *path*."""
            ...

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            """Answer."""
            ...

    class Pages(Protocol):
        """Takes what browsers ask for, behind the same bounds, and refuses it in pages."""

        def matches(self, scope: Scope) -> bool:
            """Whether it takes the request."""
            ...

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            """Answer."""
            ...

        def refuse(self, error: CloudConnectError, scope: Scope) -> ASGIApp:
            """Return the page that tells of *error*."""
            ...


__all__ = ["Border"]

log = structlog.get_logger(__name__)

# Under these, everything needs a credential, unless it is listed as open.
_GUARDED: Final = re.compile(r"/(?:api(?:/.*)?|metrics)", re.ASCII | re.DOTALL)
_OPEN: Final = re.compile(
    r"/api/enrol(?:/challenge|/certificates|/tunnel|/update|/rotate|/leave)?", re.ASCII
)
# Records and queries are data, not management: larger, and judged by whoever parses them.
_DATA: Final = re.compile(
    r"/api/datasources/[^/]+/(?:query|records/.*|sealed)", re.ASCII | re.DOTALL
)
# Files may be of any size: whoever takes one in looks after it a piece at a time.
_FILES: Final = re.compile(
    r"/api/datasources/[^/]+/(?:uploads|records/[^/]+/[^/]+/attachments)", re.ASCII
)

# Each value that a model does not expect costs an error of its own, and more time than it took
# to send.
_MAX_VALUES: Final = 10_000

_LAST: Final = (b"connection", b"close")
_HEADERS: Final = (
    (b"cache-control", b"no-store"),  # answers differ by credential
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class Border:
    """The outermost ASGI application: nothing behind it answers the unknown or too much.

    In order: raw endpoints (the pass-through, which looks after itself), credentials, body
    limits, then FastAPI. What nobody caught becomes ``internal_error`` and one log entry.

    Args:
        pages: The console, which sees to credentials itself.
    """

    def __init__(
        self,
        app: "ASGIApp",
        services: "Services",
        raw: "RawEndpoint",
        pages: "Pages | None" = None,
    ) -> None:
        self._app: Final = app
        self._services: Final = services
        self._raw: Final = raw
        self._pages: Final = pages

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""
        answer = _Answer(send, last=not self._services.ready())
        began = time.monotonic()
        path: str = scope["path"]
        is_raw = self._raw.matches(path)
        try:
            if is_raw:
                await self._raw(scope, receive, answer.raw)
            else:
                await self._answer(scope, receive, answer)
        except CloudConnectError as error:
            if answer.started:
                raise
            await self._refusal(error, scope)(scope, receive, answer)
        except Exception:
            log.exception("request_failed", method=scope["method"], path=path)
            if answer.started:
                raise  # the connection breaks, so that nobody takes half an answer for a whole
            await self._refusal(_INTERNAL, scope)(scope, receive, answer)
        finally:
            self._services.requests.leave(scope)
            if not is_raw:  # the hot path, whose calls are recorded anyway
                log.debug(
                    "request_finished",
                    method=scope["method"],
                    path=path,
                    status=answer.status,
                    duration_ms=round((time.monotonic() - began) * 1000, 1),
                )

    def _refusal(self, error: CloudConnectError, scope: "Scope") -> "ASGIApp":
        if self._pages is not None and self._pages.matches(scope):
            return self._pages.refuse(error, scope)
        return error_response(error, scope["path"])

    async def _answer(self, scope: "Scope", receive: "Receive", answer: "_Answer") -> None:
        path: str = scope["path"]
        known = _GUARDED.fullmatch(path) is not None and not _OPEN.fullmatch(path)
        if known:
            await authenticate_request(self._services, scope)
        if _FILES.fullmatch(path):
            await self._app(scope, receive, answer)
        elif _DATA.fullmatch(path):
            limit = self._services.settings.calls.max_body_bytes
            await self._app(scope, _counted(scope, receive, limit), answer)
        else:
            settings = self._services.settings.api
            patience = settings.body_timeout if known else settings.head_timeout
            try:
                async with asyncio.timeout(min(patience, settings.body_timeout)):
                    body = await _body(scope, receive, settings.max_body_bytes)
            except TimeoutError as error:
                answer.last = True  # what else comes of it belongs to no request
                raise InvalidRequestError("The body did not arrive in time.") from error
            if body and path.startswith("/api/") and _is_json(scope):
                if body.count(b",") > _MAX_VALUES:
                    raise InvalidRequestError(f"The body holds more than {_MAX_VALUES} values.")
                await check_large_json(body)
            pages = self._pages
            app = self._app if pages is None or not pages.matches(scope) else pages
            await app(scope, _replayed(body, receive), answer)


_INTERNAL: Final = InternalError("The relay failed; its log has the reason.")


class _Answer:
    """Passes an answer on, adds headers, and knows whether it has begun.

    Attributes:
        last: The connection ends with it: the node drains, and the next one finds another.
    """

    def __init__(self, send: "Send", *, last: bool) -> None:
        self._send: Final = send
        self.last = last
        self.status = 0

    @property
    def started(self) -> bool:
        """Whether the status line is out."""
        return self.status != 0

    async def __call__(self, message: "Message") -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = list(message.get("headers", ()))
            if self.last:
                given.append(_LAST)
            names = {name.lower() for name, _ in given}
            given.extend(header for header in _HEADERS if header[0] not in names)
            message = {**message, "headers": given}
        await self._send(message)

    async def raw(self, message: "Message") -> None:
        """Pass a message on as it is."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.last:
                message = {**message, "headers": [*message.get("headers", ()), _LAST]}
        await self._send(message)


def _is_json(scope: "Scope") -> bool:
    for name, value in scope["headers"]:
        if name == b"content-type":
            media = value.partition(b";")[0].strip().lower()
            return bool(media == b"application/json" or media.endswith(b"+json"))
    return True  # what comes without a type is read as JSON


def _declared(scope: "Scope") -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value)
    return 0


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"The body is larger than {limit} bytes, the most this path takes.")


async def _body(scope: "Scope", receive: "Receive", limit: int) -> bytes:
    """Return the whole body.

    Raises:
        BodyTooLargeError: As soon as it is known to be over *limit*.
    """
    if _declared(scope) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _replayed(body: bytes, receive: "Receive") -> "Receive":
    """Return a channel that gives the body once, and afterwards what the real one gives."""
    given = False

    async def replay() -> "Message":
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _counted(scope: "Scope", receive: "Receive", limit: int) -> "Receive":
    """Return a channel that breaks off a body over *limit*.

    Raises:
        BodyTooLargeError: At once, if the declared length is over it.
    """
    if _declared(scope) > limit:
        raise _too_large(limit)
    size = 0

    async def count() -> "Message":
        nonlocal size
        message = await receive()
        if message["type"] == "http.request":
            size += len(message.get("body", b""))
            if size > limit:
                # FastAPI lets only this kind of error through while it reads a body.
                raise HTTPException(413, _too_large(limit).message)
        return message

    return count
