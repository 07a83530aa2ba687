"""Security: who may edit and use a data source, and what partners may see of it."""

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect_relay import datasource_desk as desk
from cloud_connect_relay.access import PartnerRules
from cloud_connect_relay.console.forms import Form
from cloud_connect_relay.console.pages import Page, page_for
from cloud_connect_relay.console.security_form import (
    OPERATORS,
    QUERY_TYPES,
    Line,
    Mapped,
    entry_text,
    mappings_in,
    read_people,
)
from cloud_connect_relay.credentials import ROLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloud_connect_relay.storage.datasources import DataSource

__all__ = ["router"]

router: Final = APIRouter(prefix="/console/datasources/{datasource_id}/security")

Allowed = Annotated[Page, Depends(page_for("datasources:write"))]

_SAVED: Final = "Security settings saved successfully"
_LISTS: Final = (
    ("admins", "Connection administrators"),
    ("allowedUsers", "Connection users"),
    ("exclusionUsers", "Excluded users"),
)
_GROUPS: Final = (*sorted(ROLES), "member", "program")
_TOO_LATE: Final = (
    "Somebody else changed the security settings while you were editing them. Below is what you"
    " chose: save again to replace theirs, or close and open this again to see theirs."
)


@router.get("")
async def show(datasource_id: str, page: Allowed) -> Response:
    """Show the settings."""
    source = await desk.editable_datasource(page.services, page.principal, datasource_id)
    security = source.details.security
    form = Form.of(
        **{name: "\n".join(map(entry_text, security.get(name) or ())) for name, _ in _LISTS},
        enableB2B=security.get("enableB2B") is True,
        enableFiltering=security.get("enableFiltering") is True,
        seen=_version(security),
    )
    return await _answer(page, source, form, _stored(security))


@router.post("")
async def save(datasource_id: str, page: Allowed) -> Response:
    """Save the settings, or add and take out mappings and conditions of the form."""
    source = await desk.editable_datasource(page.services, page.principal, datasource_id)
    form, security = page.form, source.details.security
    mappings = mappings_in(form, _stored(security))
    wanted = form.value("do")
    if wanted:
        return await _answer(page, source, form, _edited(mappings, wanted))
    members: dict[str, Any] = {
        name: read_people(form, name, security.get(name) or (), label=label)
        for name, label in _LISTS
    }
    mappings, documents = _checked(form, mappings)
    if not form.ok:
        return await _answer(page, source, form, mappings, status=422)
    members |= {
        "enableB2B": form.checked("enableB2B"),
        "enableFiltering": form.checked("enableFiltering"),
        "b2bMappings": documents,
    }
    if form.value("seen") != _version(security):
        form.fault("seen", _TOO_LATE)
        return await _answer(page, source, form, mappings, status=409)
    saved = await desk.change_datasource(
        page.services,
        page.principal,
        source,
        replace(source.details, security={**security, **members}),
        action="datasource.security",
        over_others=False,
    )
    if saved is None:
        source = await desk.editable_datasource(page.services, page.principal, datasource_id)
        form.fault("seen", _TOO_LATE)
        return await _answer(page, source, form, mappings, status=409)
    if page.is_partial:
        return page.render("security_dialog/saved.html", sentence=_SAVED)
    return page.redirect(f"/datasources/{datasource_id}", notice=_SAVED)


def _edited(mappings: list[Mapped], wanted: str) -> list[Mapped]:
    """Return the mappings with one more, or one less, as a button says."""
    what, _, place = wanted.partition(":")
    number = int(place) if place.isascii() and place.isdecimal() and len(place) < 4 else -1
    if what == "add":
        return [*mappings, Mapped()]
    if what == "remove":
        return [one for at, one in enumerate(mappings) if at != number]
    if what == "line":
        return [
            replace(one, lines=(*one.lines, Line())) if at == number else one
            for at, one in enumerate(mappings)
        ]
    return mappings


def _checked(form: Form, mappings: list[Mapped]) -> tuple[list[Mapped], list[dict[str, Any]]]:
    """Return the mappings, each with what is wrong with it, and what to store of them."""
    shown: list[Mapped] = []
    documents: list[dict[str, Any]] = []
    for number, one in enumerate(mappings):
        try:
            documents.append(one.stored())
            shown.append(one)
        except ValueError as error:
            fault = f"{str(error)[:1].upper()}{str(error)[1:]}."
            shown.append(replace(one, fault=fault))
            form.fault(f"m{number}", f"Mapping {number + 1}: {error}.")
    if form.ok:
        try:
            PartnerRules.parse(documents)
        except ValueError as error:
            form.fault("b2bMappings", f"The mappings do not go together: {error}.")
    return shown, documents


def _stored(security: "Mapping[str, Any]") -> list[Mapped]:
    given = security.get("b2bMappings") or ()
    return [Mapped.of(one) for one in given if isinstance(one, dict)]


def _version(security: "Mapping[str, Any]") -> str:
    return hashlib.sha256(json.dumps(dict(security), sort_keys=True).encode()).hexdigest()[:32]


async def _answer(
    page: Page, source: "DataSource", form: Form, mappings: list[Mapped], *, status: int = 200
) -> Response:
    people: list[str] = []
    if page.may("users:manage"):  # names of people are for those who manage them
        users = await page.tenant.users.all()
        people = [user.username for user in users if user.revoked_at is None]
    return page.render(
        "security_dialog/page.html",
        # To a script a refusal is an answer like any other: it shows what is wrong.
        status=200 if page.is_partial else status,
        source=source,
        form=form,
        mappings=mappings,
        seen=_version(source.details.security) if status == 409 else form.value("seen"),
        query_types=QUERY_TYPES,
        operators=OPERATORS,
        groups=_GROUPS,
        people=people,
        path=f"/datasources/{source.id}",
    )
