"""Connectors: the PCs that run your calls, live; and what may be done to one."""

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect.errors import CloudConnectError, InvalidRequestError
from cloud_connect_relay.api import connectors as api
from cloud_connect_relay.api.connector_documents import connector_document
from cloud_connect_relay.console.forms import Form
from cloud_connect_relay.console.history import History, history_of
from cloud_connect_relay.console.notices import Kind
from cloud_connect_relay.console.pages import Page, page_for
from cloud_connect_relay.console.validation import validated
from cloud_connect_relay.uptime import DAY, HISTORY_DAYS

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["router"]

router: Final = APIRouter(prefix="/console/connectors")

Reads = Annotated[Page, Depends(page_for("connectors:read"))]
Manages = Annotated[Page, Depends(page_for("connectors:manage"))]

_PAGE: Final = 50
_PAUSES: Final = (
    ("900", "15 minutes"),
    ("3600", "an hour"),
    ("14400", "4 hours"),
    ("86400", "a day"),
    ("604800", "a week"),
)
_ATTENTION: Final = frozenset({"clone_suspected", "pending"})


def _needs_attention(connector: dict[str, Any]) -> bool:
    return connector["status"] in _ATTENTION or (
        connector["status"] != "revoked" and bool(connector["problems"])
    )


# Which connectors each tab shows.
_TABS: "Final[dict[str, tuple[str, Callable[[dict[str, Any]], bool]]]]" = {
    "": ("All", lambda one: one["status"] != "revoked"),
    "online": ("Online", lambda one: one["status"] == "online"),
    "attention": ("Needs attention", _needs_attention),
    "offline": ("Offline", lambda one: one["status"] in {"offline", "paused", "draining"}),
    "revoked": ("Revoked", lambda one: one["status"] == "revoked"),
}


