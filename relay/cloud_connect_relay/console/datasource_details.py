"""The details of a data source: its page, saving it, testing it, signing its connector in."""

from dataclasses import dataclass, replace
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, Response

from cloud_connect.calls import Operation
from cloud_connect.errors import CloudConnectError, InvalidRequestError
from cloud_connect_relay import datasource_desk as desk
from cloud_connect_relay.access import Use
from cloud_connect_relay.api.begun_sign_ins import begin_sign_in
from cloud_connect_relay.api.call_specs import spec_for
from cloud_connect_relay.api.query_calls import TestAnswer, failed_before_agent, run_test
from cloud_connect_relay.calls.spec import target_of
from cloud_connect_relay.console.actors import names_of
from cloud_connect_relay.console.connector_choices import connector_choices
from cloud_connect_relay.console.datasource_form import (
    ENVIRONMENTS,
    differences,
    form_of,
    read_details,
    version_of,
)
from cloud_connect_relay.console.datasource_rights import may_test, refusal_to_edit
from cloud_connect_relay.console.datasource_sign_in import SignIn, SignInState, follow_sign_in
from cloud_connect_relay.console.forms import Form
from cloud_connect_relay.console.notices import Kind, Notice
from cloud_connect_relay.console.pages import Page, page_for
from cloud_connect_relay.storage.datasources import DataSource, DataSourceDetails

__all__ = ["router"]

# Of two decorators the lower one is matched first.
router: Final = APIRouter(prefix="/console/datasources")

Reads = Annotated[Page, Depends(page_for("datasources:read"))]
Changes = Annotated[Page, Depends(page_for("datasources:write"))]
Tests = Annotated[Page, Depends(page_for("calls:test"))]

_SAVED: Final = "Details saved successfully"  # the platform shows exactly this
_LOCATION: Final = "console-location"  # where the page is from now on, for its script


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What the page tells beside the details.

    Attributes:
        conflict: What somebody else saved meanwhile.
        result: Of the test that was asked for.
    """

    form: Form
    status: int = 200
    notice: Notice | None = None
    conflict: DataSource | None = None
    result: TestAnswer | None = None
    sign_in: SignIn | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """What became of saving: the data source, or what the page shows instead."""

    source: DataSource | None
    refused: _Shown | None = None


@router.get("/new")
async def begin(page: Changes) -> Response:
    """Show the page of a data source that is not saved yet."""
    return await _answer(page, None, _Shown(form=form_of(None)))


@router.post("/{datasource_id}")
@router.post("/new")
async def save(page: Changes, datasource_id: str | None = None) -> Response:
    """Save the details, complete or not."""
    stored = await _store(page, datasource_id)
    if stored.refused is not None or stored.source is None:
        return await _answer(page, stored.source, stored.refused)
    return page.redirect(f"/datasources/{stored.source.id}", notice=_SAVED)


@router.post("/{datasource_id}/test")
@router.post("/new/test")
async def try_connection(page: Tests, datasource_id: str | None = None) -> Response:
    """Test the connection with the details of the page, which are saved before."""
    source = None
    if datasource_id is not None:
        source = await page.services.calls.sources.checked(
            page.principal.subscription_id,
            datasource_id,
            subject=page.principal.subject,
            use=Use.TEST,
        )
    if refusal_to_edit(page, source) is None:
        stored = await _store(page, datasource_id)
        source = stored.source
        if stored.refused is not None:
            return await _answer(page, source, stored.refused)
    if source is None:
        page.require("datasources:write")
        raise InvalidRequestError("There is nothing to test.")
    told = await _tested(page, source)
    kind = Kind.SUCCESS if told.success else Kind.ERROR
    if not page.is_partial:
        return page.redirect(f"/datasources/{source.id}", notice=told.message, kind=kind)
    source = await page.services.calls.sources.find(page.principal.subscription_id, source.id)
    shown = _Shown(form=form_of(source.details), notice=Notice(told.message, kind), result=told)
    return await _answer(page, source, shown)


@router.post("/{datasource_id}/authorize")
@router.post("/new/authorize")
async def authorize(page: Changes, datasource_id: str | None = None) -> Response:
    """Begin to sign a connector in with the details of the page, which are saved before."""
    stored = await _store(page, datasource_id)
    source = stored.source
    if stored.refused is not None or source is None:
        return await _answer(page, source, stored.refused)
    if datasource_id is None and not page.is_partial:  # a reload must not make a second one
        return page.redirect(
            f"/datasources/{source.id}", notice=f"{_SAVED}. Choose Authorize to sign in."
        )
    try:
        begun = await begin_sign_in(
            page.services,
            page.principal,
            page.request,
            source.id,
            connector_id=page.form.value("sign_in_connector") or None,
        )
    except CloudConnectError as error:
        sign_in = SignIn(state=SignInState.FAILED, text=error.message)
    else:
        sign_in = replace(
            await follow_sign_in(page, source.id, begun.attempt), address=begun.authorize_url
        )
    return await _answer(page, source, _Shown(form=form_of(source.details), sign_in=sign_in))


@router.get("/{datasource_id}/sign-in")
async def tell_sign_in(datasource_id: str, attempt: str, page: Changes) -> Response:
    """Tell the page's script how far a sign-in has come."""
    await desk.editable_datasource(page.services, page.principal, datasource_id)
    found = await follow_sign_in(page, datasource_id, attempt)
    return JSONResponse({"state": found.state.value, "text": found.text})


