"""The audit log of this PC: who had it do what, and what it decided; only ever appended."""

from cloud_connect_agent.audit.exchange import CheckpointExchange
from cloud_connect_agent.audit.folder import AuditFolder
from cloud_connect_agent.audit.notes import CallNote, call_note
from cloud_connect_agent.audit.operating import RecordedControl, watch_files
from cloud_connect_agent.audit.reconciling import reconcile
from cloud_connect_agent.audit.retention import Retention
from cloud_connect_agent.audit.trail import AuditTrail
from cloud_connect_agent.audit.writer import AuditWriter

__all__ = [
    "AuditFolder",
    "AuditTrail",
    "AuditWriter",
    "CallNote",
    "CheckpointExchange",
    "RecordedControl",
    "Retention",
    "call_note",
    "reconcile",
    "watch_files",
]