@router.get("")
async def show(page: Reads) -> Response:
    """List the connectors, a page of them; scripts ask again when something changes."""
    form = page.form
    query = form.value("q").strip().casefold()
    tab = form.value("show") if form.value("show") in _TABS else ""
    seen = await page.tenant.presence.since(page.now - DAY)
    every = [
        connector_document(page.services, one, seen) for one in await page.tenant.connectors.list()
    ]
    found = [one for one in every if _matches(one, query)]
    shown = [one for one in found if _TABS[tab][1](one)]
    pages = max(1, -(-len(shown) // _PAGE))
    number = min(pages, form.number("page", label="Page", minimum=1, maximum=10_000) or 1)
    return page.render(
        "connectors/list.html",
        connectors=shown[(number - 1) * _PAGE : number * _PAGE],
        total=len(shown),
        number=number,
        pages=pages,
        tabs=[(key, title, sum(map(wanted, found))) for key, (title, wanted) in _TABS.items()],
        tab=tab,
        q=form.value("q").strip(),
        any=bool(every),
    )


@router.get("/{connector_id}")
async def connector(connector_id: str, page: Reads) -> Response:
    """Show one connector."""
    found = await api.show_connector(connector_id, page.principal, page.services)
    return await _connector(page, found, _filled(found))


@router.post("/{connector_id}")
async def change(connector_id: str, page: Manages) -> Response:
    """Give it another name or group."""
    form = page.form
    name = form.text("name", label="a name", required=True, max_length=200)
    group = form.text("group", label="A group", max_length=100)
    wanted = validated(form, api.ConnectorChange, {"name": name or "-", "group": group or None})
    if wanted is None or not form.ok:
        found = await api.show_connector(connector_id, page.principal, page.services)
        return await _connector(page, found, form, status=422)
    await api.change_connector(connector_id, wanted, page.principal, page.services)
    return page.redirect(f"/connectors/{connector_id}", notice="Saved.")


@router.get("/{connector_id}/pause")
async def ask_pause(connector_id: str, page: Manages) -> Response:
    """Ask for how long it is to take no calls."""
    return await _pausing(page, connector_id, Form.of(length="3600"))


@router.post("/{connector_id}/pause")
async def pause(connector_id: str, page: Manages) -> Response:
    """Keep calls from it for a while."""
    length = page.form.choice("length", dict(_PAUSES), label="how long")
    if not page.form.ok:
        return await _pausing(page, connector_id, page.form, status=422)
    wanted = api.ConnectorChange(paused_for=int(length))
    await api.change_connector(connector_id, wanted, page.principal, page.services)
    return page.redirect(
        f"/connectors/{connector_id}", notice=f"It takes no calls for {dict(_PAUSES)[length]}."
    )


@router.post("/{connector_id}/resume")
async def resume(connector_id: str, page: Manages) -> Response:
    """End a pause that began here."""
    wanted = api.ConnectorChange(paused_for=0)
    now = await api.change_connector(connector_id, wanted, page.principal, page.services)
    still = now["paused_by"] == "pc"
    said = "Nobody keeps calls from it here any more." if still else "It takes calls again."
    return page.redirect(f"/connectors/{connector_id}", notice=said)


@router.get("/{connector_id}/drain")
async def ask_drain(connector_id: str, page: Manages) -> Response:
    """Ask whether it is to take no further calls."""
    found = await api.show_connector(connector_id, page.principal, page.services)
    return page.confirm(
        title=f"Drain {found['name']}?",
        text=(
            "It finishes the calls that run and takes no further ones, until somebody lets it.",
            "Calls of data sources that have no other connector fail meanwhile.",
        ),
        confirm="Drain",
        danger=False,
        action=f"/connectors/{connector_id}/drain",
        cancel=f"/connectors/{connector_id}",
    )


@router.post("/{connector_id}/drain")
async def drain(connector_id: str, page: Manages) -> Response:
    """Have it finish its calls and take no further ones."""
    return await _draining(page, connector_id, draining=True)


@router.post("/{connector_id}/undrain")
async def undrain(connector_id: str, page: Manages) -> Response:
    """Have it take calls again."""
    return await _draining(page, connector_id, draining=False)


@router.post("/{connector_id}/echo")
async def echo(connector_id: str, page: Reads) -> Response:
    """Ask it whether calls come through."""
    target = f"/connectors/{connector_id}"
    try:
        told = await api.echo_connector(connector_id, page.principal, page.services)
    except CloudConnectError as error:
        if error.status == 404:
            raise
        return page.redirect(target, notice=error.message, kind=Kind.ERROR)
    return page.redirect(target, notice=f"It answered after {told['echo_ms']:.1f} ms.")


@router.post("/{connector_id}/approve")
async def approve(connector_id: str, page: Manages) -> Response:
    """Let it in."""
    return await _said(page, connector_id, api.approve_connector, "It may connect from now on.")


@router.get("/{connector_id}/recover")
async def ask_recover(connector_id: str, page: Manages) -> Response:
    """Ask whether it may come back."""
    found = await api.show_connector(connector_id, page.principal, page.services)
    return page.confirm(
        title=f"Let {found['name']} come back?",
        text=(
            "Stop the copy first: whichever connects first is the connector from then on, and the"
            " other one is refused again."
        ),
        confirm="Let it come back",
        danger=False,
        action=f"/connectors/{connector_id}/recover",
        cancel=f"/connectors/{connector_id}",
    )


@router.post("/{connector_id}/recover")
async def recover(connector_id: str, page: Manages) -> Response:
    """Accept its next connect."""
    return await _said(
        page, connector_id, api.recover_connector, "Its next connect will be accepted."
    )


@router.get("/{connector_id}/revoke")
async def ask_revoke(connector_id: str, page: Manages) -> Response:
    """Ask whether it is to be refused for good."""
    found = await api.show_connector(connector_id, page.principal, page.services)
    return page.confirm(
        title=f"Revoke {found['name']}?",
        text=(
            "Its session is cut now and it is refused from now on; calls that run end unfinished.",
            "To use the PC again, enrol it with a new join token.",
        ),
        confirm="Revoke",
        action=f"/connectors/{connector_id}/revoke",
        cancel=f"/connectors/{connector_id}",
    )


@router.post("/{connector_id}/revoke")
async def revoke(connector_id: str, page: Manages) -> Response:
    """Refuse it from now on."""
    found = await api.show_connector(connector_id, page.principal, page.services)
    await api.revoke_connector(connector_id, page.principal, page.services)
    return page.redirect("/connectors", notice=f"{found['name']} was revoked.")


async def _pausing(page: Page, connector_id: str, form: Form, *, status: int = 200) -> Response:
    found = await api.show_connector(connector_id, page.principal, page.services)
    return page.render(
        "connectors/pause.html", status=status, form=form, connector=found, lengths=_PAUSES
    )


async def _draining(page: Page, connector_id: str, *, draining: bool) -> Response:
    wanted = api.ConnectorChange(draining=draining)
    changed = await api.change_connector(connector_id, wanted, page.principal, page.services)
    said = "It takes no further calls." if draining else _taken_again(changed["status"])
    return page.redirect(f"/connectors/{connector_id}", notice=said)


def _taken_again(status: str) -> str:
    """Return what ending a drain means for a connector in such a state."""
    waits = {
        "offline": "It takes calls again once it is connected.",
        "paused": "It is drained no more, but it is paused.",
        "draining": "It is drained no more; it takes calls again when it has connected anew.",
    }
    return waits.get(status, "It takes calls again.")


async def _said(page: Page, connector_id: str, act: Any, said: str) -> Response:
    target = f"/connectors/{connector_id}"
    try:
        await act(connector_id, page.principal, page.services)
    except InvalidRequestError as error:
        return page.redirect(target, notice=error.message, kind=Kind.ERROR)
    return page.redirect(target, notice=said)


def _filled(found: dict[str, Any]) -> Form:
    return Form.of(name=found["name"], group=found["group"])


async def _connector(
    page: Page, found: dict[str, Any], form: Form, *, status: int = 200
) -> Response:
    history = await _history(page, found["id"], is_connected=found["connected_since"] is not None)
    return page.render(
        "connectors/connector.html", status=status, connector=found, form=form, history=history
    )


async def _history(page: Page, connector_id: str, *, is_connected: bool) -> History:
    connector = await page.tenant.connectors.get(connector_id)
    seen = await page.tenant.presence.since(
        page.now - HISTORY_DAYS * DAY, connector_id=connector_id
    )
    return history_of(
        relays=seen.relays,
        connected=seen.connectors.get(connector_id, ()),
        enrolled_at=page.now if connector is None else connector.enrolled_at,
        is_connected=is_connected,
        now=page.now,
    )


def _matches(connector: dict[str, Any], query: str) -> bool:
    return not query or any(
        query in str(connector[name] or "").casefold()
        for name in ("name", "machine", "group", "os", "version", "id")
    )
