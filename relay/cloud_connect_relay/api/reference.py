"""``/openapi.json``, and ``/docs``: the same for people, one page without scripts or downloads."""

import base64
import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from fastapi import Request
from starlette.responses import Response

from cloud_connect_relay.api.bodies import to_json
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.openapi import openapi_document
from cloud_connect_relay.api.reference_page import STYLE, render

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["router"]

router: Final = Routes(include_in_schema=False)

_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_HEADERS: Final = {
    "cache-control": "no-cache",
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
}


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """Return the OpenAPI document."""
    return Response(_documents(request.app)[0], media_type="application/json")


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Return the reference page."""
    return Response(_documents(request.app)[1], headers=_HEADERS, media_type="text/html")


@lru_cache(maxsize=1)
def _documents(app: "FastAPI") -> tuple[bytes, bytes]:
    document: dict[str, Any] = openapi_document(app)
    return to_json(document), render(document).encode()
