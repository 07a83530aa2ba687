"""Records of the audit chain as bytes: each one's hash covers the hash of the one before it.

A record is a JSON object whose canonical form is compact, in UTF-8, its keys sorted. As a line
it ends in two more fields, ``prev`` and ``hash``, with
``hash = SHA-256(canonical record ‖ prev)``; what stands before them is the canonical form, so a
change of any byte shows.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

import orjson

from cloud_connect.signing import pack_fields

__all__ = [
    "GENESIS_SEQ",
    "BrokenRecordError",
    "ChainedRecord",
    "canonical",
    "chained",
    "genesis",
    "record_time",
]

GENESIS_SEQ: Final = 0  # of what the first record is tied to
HASH_CHARACTERS: Final = 64
_PREV: Final = b',"prev":"'
_HASH: Final = b'","hash":"'
_END: Final = b'"}'
_TAIL: Final = len(_PREV) + HASH_CHARACTERS + len(_HASH) + HASH_CHARACTERS + len(_END)


class BrokenRecordError(Exception):
    """A line is no record, or not the one that its hash was made of."""


@dataclass(frozen=True, slots=True)
class ChainedRecord:
    """One record with its place in the chain.

    Attributes:
        data: The canonical record.
        prev: The hash of the record before it.
    """

    seq: int
    data: bytes
    prev: bytes
    hash: bytes

    def line(self) -> bytes:
        """Return it as it stands in files and exports, without an end of line."""
        prev, digest = self.prev.hex().encode(), self.hash.hex().encode()
        return b"".join((self.data[:-1], _PREV, prev, _HASH, digest, _END))

    @classmethod
    def of_line(cls, line: bytes) -> Self:
        """Read a line.

        Raises:
            BrokenRecordError: If it is none that :meth:`line` makes.
        """
        data, tail = line[:-_TAIL] + b"}", line[-_TAIL:]
        try:
            document = orjson.loads(data)
            seq = document["seq"]
            prev = bytes.fromhex(tail[len(_PREV) : len(_PREV) + HASH_CHARACTERS].decode("ascii"))
            digest = bytes.fromhex(tail[-len(_END) - HASH_CHARACTERS : -len(_END)].decode("ascii"))
        except (ValueError, KeyError, TypeError) as exc:
            raise BrokenRecordError("it is no record") from exc
        record = cls(seq=seq, data=data, prev=prev, hash=digest)
        if type(seq) is not int or record.line() != line or canonical(document) != data:
            raise BrokenRecordError("it is no record in its one form")
        return record

    def is_sound(self) -> bool:
        """Whether its hash was made of what it says."""
        return hashlib.sha256(self.data + self.prev).digest() == self.hash

    def fields(self) -> dict[str, object]:
        """Return what it says."""
        found: dict[str, object] = orjson.loads(self.data)
        return found


def canonical(fields: Mapping[str, object]) -> bytes:
    """Return a record in the one form that its hash is made of."""
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)


def chained(seq: int, data: bytes, prev: bytes) -> ChainedRecord:
    """Tie the canonical record *data* to the one before it."""
    return ChainedRecord(seq, data, prev, hashlib.sha256(data + prev).digest())


def genesis(log: str) -> bytes:
    """Return what the first record of a log is tied to, so that it belongs to no other log."""
    return hashlib.sha256(pack_fields("cc/audit/log/v1", log)).digest()


def record_time(seconds: float) -> str:
    """Return UNIX seconds as records write them: ``2026-11-24T09:30:00.000Z``."""
    whole, millis = divmod(int(seconds * 1000 + 0.5), 1000)
    return f"{_second(whole)}.{millis:03d}Z"


@lru_cache(maxsize=4)
def _second(whole: int) -> str:
    # Each call is recorded: the same second is not written twice.
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
