"""A page of the console, as an endpoint asks for it: who looks at it, and how to answer.

Copyable::

    Reads = Annotated[Page, Depends(page_for("keys:manage"))]

    @router.get("")                                   # render a page
    async def show(page: Reads) -> Response:
        return page.render("keys/list.html", keys=await page.tenant.keys.all())

    @router.post("")                                  # read a form; CSRF is checked already
    async def create(page: Reads) -> Response:
        name = page.form.text("name", label="Name", required=True)
        if not page.form.ok:
            return page.render("keys/new.html", status=422, form=page.form)
        ...
        return page.redirect("/keys", notice="The key was created.")

    @router.get("/{key_id}/revoke")                   # confirm: a dialog, or a page without script
    async def ask(key_id: str, page: Reads) -> Response:
        return page.confirm(title="Revoke the key?", text="…", confirm="Revoke",
                            action=f"/keys/{key_id}/revoke", cancel="/keys")
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cloud_connect.errors import InsufficientScopeError
from cloud_connect_relay.console import csrf, notices
from cloud_connect_relay.console.forms import Form
from cloud_connect_relay.console.navigation import area_of, areas_for
from cloud_connect_relay.console.notices import Kind, Notice
from cloud_connect_relay.console.scope_texts import SCOPE_TEXTS
from cloud_connect_relay.console.sessions import Session, SignInNeededError
from cloud_connect_relay.console.shared import Shared, shared
from cloud_connect_relay.credentials import SCOPES

if TYPE_CHECKING:
    from cloud_connect_relay.authentication import Principal
    from cloud_connect_relay.services import Services
    from cloud_connect_relay.storage.tenant import Tenant

__all__ = ["Page", "page_for", "read_form"]

_SAFE: Final = frozenset({"GET", "HEAD"})
_PARTIAL: Final = "console-partial"
_MAX_FIELDS: Final = 2000
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A request of somebody who is signed in, and the ways to answer it.

    Attributes:
        form: What was sent; of what only reads, the query string, so that filters are read alike.
    """

    request: Request
    shared: Shared
    session: Session
    form: Form

    @property
    def services(self) -> "Services":
        """The relay's collaborators: the same that the API calls."""
        return self.shared.services

    @property
    def principal(self) -> "Principal":
        """Who is signed in, with their subscription and scopes."""
        return self.session.principal

    @property
    def tenant(self) -> "Tenant":
        """The repositories of the subscription; there is no way to another one's."""
        return self.services.storage.of(self.principal.subscription_id)

    @property
    def now(self) -> float:
        """UNIX time."""
        return self.services.clock()

    @property
    def path(self) -> str:
        """The path below the console, such as ``/connectors``."""
        return str(self.request.url.path).removeprefix("/console") or "/"

    @property
    def is_partial(self) -> bool:
        """Whether a script asks, for a part of a page or for a dialog's content."""
        headers = self.request.headers
        if "hx-boosted" in headers or "hx-history-restore-request" in headers:
            return False
        return "hx-request" in headers or _PARTIAL in headers

    @property
    def is_dialog(self) -> bool:
        """Whether what is rendered will stand in a dialog."""
        return self.request.headers.get(_PARTIAL) == "dialog"

    @property
    def layout(self) -> str:
        """What a template extends that may be loaded into a page that is there already."""
        return "partial.html" if self.is_partial else "layout.html"

    def may(self, scope: str) -> bool:
        """Whether the person's role covers *scope*."""
        return self.principal.may(scope)

    def require(self, scope: str) -> None:
        """Refuse whose role does not cover *scope*.

        Raises:
            InsufficientScopeError: Naming it.
        """
        if not self.may(scope):
            raise InsufficientScopeError(
                f"Your role ({self.session.role}) does not include “{dict(SCOPE_TEXTS)[scope]}”."
            )

    def url(self, path: str) -> str:
        """Return the address of a path of the console."""
        return self.shared.addresses.url(path)

    def render(self, template: str, *, status: int = 200, **context: Any) -> Response:
        """Return a page, or a part of one, from a template."""
        partial = self.is_partial
        notice = None
        if not partial:
            notice = notices.read(
                self.request, session=self.session, addresses=self.shared.addresses
            )
        content = self.shared.templates.get_template(template).render(
            page=self,
            session=self.session,
            may=self.may,
            areas=areas_for(self.principal),
            here=area_of(self.path),
            notice=context.pop("notice", None) or notice,
            csrf_token=self.session.csrf,
            theme=self.shared.theme(self.request),
            **context,
        )
        response = HTMLResponse(content, status_code=status)
        if partial:
            response.headers[_PARTIAL] = "true"
        else:
            notices.clear(self.request, response, addresses=self.shared.addresses)
        return response

    def redirect(
        self, path: str, *, notice: str | None = None, kind: Kind = Kind.SUCCESS
    ) -> Response:
        """Lead the browser to a path of the console, which says *notice* once."""
        target = self.url(path)
        response: Response
        if self.is_partial:  # a script would follow the redirect and put the page into a part
            response = Response(status_code=204, headers={"hx-redirect": target})
        else:
            response = RedirectResponse(target, status_code=303)
        if notice is not None:
            notices.leave(
                response,
                Notice(notice, kind),
                session=self.session,
                addresses=self.shared.addresses,
            )
        return response

    def confirm(
        self,
        *,
        title: str,
        text: str | tuple[str, ...],
        action: str,
        cancel: str,
        confirm: str = "Delete",
        cancel_label: str = "Cancel",
        danger: bool = True,
        fields: dict[str, str] | None = None,
    ) -> Response:
        """Ask whether to go on, in the dialog that asked for it or on a page of its own.

        Args:
            text: Sentences that say what will happen.
            action: The path of the console that the answer is posted to.
            cancel: Where a browser without scripts goes back to.
            fields: Hidden fields to post along.
        """
        return self.render(
            "ui/confirm.html",
            title=title,
            sentences=(text,) if isinstance(text, str) else text,
            action=action,
            cancel=cancel,
            confirm=confirm,
            cancel_label=cancel_label,
            danger=danger,
            fields=fields or {},
        )


