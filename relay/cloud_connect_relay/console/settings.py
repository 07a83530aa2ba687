"""Settings: your account and its password, and what this relay is."""

from importlib.metadata import version
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect.errors import InvalidRequestError
from cloud_connect_relay.api import users as api
from cloud_connect_relay.console.forms import Form
from cloud_connect_relay.console.pages import Page, page_for
from cloud_connect_relay.console.people import ROLE_TEXTS
from cloud_connect_relay.console.validation import validated
from cloud_connect_relay.passwords import MIN_PASSWORD

__all__ = ["router"]

router: Final = APIRouter(prefix="/console/settings")

Allowed = Annotated[Page, Depends(page_for(None))]


@router.get("")
async def show(page: Allowed) -> Response:
    """Show who is signed in, and what this relay allows."""
    return await _show(page, Form.of())


@router.post("/password")
async def change_password(page: Allowed) -> Response:
    """Change one's own password; all one's sessions end, this one, too."""
    form = page.form
    if form.value("password") != form.value("again"):
        form.fault("again", "This is not the same password.")
    wanted = validated(
        form,
        api.OwnPasswordRequest,
        {"current": form.value("current"), "password": form.value("password")},
        at="current",
    )
    if wanted is None or not form.ok:
        return await _show(page, form, status=422)
    try:
        await api.change_own_password(
            wanted,
            page.request,
            page.principal.user_id or "",
            page.principal,
            page.services,
        )
    except InvalidRequestError:
        form.fault("current", "This is not your password.")
        return await _show(page, form, status=422)
    return page.redirect("/sign-in", notice="Your password was changed. Sign in with it.")


async def _show(page: Page, form: Form, *, status: int = 200) -> Response:
    titles = {role: (title, text) for role, title, text in ROLE_TEXTS}
    services = page.services
    role, explained = titles.get(page.session.role, (page.session.role, ""))
    return page.render(
        "settings/page.html",
        status=status,
        form=form,
        role=role,
        role_text=explained,
        min_password=MIN_PASSWORD,
        relay={
            "version": version("cloud-connect"),
            "address": services.addresses.base_url,
            "tunnel": services.addresses.tunnel_url,
            "node": services.settings.node,
        },
        auth=services.settings.auth,
        limits=services.settings.calls,
        retention=services.settings.audit.retention,
    )
