"""What the audit log says of one call, from its record."""

from typing import Final

from cloud_connect.errors import Outcome
from cloud_connect_relay.storage.audit import AuditDraft
from cloud_connect_relay.storage.calls import CallRecord

__all__ = ["draft_of_call"]

_FACTS: Final = (
    "operation",
    "resource",
    "datasource_id",
    "connector_id",
    "status",
    "code",
)


def draft_of_call(
    record: CallRecord, *, action: str, actor: str | None = None, digest: str | None = None
) -> AuditDraft:
    """Return what to append for *record*, which has ended.

    Args:
        actor: Who asked for it; the key that its record names, unless somebody knows better.
        digest: Of what was asked for; keyed, since records are kept long and shown to many.
    """
    facts = {name: getattr(record, name) for name in _FACTS} | {"digest": digest}
    return AuditDraft(
        subscription_id=record.subscription_id,
        at=record.finished_at or record.started_at,
        actor=actor or f"key:{record.key_id}",
        action=action,
        target=record.id,
        detail={
            "outcome": (record.outcome or Outcome.UNKNOWN).value,
            **{name: value for name, value in facts.items() if value is not None},
        },
    )
