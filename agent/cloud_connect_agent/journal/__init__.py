"""The durable record of calls: received, intent before the first byte, outcome after."""

from cloud_connect_agent.journal.damage import Damage, JournalDamagedError, accept_loss
from cloud_connect_agent.journal.database import MAX_BODY_BYTES, RETENTION_SECONDS
from cloud_connect_agent.journal.entries import JournalEntry, JournalState
from cloud_connect_agent.journal.journal import Journal

__all__ = [
    "MAX_BODY_BYTES",
    "RETENTION_SECONDS",
    "Damage",
    "Journal",
    "JournalDamagedError",
    "JournalEntry",
    "JournalState",
    "accept_loss",
]
