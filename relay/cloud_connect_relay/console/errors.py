"""Errors as pages: what happened, in words, and what to do."""

import math
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cloud_connect.errors import (
    CloudConnectError,
    ErrorCode,
    InternalError,
    InvalidRequestError,
    NotFoundError,
)
from cloud_connect_relay.console.csrf import ForgedRequestError
from cloud_connect_relay.console.forms import Form
from cloud_connect_relay.console.pages import Page
from cloud_connect_relay.console.sessions import SignInNeededError
from cloud_connect_relay.console.shared import Shared, shared

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["error_page", "install", "sign_in_first", "waiting_time"]

_TITLES: Final = {
    400: "That did not work",
    403: "Your role does not allow this",
    404: "There is nothing here",
    405: "That did not work",
    409: "That is not possible at the moment",
    413: "That is too large",
    429: "Too many requests",
    500: "Something went wrong",
    502: "Procore is not available",
    503: "Not available at the moment",
    504: "It took too long",
}
_ADVICE: Final = {
    403: "Ask an administrator of your subscription if you need it.",
    404: "It may have been deleted, or the address is not complete.",
    500: "Try again; if it happens again, whoever runs the relay finds the reason in its log.",
    503: "The relay may be restarting. Load the page again in a few seconds.",
}


def install(app: "FastAPI") -> None:
    """Make *app* answer every error with a page."""

    async def on_error(request: Request, error: Exception) -> Response:
        common = shared(request)
        if isinstance(error, SignInNeededError):
            return sign_in_first(common, request)
        if common.session_of(request) is None and common.addresses.own(request.url.path):
            session = await common.sessions.find(request)
            if session is not None:
                common.remember(request, session)
        return error_page(common, request, _translate(error))

    for kind in (CloudConnectError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, on_error)


def sign_in_first(common: Shared, request: Request) -> Response:
    """Send the browser to the sign-in, which leads back."""
    addresses = common.addresses
    asked = request.url.path.removeprefix("/console") or "/"
    if request.method not in {"GET", "HEAD"} or "hx-request" in request.headers:
        # Back to the page that was looked at: what it sent is not sent again.
        seen = request.headers.get("hx-current-url") or request.headers.get("referer")
        path = addresses.own_reference(seen) or "/"
    else:
        path = f"{asked}?{request.url.query}" if request.url.query else asked
    back = "" if path == "/" else f"?next={quote(addresses.url(path), safe='/')}"
    target = addresses.url(f"/sign-in{back}")
    response: Response
    if "hx-request" in request.headers:
        response = Response(status_code=401, headers={"hx-redirect": target})
    elif "text/event-stream" in request.headers.get("accept", ""):
        response = Response(status_code=401)
    else:
        response = RedirectResponse(target, status_code=303)
    common.sessions.forget(response)
    return response


def error_page(
    common: Shared, request: Request, error: CloudConnectError, *, plain: bool = False
) -> Response:
    """Return the page that tells of *error*, in the layout of whoever is signed in.

    Args:
        plain: In the one for strangers, which needs nothing that may have failed.
    """
    forged = isinstance(error, ForgedRequestError)
    context: dict[str, Any] = {
        "code": error.status,
        "heading": "This page is out of date" if forged else _title(error),
        "sentence": error.message,
        "advice": "" if forged else _advice(error),
    }
    session = None if plain else common.session_of(request)
    headers = {}
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    if session is None:
        content = common.templates.get_template("errors/plain.html").render(
            theme=common.theme(request), **context
        )
        return HTMLResponse(content, status_code=error.status, headers=headers)
    page = Page(request=request, shared=common, session=session, form=Form())
    if page.is_partial and not page.is_dialog:  # shown beside what is on the page
        headers |= {"hx-retarget": "#notices", "hx-reswap": "beforeend"}
        response = page.render("errors/notice.html", **context)
    else:
        response = page.render("errors/page.html", **context)
    response.status_code = error.status
    response.headers.update(headers)
    return response


def waiting_time(seconds: float | None) -> str:
    """Return how long to wait, in words."""
    rest = max(1, math.ceil(seconds or 1))
    if rest < 60:
        return f"{rest} second{'' if rest == 1 else 's'}"
    minutes = math.ceil(rest / 60)
    return f"{minutes} minute{'' if minutes == 1 else 's'}"


def _title(error: CloudConnectError) -> str:
    if error.code is ErrorCode.CONNECTOR_OFFLINE:
        return "No connector is connected"
    return _TITLES.get(error.status, _TITLES[500 if error.status >= 500 else 400])


def _advice(error: CloudConnectError) -> str:
    if error.retry_after is not None:
        return f"Wait {waiting_time(error.retry_after)}, then try again."
    return _ADVICE.get(error.status, "")


def _translate(error: Exception) -> CloudConnectError:
    match error:
        case CloudConnectError():
            return error
        case RequestValidationError():
            return InvalidRequestError("The address or the form holds a value that is not valid.")
        case HTTPException(status_code=404):
            return NotFoundError("There is no such page, or it is not yours.")
        case HTTPException() if 400 <= error.status_code < 500:
            refused = InvalidRequestError("This page does not take that request.")
            refused.status = error.status_code
            return refused
        case _:
            return InternalError("The relay failed; its log has the reason.")
