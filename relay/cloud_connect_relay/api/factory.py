"""Builds the HTTP API: all routers, behind the border."""

from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI

from cloud_connect_relay.api import (
    audit,
    connectors,
    enrol,
    enrolment_tokens,
    health,
    problems,
    reference,
    token,
)
from cloud_connect_relay.api.border import Border

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from cloud_connect_relay.services import Services

__all__ = ["build_app", "build_fastapi"]

_DESCRIPTION = """\
Run Procore calls through the connector PCs of a subscription.

Send an API key (`cck_…`) or a token of `POST /Token` as `Authorization: Bearer …`. Failures are
`application/problem+json` (RFC 9457): `code` is stable, `outcome` says what is certain about the
call's effect, `retry_safe` whether a repeat can do harm, `lookup` where its fate can be read.
"""


def build_app(services: "Services") -> "ASGIApp":
    """Return the whole API as one ASGI application."""
    return Border(build_fastapi(services), services, None)


def build_fastapi(services: "Services") -> FastAPI:
    """Return the endpoints alone, without what the border does."""
    app = FastAPI(
        title="Cloud Connect relay",
        version=version("cloud-connect"),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # a redirect would repeat the request's Host header
        strict_content_type=False,
    )
    app.state.services = services
    problems.install(app)
    for module in (
        token,
        enrol,
        enrolment_tokens,
        connectors,
        audit,
        health,
        reference,
    ):
        app.include_router(module.router)
    return app
