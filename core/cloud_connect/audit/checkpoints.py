"""Signed checkpoints: what an end of the tunnel can no longer take back.

Each end gives its newest one to the other. Who then cuts the end off a log, or writes it anew
with hashes that fit, has to explain a signature of his own that says otherwise.
"""

from typing import Annotated, Final, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field

from cloud_connect.signing import (
    PublicKeyBytes,
    SignatureBytes,
    pack_fields,
    verify_signature,
)

__all__ = ["AuditExchange", "Checkpoint", "Signer", "supersedes"]

_MAX_SEQ: Final = 2**63 - 1
_MAX_TIME: Final = 253_402_300_799_999  # the last millisecond of the year 9999

HashText = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Signer(Protocol):
    """Who holds a key, which may change."""

    @property
    def public_key(self) -> bytes:
        """What its signatures are checked with."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Sign a message."""
        ...


class Checkpoint(BaseModel):
    """What a log was when it was signed: its last record and that record's hash.

    Attributes:
        log: Which log: its records begin at a hash of this name.
        time: When it was signed, in UNIX milliseconds by the signer's clock.
        key: The public key that the signature is checked with.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    log: str = Field(min_length=1, max_length=128)
    seq: int = Field(ge=1, le=_MAX_SEQ)
    hash: HashText
    time: int = Field(ge=0, le=_MAX_TIME)
    key: PublicKeyBytes
    signature: SignatureBytes

    @classmethod
    def sign(cls, signer: Signer, *, log: str, seq: int, digest: bytes, at: float) -> Self:
        """Sign what *log* is: record *seq* is its last, with the hash *digest*.

        Args:
            at: UNIX seconds.
        """
        time = int(at * 1000)
        return cls(
            log=log,
            seq=seq,
            hash=digest.hex(),
            time=time,
            key=signer.public_key,
            signature=signer.sign(_message(log, seq, digest, time)),
        )

    @property
    def digest(self) -> bytes:
        """The hash of the last record."""
        return bytes.fromhex(self.hash)

    def is_genuine(self) -> bool:
        """Whether the holder of its key signed it."""
        message = _message(self.log, self.seq, self.digest, self.time)
        return verify_signature(self.key, self.signature, message)


class AuditExchange(BaseModel):
    """What the ends tell each other.

    Attributes:
        own: The newest checkpoint of the teller's log.
        held: The checkpoint of the other's log that the teller holds: the newest, or the one
            that a later one did not go on from.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    own: Checkpoint | None = None
    held: Checkpoint | None = None


def supersedes(newer: Checkpoint, older: Checkpoint) -> bool:
    """Whether a log that was at *older* may be at *newer* without having lost anything."""
    if newer.log != older.log or newer.seq < older.seq:
        return False
    return newer.seq > older.seq or newer.hash == older.hash


def _message(log: str, seq: int, digest: bytes, time: int) -> bytes:
    return pack_fields("cc/audit/checkpoint/v1", log, seq, digest, time)
