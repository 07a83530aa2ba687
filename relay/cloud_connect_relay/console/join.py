"""Add connector: a join token, shown once, and what to type on the PC; green when it is there."""

from importlib.metadata import version
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect_relay.api import enrolment_tokens as api
from cloud_connect_relay.api.problems import not_found
from cloud_connect_relay.console.forms import Form
from cloud_connect_relay.console.pages import Page, page_for
from cloud_connect_relay.console.validation import validated
from cloud_connect_relay.enrolment_desk import describe_join_token

__all__ = ["router"]

router: Final = APIRouter(prefix="/console/connectors/add")

Allowed = Annotated[Page, Depends(page_for("connectors:enrol"))]

_LIFETIMES: Final = (("900", "15 minutes"), ("3600", "An hour"), ("86400", "A day"))
_POLICIES: Final = (
    ("read-write", "Read and write", "Whatever the PC's own policy allows."),
    ("read-only", "Read only", "Never a create, change or delete, whatever the PC allows."),
    ("test-only", "Tests only", "Connection tests, and nothing else."),
)


@router.get("")
async def ask(page: Allowed) -> Response:
    """Ask what the next PC will be for."""
    tokens = await api.list_tokens(page.principal, page.services)
    form = Form.of(expires_in="3600", policy_class="read-write")
    return _form(page, form, waiting=[one for one in tokens["items"] if one["status"] == "open"])


@router.post("")
async def create(page: Allowed) -> Response:
    """Make a join token and show it, this once, with the commands that use it."""
    form = page.form
    wanted = validated(
        form,
        api.TokenRequest,
        {
            "group": form.text("group", label="A group", max_length=100) or None,
            "expires_in": form.value("expires_in"),
            "policy_class": form.value("policy_class"),
            "approval": form.checked("approval"),
            "hosted": form.checked("hosted"),
        },
        at="group",
    )
    if wanted is None or not form.ok:
        return _form(page, form, status=422)
    made = await api.create_token(page.principal, page.services, wanted)
    return page.render(
        "join/made.html",
        made=made,
        relay=page.services.addresses.base_url,
        version=version("cloud-connect"),
    )


@router.get("/{token_id}")
async def state(token_id: str, page: Allowed) -> Response:
    """Show whether the PC has come, which the page before asks again and again."""
    issued = await page.tenant.join_tokens.find(token_id)
    if issued is None:
        raise not_found()
    token = describe_join_token(issued, now=page.now)
    connector = None
    if token["connector_id"] is not None:
        connector = await page.tenant.connectors.get(token["connector_id"])
    online = connector is not None and page.services.registry.get(connector.id) is not None
    return page.render("join/state.html", token=token, connector=connector, online=online)


@router.get("/{token_id}/revoke")
async def ask_revoke(token_id: str, page: Allowed) -> Response:
    """Ask whether a token is to end."""
    return page.confirm(
        title="Revoke this join token?",
        text="No PC can enrol with it any more. What it has enrolled stays.",
        confirm="Revoke",
        action=f"/connectors/add/{token_id}/revoke",
        cancel="/connectors/add",
    )


@router.post("/{token_id}/revoke")
async def revoke(token_id: str, page: Allowed) -> Response:
    """Refuse a token from now on."""
    await api.revoke_token(token_id, page.principal, page.services)
    return page.redirect("/connectors/add", notice="The join token was revoked.")


def _form(
    page: Page, form: Form, *, waiting: "list[dict[str, object]] | None" = None, status: int = 200
) -> Response:
    return page.render(
        "join/new.html",
        status=status,
        form=form,
        lifetimes=_LIFETIMES,
        policies=_POLICIES,
        waiting=waiting or [],
    )
