"""What the audit log says of calls: of each write by itself, of reads a batch at a time."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, TypeAlias

from cloud_connect_relay.storage.audit import AuditDraft
from cloud_connect_relay.storage.call_audits import draft_of_call
from cloud_connect_relay.storage.calls import CallRecord

if TYPE_CHECKING:
    from cloud_connect_relay.calls.running import RunningCall

__all__ = ["Keyed", "draft_of_write", "drafts_of_reads", "drafts_of_resolutions"]

Keyed: TypeAlias = Callable[[str], bytes]

_DIGEST_CHARACTERS: Final = 32


def draft_of_write(call: "RunningCall", keyed: Keyed | None = None) -> AuditDraft | None:
    """Return the record of a write that has ended, if it went to a connector.

    Args:
        keyed: Makes a digest by which nobody can guess what was asked for.
    """
    if not (call.spec.writes and call.ended and call.dispatched_at is not None) or call.audited:
        return None
    action = "call.resolved" if call.resumed else "call.write"
    asked = call.spec.fingerprint
    digest = None if asked is None or keyed is None else keyed(asked).hex()[:_DIGEST_CHARACTERS]
    return draft_of_call(call.record(), action=action, actor=call.spec.actor, digest=digest)


def drafts_of_resolutions(
    before: Iterable[CallRecord], after: Iterable[CallRecord]
) -> list[AuditDraft]:
    """Return the records of writes whose outcome was found out after their end."""
    return [
        draft_of_call(settled, action="call.resolved", actor="relay")
        for record, settled in zip(before, after, strict=True)
        if settled.outcome is not record.outcome
    ]


def drafts_of_reads(calls: "Iterable[RunningCall]") -> list[AuditDraft]:
    """Return one record for all reads of the same caller, connector and operation."""
    groups: dict[tuple[str, ...], list[RunningCall]] = {}
    for call in calls:
        spec = call.spec
        if spec.writes or call.connector_id is None or call.dispatched_at is None or call.audited:
            continue
        who = spec.actor or f"key:{spec.key_id}"
        key = (spec.subscription_id, who, call.connector_id, spec.operation.value)
        groups.setdefault(key, []).append(call)
    return [
        AuditDraft(
            subscription_id=subscription_id,
            at=max(call.finished_at or call.started_at for call in its),
            actor=actor,
            action="call.read",
            target=connector_id,
            detail={"operation": operation, "calls": {call.id: call.status for call in its}},
        )
        for (subscription_id, actor, connector_id, operation), its in groups.items()
    ]
