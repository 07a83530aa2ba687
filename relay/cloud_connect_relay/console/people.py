"""People: who may sign in, and as what."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect.errors import InvalidRequestError
from cloud_connect_relay.api import users as api
from cloud_connect_relay.console.forms import Form
from cloud_connect_relay.console.pages import Page, page_for
from cloud_connect_relay.console.validation import validated
from cloud_connect_relay.credentials import ROLES

__all__ = ["ROLE_TEXTS", "router"]

router: Final = APIRouter(prefix="/console/people")

Allowed = Annotated[Page, Depends(page_for("users:manage"))]

ROLE_TEXTS: Final = (
    ("administrator", "Administrator", "May do everything, and give others roles."),
    (
        "data-source-manager",
        "Manage data sources",
        "Sets data sources up and tests them; sees connectors and calls.",
    ),
    ("operator", "Operator", "Runs connectors, data sources and calls; makes no keys or people."),
    ("viewer", "Viewer", "Sees everything that runs and changes nothing."),
    ("partner", "Partner", "From outside: uses the data sources that are open to partners."),
)


@router.get("")
async def show(page: Allowed) -> Response:
    """List who may sign in, or everybody who ever might."""
    everything = page.form.value("show") == "all"
    people = await page.tenant.users.all()
    live = [person for person in people if person.revoked_at is None]
    return page.render(
        "people/list.html",
        people=people if everything else live,
        everything=everything,
        ended=len(people) - len(live),
        roles={role: title for role, title, _ in ROLE_TEXTS},
    )


@router.get("/new")
async def new(page: Allowed) -> Response:
    """Ask who else may sign in."""
    return _form(page, Form.of(role="operator", made_up=True))


@router.post("/new")
async def create(page: Allowed) -> Response:
    """Let a person sign in; a password that was made up is shown, this once."""
    form = page.form
    username = form.text("username", label="a user name", required=True, max_length=100)
    wanted = validated(
        form,
        api.UserRequest,
        {"username": username or "-", "role": form.value("role"), **_password(form)},
        at="username",
    )
    if wanted is None or not form.ok:
        return _form(page, form, status=422)
    try:
        made = await api.create_user(wanted, page.principal, page.services)
    except InvalidRequestError as error:
        form.fault("username", error.message)
        return _form(page, form, status=422)
    if made["password"] is None:
        return page.redirect("/people", notice=f"{username} may sign in.")
    return page.render("people/made.html", made=made, title=f"{username} may sign in")


@router.get("/{user_id}")
async def person(user_id: str, page: Allowed) -> Response:
    """Show a person, and what may be changed."""
    found = await api.show_user(user_id, page.principal, page.services)
    return _person(page, found, Form.of(role=found["role"], made_up=True))


@router.post("/{user_id}/role")
async def change_role(user_id: str, page: Allowed) -> Response:
    """Give a person another role."""
    form = page.form
    wanted = validated(form, api.UserChange, {"role": form.value("role")})
    found = await api.show_user(user_id, page.principal, page.services)
    if wanted is not None:
        try:
            await api.change_user(user_id, wanted, page.principal, page.services)
        except InvalidRequestError as error:
            form.fault("role", error.message)
    if not form.ok:
        return _person(page, found, form, status=422)
    return page.redirect(
        "/people", notice=f"{found['username']} has another role and signs in anew."
    )


@router.post("/{user_id}/password")
async def change_password(user_id: str, page: Allowed) -> Response:
    """Set a person's password and end their sessions."""
    form = page.form
    wanted = validated(form, api.PasswordRequest, _password(form), at="password")
    if wanted is None or not form.ok:
        found = await api.show_user(user_id, page.principal, page.services)
        return _person(page, found, form, status=422)
    made = await api.set_password(user_id, page.principal, page.services, wanted)
    if made["password"] is None:
        return page.redirect(
            "/people", notice=f"{made['username']} has another password and signs in anew."
        )
    return page.render(
        "people/made.html", made=made, title=f"{made['username']} has another password"
    )


@router.get("/{user_id}/revoke")
async def ask_revoke(user_id: str, page: Allowed) -> Response:
    """Ask whether a person is to be refused."""
    found = await api.show_user(user_id, page.principal, page.services)
    return page.confirm(
        title=f"Refuse {found['username']} from now on?",
        text=(
            "All their sessions end within five seconds.",
            "Their name stays in the audit log and cannot be given to somebody else.",
        ),
        confirm="Revoke",
        action=f"/people/{user_id}/revoke",
        cancel="/people",
    )


@router.post("/{user_id}/revoke")
async def revoke(user_id: str, page: Allowed) -> Response:
    """Refuse a person from now on."""
    found = await api.show_user(user_id, page.principal, page.services)
    try:
        await api.revoke_user(user_id, page.principal, page.services)
    except InvalidRequestError as error:
        form = Form.of(role=found["role"], made_up=True)
        form.fault("revoke", error.message)
        return _person(page, found, form, status=422)
    return page.redirect("/people", notice=f"{found['username']} may not sign in any more.")


def _password(form: Form) -> dict[str, str]:
    """Return the password that was typed; none, where one is to be made up."""
    return {} if form.checked("made_up") else {"password": form.value("password")}


def _form(page: Page, form: Form, *, status: int = 200) -> Response:
    return page.render("people/new.html", status=status, form=form, roles=_grantable(page))


def _person(page: Page, found: dict[str, Any], form: Form, *, status: int = 200) -> Response:
    return page.render(
        "people/person.html", status=status, person=found, form=form, roles=_grantable(page)
    )


def _grantable(page: Page) -> list[tuple[str, str, str]]:
    """Return the roles that allow no more than the person who asks may."""
    return [one for one in ROLE_TEXTS if all(page.may(scope) for scope in ROLES[one[0]])]
