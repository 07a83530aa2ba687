"""Builds the HTTP API: all routers, behind the border."""

from importlib.metadata import version
from typing import TYPE_CHECKING

from cloud_connect_relay.api import (
    audit,
    authorize,
    call_lookup,
    connector,
    connectors,
    custom_connector,
    custom_connectors,
    datasources,
    drift,
    enrol,
    enrolment_tokens,
    events,
    files,
    health,
    keys,
    oauth_token,
    problems,
    records,
    reference,
    sealed,
    token,
    update,
    users,
)
from cloud_connect_relay.api.border import Border
from cloud_connect_relay.api.endpoints import Endpoints
from cloud_connect_relay.api.passthrough import Passthrough

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from cloud_connect_relay.api.border import Pages
    from cloud_connect_relay.services import Services

__all__ = ["build_app", "build_fastapi"]

_DESCRIPTION = """\
Run Procore calls through the connector PCs of a subscription.

Send an API key (`cck_…`) or a token of `POST /Token` as `Authorization: Bearer …`; a key that was
made to may name the user it acts for in `Cloud-Connect-User`. Failures are
`application/problem+json` (RFC 9457): `code` is stable, `outcome` says what is certain about the
call's effect, `retry_safe` whether a repeat can do harm, `lookup` where its fate can be read.
"""


def build_app(services: "Services", *, pages: "Pages | None" = None) -> "ASGIApp":
    """Return the whole API as one ASGI application.

    Args:
        pages: The console, which takes what browsers ask for.
    """
    return Border(build_fastapi(services), services, Passthrough(services), pages)


def build_fastapi(services: "Services") -> Endpoints:
    """Return the endpoints alone, without what the border does."""
    app = Endpoints(
        title="Cloud Connect relay",
        version=version("cloud-connect"),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # a redirect would repeat the request's Host header
    )
    app.state.services = services
    problems.install(app)
    for module in (
        token,
        oauth_token,
        enrol,
        update,
        enrolment_tokens,
        connectors,
        datasources,
        connector,
        custom_connectors,
        custom_connector,
        drift,
        files,
        authorize,
        records,
        sealed,
        call_lookup,
        events,
        keys,
        users,
        audit,
        health,
        reference,
    ):
        app.take(module.router)
    return app
