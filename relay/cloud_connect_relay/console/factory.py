"""Mounts the console: every area's endpoints, and what surrounds each answer."""

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Depends
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloud_connect_relay.api.endpoints import Endpoints
from cloud_connect_relay.console import (
    audit,
    calls,
    connectors,
    custom_connectors,
    datasource_details,
    datasources,
    errors,
    events,
    explore,
    join,
    keys,
    overview,
    people,
    records,
    security_dialog,
    settings,
    sign_in,
)
from cloud_connect_relay.console.shared import Shared, shared

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from cloud_connect.errors import CloudConnectError
    from cloud_connect_relay.services import Services

__all__ = ["CONTENT_SECURITY_POLICY", "Console"]

# Each has a ``router``. The first that matches answers: what is longer stands before "{id}".
_AREAS: Final = (
    sign_in,
    events,
    overview,
    join,
    connectors,
    security_dialog,
    explore,
    records,
    datasources,
    datasource_details,
    calls,
    audit,
    keys,
    people,
    custom_connectors,
    settings,
)

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " font-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none';"
    " base-uri 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    # Not "no-referrer": with it a browser hides the origin of our own forms, too.
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)

_files: Final = APIRouter(prefix="/console/static")


@_files.get("/{version}/{name:path}")
async def file(version: str, name: str, common: Annotated[Shared, Depends(shared)]) -> Response:
    """Return a style, a script or a picture; there is nothing to hide in them."""
    found = common.assets.answer(version, name)
    if found is None:
        raise HTTPException(404)
    return found


class Console:
    """The console as an ASGI application, for the border to pass requests on to."""

    def __init__(self, services: "Services") -> None:
        self._shared: Final = Shared.build(services)
        app = Endpoints(
            title="Console",
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
            redirect_slashes=False,
        )
        app.state.services = services
        app.state.console = self._shared
        errors.install(app)
        app.take(_files, *(area.router for area in _AREAS))
        self.app: Final = app

    def matches(self, scope: "Scope") -> bool:
        """Whether the console answers a request; at ``/`` only a browser's."""
        path: str = scope["path"]
        if path == "/":
            return scope["method"] in {"GET", "HEAD"} and _wants_page(scope)
        return path == "/console" or path.startswith("/console/")

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""
        if scope["path"] in {"/", "/console"}:
            home = RedirectResponse(self._shared.addresses.url("/"), status_code=303)
            await home(scope, receive, _guarded(send))
            return
        if scope["method"] == "HEAD":  # the server leaves the body out
            scope = {**scope, "method": "GET"}
        await self.app(scope, receive, _guarded(send))

    def refuse(self, error: "CloudConnectError", scope: "Scope") -> "ASGIApp":
        """Return the page that tells of an error which no endpoint was there to answer."""
        page = errors.error_page(self._shared, Request(scope), error, plain=True)

        async def answer(scope: "Scope", receive: "Receive", send: "Send") -> None:
            await page(scope, receive, _guarded(send))

        return answer


def _wants_page(scope: "Scope") -> bool:
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def _guarded(send: "Send") -> "Send":
    """Add what tells a browser to load and send nothing but what is ours."""

    async def guarded(message: "Message") -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
        await send(message)

    return guarded
