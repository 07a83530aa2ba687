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
from cloud_connect.audit.verifying import CUT, ChainVerifier, Fault, Verdict

__all__ = [
    "CUT",
    "GENESIS_SEQ",
    "AuditExchange",
    "BrokenRecordError",
    "ChainVerifier",
    "ChainedRecord",
    "Checkpoint",
    "Fault",
    "Signer",
    "Verdict",
    "canonical",
    "chained",
    "genesis",
    "parse_moment",
    "record_time",
    "supersedes",
]
