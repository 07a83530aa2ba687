"""API keys: what programs sign in with. Made and replaced here, their secrets shown once."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect_relay.api import keys as api
from cloud_connect_relay.console.forms import Form
from cloud_connect_relay.console.pages import Page, page_for
from cloud_connect_relay.console.scope_texts import SCOPE_TEXTS
from cloud_connect_relay.console.validation import validated
from cloud_connect_relay.key_desk import MAX_OVERLAP, OVERLAP, describe_key

__all__ = ["router"]

router: Final = APIRouter(prefix="/console/keys")

Allowed = Annotated[Page, Depends(page_for("keys:manage"))]

_DAY: Final = 86_400
_LIFETIMES: Final = (
    (str(30 * _DAY), "30 days"),
    (str(90 * _DAY), "90 days"),
    (str(365 * _DAY), "A year"),
    ("", "Never; it stays until it is revoked"),
)
_OVERLAPS: Final = (
    ("0", "End it at once"),
    ("3600", "An hour"),
    (str(OVERLAP), "A day"),
    (str(7 * _DAY), "A week"),
    (str(MAX_OVERLAP), "30 days"),
)
_ACTS_FOR: Final = (
    ("", "Nobody: it acts for itself"),
    ("members", "Its users; unknown ones count as members"),
    ("partners", "Its users; unknown ones count as partners"),
)


@router.get("")
async def show(page: Allowed) -> Response:
    """List the keys: those that work, or all."""
    now = page.now
    everything = page.form.value("show") == "all"
    keys = [describe_key(key, now=now) | {"key": key} for key in await page.tenant.keys.all()]
    live = [key for key in keys if key["status"] == "live"]
    return page.render(
        "keys/list.html",
        keys=list(reversed(keys if everything else live)),
        everything=everything,
        ended=len(keys) - len(live),
    )


@router.get("/new")
async def new(page: Allowed) -> Response:
    """Ask what a new key may do."""
    form = Form.of(expires_in=_LIFETIMES[1][0], scopes=("calls:read",))
    return _form(page, form)


@router.post("/new")
async def create(page: Allowed) -> Response:
    """Make a key and show its secret, this once."""
    form = page.form
    name = form.text("name", label="a name", required=True, max_length=100)
    lifetime = form.choice("expires_in", dict(_LIFETIMES), label="how long it lives", default="")
    acts_for = form.choice("acts_for", dict(_ACTS_FOR), label="whom it acts for", default="")
    wanted = validated(
        form,
        api.KeyRequest,
        {
            "name": name or "unnamed",
            "scopes": form.many("scopes"),
            "expires_in": int(lifetime) if lifetime else None,
            "addresses": form.value("addresses").split(),
            "acts_for": acts_for or None,
        },
        at="name",
    )
    if wanted is None or not form.ok:
        return _form(page, form, status=422)
    made = await api.create_key(wanted, page.principal, page.services)
    return page.render("keys/made.html", made=made, former=None)


@router.get("/{key_id}/rotate")
async def ask_overlap(key_id: str, page: Allowed) -> Response:
    """Ask how long the former key lives on beside its successor."""
    return await _rotation(page, key_id, Form.of(overlap=str(OVERLAP)))


@router.post("/{key_id}/rotate")
async def rotate(key_id: str, page: Allowed) -> Response:
    """Make a successor with the same rights and show its secret, this once."""
    overlap = page.form.choice("overlap", dict(_OVERLAPS), label="how long the former one lives")
    if not page.form.ok:
        return await _rotation(page, key_id, page.form, status=422)
    wanted = api.RotationRequest(overlap=int(overlap))
    made = await api.rotate(key_id, page.principal, page.services, wanted)
    return page.render("keys/made.html", made=made, former=key_id)


@router.get("/{key_id}/revoke")
async def ask_revoke(key_id: str, page: Allowed) -> Response:
    """Ask whether a key is to end."""
    key = await api.show_key(key_id, page.principal, page.services)
    return page.confirm(
        title=f"Revoke the key “{key['name']}”?",
        text=(
            "Programs that use it are refused within five seconds; what they run is cut.",
            "This cannot be undone.",
        ),
        confirm="Revoke",
        action=f"/keys/{key_id}/revoke",
        cancel="/keys",
    )


@router.post("/{key_id}/revoke")
async def revoke(key_id: str, page: Allowed) -> Response:
    """Refuse a key from now on."""
    await api.revoke_key(key_id, page.principal, page.services)
    return page.redirect("/keys", notice="The key was revoked.")


def _form(page: Page, form: Form, *, status: int = 200) -> Response:
    grantable = [(scope, text) for scope, text in SCOPE_TEXTS if page.may(scope)]
    return page.render(
        "keys/new.html",
        status=status,
        form=form,
        scopes=grantable,
        lifetimes=_LIFETIMES,
        acts_for=_ACTS_FOR if page.may("users:manage") else (),
    )


async def _rotation(page: Page, key_id: str, form: Form, *, status: int = 200) -> Response:
    key = await api.show_key(key_id, page.principal, page.services)
    return page.render("keys/rotate.html", status=status, form=form, key=key, overlaps=_OVERLAPS)
