"""The audit trail: who did what, each record with its place in the chain."""

from typing import Annotated, Any, Final

from fastapi import Depends, Query

from cloud_connect.audit import Checkpoint
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.moments import moment
from cloud_connect_relay.api.security import Principal, require, services
from cloud_connect_relay.services import Services
from cloud_connect_relay.storage.audit import AuditEntry, AuditFilter
from cloud_connect_relay.storage.audit_checkpoints import AuditCheckpoints, AuditPeers
from cloud_connect_relay.times import iso_time

__all__ = ["router"]

router: Final = Routes(prefix="/api/audit", tags=["Audit"])

Word = Annotated[str | None, Query(max_length=200)]
Moment = Annotated[
    str | None, Query(max_length=40, description="2026-11-24T09:30:00Z, or 24h for so long ago.")
]


@router.get("", summary="List what was done, and by whom")
async def list_audit(
    *,
    principal: Annotated[Principal, Depends(require("audit:read"))],
    services: Annotated[Services, Depends(services)],
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    actor: Word = None,
    action: Word = None,
    target: Word = None,
    since: Moment = None,
    until: Moment = None,
) -> dict[str, Any]:
    """List records, newest first; `before` continues after the last `seq`.

    `action` takes a whole action or its first word: `key` finds `key.create`, too.
    """
    now = services.clock()
    wanted = AuditFilter(
        actor=actor,
        action=action,
        target=target,
        since=moment("since", since, now=now),
        until=moment("until", until, now=now),
        before=before,
    )
    log = services.storage.of(principal.subscription_id).audit
    return {"items": [_document(entry) for entry in await log.newest(wanted, limit=limit)]}


@router.get("/checkpoints", summary="The newest signed checkpoints")
async def list_checkpoints(
    principal: Annotated[Principal, Depends(require("audit:read"))],
    services: Annotated[Services, Depends(services)],
) -> dict[str, Any]:
    """Return the newest checkpoint of this log, and of the logs of the connectors.

    `evidence` is the checkpoint from which a connector's log did not go on.
    """
    own = await AuditCheckpoints(services.storage).newest(principal.subscription_id)
    peers = await AuditPeers(services.storage).of(principal.subscription_id)
    return {
        "checkpoint": _shown(own),
        "connectors": [
            {
                "connector_id": peer.connector_id,
                "name": name,
                "checkpoint": _shown(peer.theirs),
                "evidence": _shown(peer.evidence),
                "holds": _shown(peer.held),
            }
            for peer, name in peers
        ],
    }


def _document(entry: AuditEntry) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "time": iso_time(entry.time),
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target,
        "detail": entry.detail,
        "prev": entry.chained.prev.hex(),
        "hash": entry.chained.hash.hex(),
    }


def _shown(checkpoint: Checkpoint | None) -> dict[str, Any] | None:
    return None if checkpoint is None else checkpoint.model_dump(mode="json")
