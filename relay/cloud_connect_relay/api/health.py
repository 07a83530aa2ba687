"""Health and metrics: for load balancers, supervisors and Prometheus."""

import asyncio
from typing import Annotated, Final

import structlog
from fastapi import Depends
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from cloud_connect_relay.api.bodies import to_json
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.security import Principal, require, services
from cloud_connect_relay.connector_metrics import render_connectors
from cloud_connect_relay.services import Services

__all__ = ["router"]

log = structlog.get_logger(__name__)

router: Final = Routes(tags=["Health"])

_STORE_TIMEOUT: Final = 5.0  # seconds that the store has to answer a probe


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@router.get("/readyz", summary="Does it take calls?", response_class=Response)
async def readyz(services: Annotated[Services, Depends(services)]) -> Response:
    """Say whether the relay takes calls: its store answers and it is not draining."""
    if not services.ready():
        return _not_ready("draining")
    try:
        async with asyncio.timeout(_STORE_TIMEOUT):
            await services.storage.ping()
    except (TimeoutError, OSError, SQLAlchemyError):
        log.warning("store_unavailable", exc_info=True)
        return _not_ready("store_unavailable")
    return Response(to_json({"status": "ready"}), media_type="application/json")


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(
    principal: Annotated[Principal, Depends(require("metrics:read"))],
    services: Annotated[Services, Depends(services)],
) -> Response:
    """Return the relay's metrics, and those of the reader's own, in Prometheus's format."""
    sessions = services.registry.sessions(principal.subscription_id)
    quotas = services.calls.quotas.uses((principal.subscription_id, principal.key_id))
    return Response(
        services.metrics.render(quotas) + render_connectors(sessions),
        headers={"content-type": services.metrics.content_type},
    )


def _not_ready(reason: str) -> Response:
    return Response(
        to_json({"status": reason}),
        status_code=503,
        headers={"retry-after": "5"},
        media_type="application/json",
    )
