"""Idempotency keys: what they may look like, and what an earlier attempt means for a repeat."""

import hashlib
import json
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, Final

from cloud_connect.errors import (
    IdempotencyConflictError,
    IdempotencyKeyRequiredError,
    IdempotencyMismatchError,
    InvalidRequestError,
)
from cloud_connect.idempotency_keys import MAX_KEY_CHARS, is_key
from cloud_connect_relay.storage.calls import CallRecord, CallState

__all__ = [
    "KEY_RETENTION",
    "Verdict",
    "canonical",
    "checked_key",
    "conflict",
    "fingerprint",
    "judge",
    "mismatch",
    "required_key",
    "seed_of",
]

KEY_RETENTION: Final = 24 * 3600.0  # seconds for which a key stays bound to its first call
_SEED_CHARS: Final = 32  # 128 bits: two keys never share a seed


class Verdict(Enum):
    """What the earlier attempt with the same key means."""

    RELEASED = auto()  # it had no effect: the key is free again
    MISMATCH = auto()  # it was another request
    RUNNING = auto()
    REPLAY = auto()  # it was executed: its stored answer is the answer
    UNKNOWN = auto()  # nobody knows yet


def checked_key(key: str | None) -> str | None:
    """Return *key* if it is fit to be one.

    Raises:
        InvalidRequestError: If it is empty, too long or not printable ASCII.
    """
    if key is None:
        return None
    if not is_key(key):
        raise InvalidRequestError(
            f"Idempotency-Key must be 1 to {MAX_KEY_CHARS} printable ASCII characters."
        )
    return key


def required_key(key: str | None) -> str:
    """Return *key*, which a write of records must carry.

    Raises:
        IdempotencyKeyRequiredError: If there is none.
        InvalidRequestError: If it is not fit to be one.
    """
    checked = checked_key(key)
    if checked is None:
        raise IdempotencyKeyRequiredError(
            "A write needs the header Idempotency-Key: a text of your choice, a new one for each"
            " intended write, the same one when you repeat it."
        )
    return checked


def fingerprint(*parts: str | bytes | None) -> str:
    """Return the SHA-256 over *parts*; each is framed, so that no two splits collide."""
    digest = hashlib.sha256()
    for part in parts:
        if part is None:
            digest.update(b"-")
            continue
        data = part.encode() if isinstance(part, str) else part
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.hexdigest()


def canonical(document: Mapping[str, Any] | list[Any]) -> bytes:
    """Return JSON that is the same for the same document, however it was written."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def seed_of(call_id: str) -> str:
    """Return what new records of a call can be known by.

    Of the call, and not of its key: a key that is used again once it has expired means another
    record, which must not be taken for the first one.
    """
    return fingerprint("seed", call_id)[:_SEED_CHARS]


_VERDICTS: Final = {
    CallState.ACCEPTED: Verdict.RUNNING,
    CallState.DISPATCHED: Verdict.RUNNING,
    CallState.COMPLETED: Verdict.REPLAY,
    CallState.NOT_EXECUTED: Verdict.RELEASED,
    CallState.UNKNOWN: Verdict.UNKNOWN,
}


def judge(earlier: CallRecord, *, digest: str | None) -> Verdict:
    """Return what *earlier*, found by the same key, means for a request with *digest*."""
    verdict = _VERDICTS[earlier.state]
    if verdict is not Verdict.RELEASED and earlier.fingerprint != digest:
        return Verdict.MISMATCH
    return verdict


def mismatch() -> IdempotencyMismatchError:
    """Return the refusal of a key that was used for another request."""
    return IdempotencyMismatchError(
        "This Idempotency-Key was used before for another request; use a new key for a new write."
    )


def conflict() -> IdempotencyConflictError:
    """Return the refusal of a repeat while the first attempt runs.

    It does not name that attempt: what is certain of this one, that it was not executed, is
    not certain of the other.
    """
    return IdempotencyConflictError(
        "A call with this Idempotency-Key is still running; repeat the request in a moment to get"
        " its answer.",
        retry_after=1.0,
    )
