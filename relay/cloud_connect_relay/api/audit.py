"""The audit trail of administrative actions."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query

from cloud_connect_relay.api.security import Principal, require, services
from cloud_connect_relay.services import Services
from cloud_connect_relay.times import iso_time

__all__ = ["router"]

router: Final = APIRouter(prefix="/api/audit", tags=["Audit"])


@router.get("", summary="List administrative actions")
async def list_audit(
    principal: Annotated[Principal, Depends(require("audit:read"))],
    services: Annotated[Services, Depends(services)],
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> dict[str, Any]:
    """List who changed what, newest first; `before` continues after the last `seq`."""
    log = services.storage.of(principal.subscription_id).audit
    entries = await log.newest(limit=limit, before=before)
    return {
        "items": [
            {
                "seq": entry.seq,
                "time": iso_time(entry.time),
                "actor": entry.actor,
                "action": entry.action,
                "target": entry.target,
                "detail": entry.detail,
            }
            for entry in entries
        ]
    }
