"""Custom connectors: what the platform registers as a microservice, with its secret and URLs."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect.errors import InvalidRequestError
from cloud_connect_relay.api import custom_connectors as api
from cloud_connect_relay.console.forms import Form
from cloud_connect_relay.console.pages import Page, page_for
from cloud_connect_relay.console.validation import validated

__all__ = ["router"]

router: Final = APIRouter(prefix="/console/custom-connectors")

Allowed = Annotated[Page, Depends(page_for("keys:manage"))]

_DIALECTS: Final = (
    ("A", "Current", "What the platform registers today: a fresh vector in each message."),
    ("B", "Older", "Registrations from before: the messages can be replayed, so reads only."),
)
_USERS: Final = (("members", "Members of the subscription"), ("partners", "External partners"))


@router.get("")
async def show(page: Allowed) -> Response:
    """List the registrations with their URLs."""
    listed = await api.list_custom_connectors(page.principal, page.services)
    return page.render("custom_connectors/list.html", registrations=listed["items"])


@router.get("/new")
async def new(page: Allowed) -> Response:
    """Ask how the platform has registered it."""
    return _form(page, Form.of(dialect="A", allow_writes=True, users="members"))


@router.post("/new")
async def create(page: Allowed) -> Response:
    """Make a registration and show its secret, this once."""
    form = page.form
    title = form.text("title", label="a title", required=True, max_length=100)
    wanted = validated(
        form,
        api.CustomConnectorRequest,
        {
            "title": title or "-",
            "dialect": form.value("dialect"),
            "secret": form.value("secret").strip() or None,
            "allow_writes": form.checked("allow_writes"),
            "request_id_is_key": form.checked("request_id_is_key"),
            "users": form.value("users"),
        },
        at="title",
    )
    if wanted is None or not form.ok:
        return _form(page, form, status=422)
    try:
        made = await api.create_custom_connector(wanted, page.principal, page.services)
    except InvalidRequestError as error:
        form.fault("secret", error.message)
        return _form(page, form, status=422)
    return page.render("custom_connectors/made.html", made=made)


@router.get("/{registration_id}")
async def registration(registration_id: str, page: Allowed) -> Response:
    """Show one registration: its URLs, and a field for another secret."""
    return await _registration(page, registration_id, Form.of())


@router.post("/{registration_id}/secret")
async def change_secret(registration_id: str, page: Allowed) -> Response:
    """Take the secret that the platform gave out."""
    form = page.form
    secret = form.text("secret", label="the secret key", required=True, max_length=500)
    if form.ok:
        try:
            await api.change_secret(
                registration_id,
                api.SecretRequest.model_validate({"secret": secret}),
                page.principal,
                page.services,
            )
        except InvalidRequestError as error:
            form.fault("secret", error.message)
    if not form.ok:
        return await _registration(page, registration_id, form, status=422)
    return page.redirect(
        "/custom-connectors", notice="The secret was replaced; the former one opens nothing."
    )


@router.get("/{registration_id}/delete")
async def ask_delete(registration_id: str, page: Allowed) -> Response:
    """Ask whether a registration is to end."""
    found = await api.show_custom_connector(registration_id, page.principal, page.services)
    return page.confirm(
        title=f"Delete “{found['title']}”?",
        text=(
            "The platform's calls by this registration are refused from now on.",
            "Its URLs and its secret cannot be had back.",
        ),
        action=f"/custom-connectors/{registration_id}/delete",
        cancel="/custom-connectors",
    )


@router.post("/{registration_id}/delete")
async def delete(registration_id: str, page: Allowed) -> Response:
    """Delete a registration."""
    await api.delete_custom_connector(registration_id, page.principal, page.services)
    return page.redirect("/custom-connectors", notice="The custom connector was deleted.")


def _form(page: Page, form: Form, *, status: int = 200) -> Response:
    return page.render(
        "custom_connectors/new.html", status=status, form=form, dialects=_DIALECTS, users=_USERS
    )


async def _registration(
    page: Page, registration_id: str, form: Form, *, status: int = 200
) -> Response:
    found = await api.show_custom_connector(registration_id, page.principal, page.services)
    return page.render(
        "custom_connectors/registration.html", status=status, registration=found, form=form
    )
