"""The audit chain that both ends keep: records tied by hashes, signed now and then."""

from cloud_connect.audit.chain import (
    GENESIS_SEQ,
    BrokenRecordError,
    ChainedRecord,
    canonical,
    chained,
    genesis,
    record_time,
)
from cloud_connect.audit.checkpoints import AuditExchange, Checkpoint, Signer, supersedes
from cloud_connect.audit.moments import parse_moment
from cloud_connect.audit.verifying import (
    ACCEPTED,
    CUT,
    Accepted,
    ChainVerifier,
    Fault,
    Verdict,
    accepted_in,
)

__all__ = [
    "ACCEPTED",
    "CUT",
    "GENESIS_SEQ",
    "Accepted",
    "AuditExchange",
    "BrokenRecordError",
    "ChainVerifier",
    "ChainedRecord",
    "Checkpoint",
    "Fault",
    "Signer",
    "Verdict",
    "accepted_in",
    "canonical",
    "chained",
    "genesis",
    "parse_moment",
    "record_time",
    "supersedes",
]
