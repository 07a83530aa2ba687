"""Signing in and out."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cloud_connect.errors import QuotaExceededError
from cloud_connect_relay.api.security import source_of
from cloud_connect_relay.console import csrf
from cloud_connect_relay.console.addresses import HOME
from cloud_connect_relay.console.errors import waiting_time
from cloud_connect_relay.console.pages import Page, page_for, read_form
from cloud_connect_relay.console.shared import Shared, shared

__all__ = ["router"]

router: Final = APIRouter(prefix="/console")

Common = Annotated[Shared, Depends(shared)]

_WRONG: Final = "The user name or the password is not right."


@router.get("/sign-in")
async def ask(request: Request, common: Common) -> Response:
    """Show the form; who is signed in goes on at once."""
    back = request.query_params.get("next")
    if await common.sessions.find(request) is not None:
        return RedirectResponse(_target(common, back), status_code=303)
    return _form(common, request, back=back)


@router.post("/sign-in")
async def sign_in(request: Request, common: Common) -> Response:
    """Begin a session, if name and password are right."""
    csrf.check_origin(request, common.addresses)
    form = await read_form(request)
    username, back = form.value("username").strip(), form.value("next")
    try:
        user = await common.services.authenticator.user_of(
            username=username,
            password=form.value("password"),
            source=source_of(request.scope),
        )
    except QuotaExceededError as error:
        wait = waiting_time(error.retry_after)
        fault = f"Too many sign-ins failed from your address. Wait {wait}, then try again."
        response = _form(
            common, request, back=back, username=username, fault=fault, status=error.status
        )
        response.headers["retry-after"] = str(max(1, round(error.retry_after or 1)))
        return response
    if user is None:
        return _form(common, request, back=back, username=username, fault=_WRONG, status=401)
    before = await common.sessions.find(request)
    if before is not None:  # another session begins: the browser has no use for this one
        await common.sessions.end(before)
    response = RedirectResponse(_target(common, back), status_code=303)
    await common.sessions.begin(user, response)
    return response


@router.post("/sign-out")
async def sign_out(page: Annotated[Page, Depends(page_for(None))]) -> Response:
    """End the session, and everything that it runs."""
    await page.shared.sessions.end(page.session)
    response = RedirectResponse(page.url("/sign-in?signed-out=1"), status_code=303)
    page.shared.sessions.forget(response)
    return response


def _target(common: Shared, back: str | None) -> str:
    """Return where to go after signing in: a page of this console, whatever was asked for."""
    path = common.addresses.own(back)
    return common.addresses.url(HOME if path is None or path.startswith("/sign-") else path)


def _form(
    common: Shared,
    request: Request,
    *,
    back: str | None,
    username: str = "",
    fault: str = "",
    status: int = 200,
) -> Response:
    content = common.templates.get_template("sign_in/form.html").render(
        theme=common.theme(request),
        back=back if common.addresses.own(back) is not None else "",
        username=username,
        fault=fault,
        signed_out="signed-out" in request.query_params,
    )
    return HTMLResponse(content, status_code=status)
