"""Calls as JSON: what became of each, as the API, its events and the console show it."""

from typing import TYPE_CHECKING, Any

from cloud_connect_relay.times import iso_time

if TYPE_CHECKING:
    from cloud_connect_relay.storage.calls import CallRecord

__all__ = ["call_document"]


def call_document(record: "CallRecord") -> dict[str, Any]:
    """Describe one call; ``null`` is what is not known, or not yet."""
    return {
        "call_id": record.id,
        "state": record.state.value,
        "outcome": None if record.outcome is None else record.outcome.value,
        "final": record.final,
        "status": record.status,
        "code": record.code,
        "detail": record.detail,
        "operation": record.operation,
        "resource": record.resource,
        "datasource_id": record.datasource_id,
        "connector_id": record.connector_id,
        "idempotency_key": record.idempotency_key,
        "started_at": iso_time(record.started_at),
        "dispatched_at": iso_time(record.dispatched_at),
        "finished_at": iso_time(record.finished_at),
        "duration_ms": _duration_ms(record),
        "rows": record.rows,
        "bytes": record.bytes,
        "hops": dict(record.hops),
        "already_absent": record.already_absent,
    }


def _duration_ms(record: "CallRecord") -> float | None:
    if record.finished_at is None:
        return None
    return round(max(0.0, record.finished_at - record.started_at) * 1000, 1)