def page_for(scope: str | None) -> Callable[..., Awaitable[Page]]:
    """Return a dependency: the page, for somebody who is signed in and may *scope*.

    What changes something must come from a page of the same session.

    Args:
        scope: One of ``credentials.SCOPES``; ``None``: whoever is signed in.
    """
    if scope is not None and scope not in SCOPES:
        raise ValueError(f"unknown scope {scope}")

    async def page(request: Request) -> Page:
        common = shared(request)
        session = await common.sessions.find(request)
        if session is None:
            raise SignInNeededError("Sign in to go on.")
        common.remember(request, session)
        common.services.requests.enter(request.scope, session.principal)
        if request.method in _SAFE:
            form = _query(request)
        else:
            csrf.check_origin(request, common.addresses)
            form = await read_form(request)
            csrf.check_token(request, form.value(csrf.FIELD), session.csrf)
        made = Page(request=request, shared=common, session=session, form=form)
        if scope is not None:
            made.require(scope)
        return made

    page.required_scope = scope  # type: ignore[attr-defined]  # the route test reads it
    return page


async def read_form(request: Request) -> Form:
    """Return the fields of a form that was sent; of any other body none."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in _FORMS:
        return Form()
    fields: dict[str, list[str]] = {}
    async with request.form(max_fields=_MAX_FIELDS, max_files=0) as sent:
        for name, value in sent.multi_items():
            if not isinstance(value, UploadFile):
                fields.setdefault(name, []).append(value)
    return Form(fields)


def _query(request: Request) -> Form:
    fields: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        fields.setdefault(name, []).append(value)
    return Form(fields)