@router.get("/{datasource_id}")
async def show(datasource_id: str, page: Reads) -> Response:
    """Show a data source; whoever may not change it sees the same."""
    source = await page.services.calls.sources.find(page.principal.subscription_id, datasource_id)
    attempt = page.form.value("attempt")
    sign_in = None
    if attempt and refusal_to_edit(page, source) is None:
        sign_in = await follow_sign_in(page, datasource_id, attempt)
    return await _answer(page, source, _Shown(form=form_of(source.details), sign_in=sign_in))


async def _store(page: Page, datasource_id: str | None) -> _Stored:
    """Save what the form holds; what is wrong with it stands in the form."""
    form = page.form
    source = None
    if datasource_id is not None:
        source = await desk.editable_datasource(page.services, page.principal, datasource_id)
    details = read_details(form, None if source is None else source.details)
    if not form.ok:
        return _Stored(source=source, refused=_Shown(form=form, status=422))
    try:
        if source is None:
            created = await desk.create_datasource(page.services, page.principal, details)
            return _Stored(source=created)
        return await _change(page, source, details)
    except InvalidRequestError:
        form.fault(
            "connectors",
            "One of the connectors was revoked meanwhile: choose among those that are left.",
        )
        return _Stored(source=source, refused=_Shown(form=form, status=422))


async def _change(page: Page, source: DataSource, details: DataSourceDetails) -> _Stored:
    """Save changed details, unless somebody else saved others since they were shown."""
    if details == source.details:
        return _Stored(source=source)
    if page.form.value("seen") != version_of(source.details):
        return _conflict(page, source)
    saved = await desk.change_datasource(
        page.services, page.principal, source, details, over_others=False
    )
    if saved is None:  # gone, or another one was quicker by a moment
        source = await desk.editable_datasource(page.services, page.principal, source.id)
        return _conflict(page, source)
    return _Stored(source=saved)


def _conflict(page: Page, source: DataSource) -> _Stored:
    return _Stored(source=source, refused=_Shown(form=page.form, status=409, conflict=source))


async def _tested(page: Page, source: DataSource) -> TestAnswer:
    try:
        spec = spec_for(
            page.services,
            page.principal,
            page.request,
            target=target_of(source),
            operation=Operation.TEST,
        )
        told, _ = await run_test(page.services, spec, source)
    except CloudConnectError as error:
        return failed_before_agent(error)
    return told


async def _answer(page: Page, source: DataSource | None, shown: _Shown | None) -> Response:
    """Render the page; its script gets the same as a part."""
    form = form_of(None if source is None else source.details) if shown is None else shown.form
    shown = shown or _Shown(form=form)
    choices = await connector_choices(page, frozenset(form.many("connectors")))
    names = {one.id: one.name for one in choices.connectors}
    differing: list[tuple[str, str, str]] = []
    actors: dict[str, str] = {}
    if source is not None:
        actors = await names_of(page.tenant, [source.modified_by])
    theirs = None if shown.conflict is None else shown.conflict.details
    if theirs is not None:
        differing = list(differences(theirs, read_details(form, theirs), names))
    refusal = refusal_to_edit(page, source)
    response = page.render(
        "datasources/details.html",
        # To a script a refusal is an answer like any other: it shows what is wrong.
        status=200 if page.is_partial else shown.status,
        source=source,
        form=form,
        seen=form.value("seen") if theirs is None else version_of(theirs),
        environments=ENVIRONMENTS,
        choices=choices,
        actor="" if source is None else actors[source.modified_by],
        refusal=refusal,
        testable=may_test(page, source),
        told=shown.notice,
        conflict=shown.conflict,
        differing=differing,
        result=shown.result,
        sign_in=shown.sign_in,
        path="/datasources/new" if source is None else f"/datasources/{source.id}",
    )
    if source is not None:
        response.headers[_LOCATION] = page.url(f"/datasources/{source.id}")
    return response
