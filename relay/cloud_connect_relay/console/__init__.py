"""The console: pages for people, at ``/console/``, rendered by the relay itself.

``factory`` mounts it; each area of it is a module with a ``router``, a folder below
``templates/``, and a style and a script of its own where it needs them. An endpoint asks for its
page, which names the scope that it needs, and everything else is a method of that page::

    Reads = Annotated[Page, Depends(page_for("connectors:read"))]

    @router.get("")
    async def show(page: Reads) -> Response:
        return page.render("connectors/list.html", connectors=await page.tenant.connectors.all())

``page_for`` signs in, checks the scope, and of what changes something also where it comes from
(``csrf``); ``page.form`` has the fields that were sent. See ``pages.Page``.
"""

from cloud_connect_relay.console.factory import Console

__all__ = ["Console"]
