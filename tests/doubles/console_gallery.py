"""A page with every part that the console's pages are made of: in tests only."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Depends
from jinja2 import BaseLoader, ChoiceLoader, DictLoader
from starlette.responses import Response

from cloud_connect_relay.console import Console
from cloud_connect_relay.console.forms import Form
from cloud_connect_relay.console.notices import Kind
from cloud_connect_relay.console.pages import Page, page_for

if TYPE_CHECKING:
    from cloud_connect_relay.services import Services

__all__ = ["GalleryConsole"]

_GALLERY: Final = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")

_router: Final = APIRouter(prefix="/console/gallery")

Looks = Annotated[Page, Depends(page_for(None))]


@_router.get("")
async def show(page: Looks) -> Response:
    """Show every part."""
    form = Form.of(name="", company="5629", env="sandbox", kcc=True, scope=["calls:read"])
    form.fault("name", "Enter Datasource Name.")
    now = page.now
    rows = [
        ("Site office PC", "online", 38, 12345, now - 3),
        ("Head office", "offline", None, 0, now - 90_000),
        ("Laptop of Ann", "paused", 1400, 7, now - 100),
        ("VM-2", "clone_suspected", 120, 3, None),
    ]
    return page.render("gallery.html", form=form, rows=rows)


@_router.post("")
async def save(page: Looks) -> Response:
    """Save nothing."""
    return page.redirect("/gallery", notice="Details saved successfully")


@_router.get("/fails")
async def fail(page: Looks) -> Response:
    """Ask for a right that few have."""
    page.require("users:manage")
    return page.redirect("/gallery", notice="You may.", kind=Kind.INFO)


@_router.get("/delete")
async def ask(page: Looks) -> Response:
    """Ask whether to delete."""
    return page.confirm(
        title="Delete the data source?",
        text=("Forms that use it stop working at once.", "This cannot be undone."),
        action="/gallery",
        cancel="/gallery",
    )


class GalleryConsole(Console):
    """The console with the page ``/console/gallery`` besides its own."""

    def __init__(self, services: "Services") -> None:
        super().__init__(services)
        templates = self.app.state.console.templates
        loader: BaseLoader = templates.loader
        templates.loader = ChoiceLoader([loader, DictLoader({"gallery.html": _GALLERY})])
        self.app.include_router(_router)
