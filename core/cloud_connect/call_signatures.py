"""Signed calls: what a caller signs of a call, so that no relay can make or change one.

The signature travels in a header that the relay passes on unread. It covers the connector, the
operation, its parameters with the company, the headers that steer Procore, the body, a number
used once, and a time after which it is void.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from pydantic import ValidationError

from cloud_connect.calls import (
    AttachParams,
    CallParams,
    ContentParams,
    DryRunParams,
    Operation,
    PassthroughParams,
    QueryParams,
    RecordParams,
    SourceParams,
    UploadParams,
)
from cloud_connect.errors import InvalidRequestError
from cloud_connect.signing import SIGNATURE_BYTES, SigningKey, pack_fields, to_bytes, to_text
from cloud_connect.signing import verify_signature as _verify

__all__ = [
    "ADDED_BY_RELAY",
    "CALL_NONCE_BYTES",
    "CALL_PARAMS",
    "LEEWAY_SECONDS",
    "LIFETIME_SECONDS",
    "SIGNATURE_HEADER",
    "CallSignature",
    "SignableCall",
    "sign_call",
]

SIGNATURE_HEADER: Final = "cloud-connect-signature"
LIFETIME_SECONDS: Final = 300  # the longest that a signature may be good for
LEEWAY_SECONDS: Final = 60  # by which the clocks of caller and connector may differ
_LABEL: Final = "cc/call/v1"
_VERSION: Final = "v1"
CALL_NONCE_BYTES: Final = 16
_MAX_CHARACTERS: Final = 512

# What the relay says about a call and changes nothing about its effect: not the caller's to sign.
ADDED_BY_RELAY: Final = frozenset({"again", "interactive", "replay_only", "seed"})
# Those of a pass-through that decide what Procore does with it; the others only describe.
_SIGNED_HEADERS: Final = frozenset(
    {
        "content-type",
        "idempotency-token",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "procore-company-id",
        "range",
    }
)

CALL_PARAMS: Final[Mapping[Operation, type[CallParams]]] = {
    Operation.TEST: SourceParams,
    Operation.TREE: SourceParams,
    Operation.DRIFT: SourceParams,
    Operation.QUERY: QueryParams,
    Operation.QUERY_DRY_RUN: QueryParams,
    Operation.LIST: RecordParams,
    Operation.GET: RecordParams,
    Operation.CREATE: RecordParams,
    Operation.UPDATE: RecordParams,
    Operation.DELETE: RecordParams,
    Operation.DRY_RUN: DryRunParams,
    Operation.ATTACHMENTS: RecordParams,
    Operation.ATTACH: AttachParams,
    Operation.CONTENT: ContentParams,
    Operation.UPLOAD: UploadParams,
    Operation.PASSTHROUGH: PassthroughParams,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SignableCall:
    """A call as both ends see it: what is the same on either side of the relay."""

    operation: str
    params: Mapping[str, object]
    headers: Iterable[tuple[str, str]] = ()
    body: bytes = b""

    def canonical(self) -> tuple[str, bytes, bytes, bytes]:
        """Return the operation, its parameters, the headers and the body's digest, to be signed.

        Parameters are read as the connector reads them: what it ignores is not signed, and a
        default that is spelt out is the same as one that is left out.

        Raises:
            InvalidRequestError: If this is no call that can be signed.
        """
        try:
            model = CALL_PARAMS[Operation(self.operation)]
            asked = model.model_validate(self.params)
        except (KeyError, ValueError) as exc:  # ValidationError is one
            where = "parameters" if isinstance(exc, ValidationError) else "operation"
            raise InvalidRequestError(
                f"The {where} of this call cannot be signed: {self.operation[:64]!r}."
            ) from exc
        params = asked.model_dump(mode="json", exclude_defaults=True, exclude=set(ADDED_BY_RELAY))
        headers: list[tuple[str, str]] = []
        if self.operation == Operation.PASSTHROUGH:
            headers = sorted(
                (name.lower(), value.strip())
                for name, value in self.headers
                if name.lower() in _SIGNED_HEADERS
            )
        digest = hashlib.sha256(self.body).digest()
        return self.operation, _json(params), _json(headers), digest


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSignature:
    """A caller's signature under one call for one connector.

    Attributes:
        nonce: A number used once; a connector carries no two calls out with the same one.
        expires_at: UNIX seconds after which it is void.
    """

    key_id: str
    nonce: bytes
    expires_at: int
    signature: bytes

    def header(self) -> str:
        """Return it as the header's value."""
        parts = (to_text(self.nonce), str(self.expires_at), to_text(self.signature))
        return ".".join((_VERSION, self.key_id, *parts))

    @classmethod
    def parse(cls, header: str) -> Self:
        """Read a header's value.

        Raises:
            InvalidRequestError: If it is none.
        """
        try:
            version, key_id, nonce, expires_at, signature = header[:_MAX_CHARACTERS].split(".")
            parsed = cls(
                key_id=key_id,
                nonce=to_bytes(nonce),
                expires_at=int(expires_at) if expires_at.isdecimal() else -1,
                signature=to_bytes(signature),
            )
        except ValueError as exc:
            raise _malformed() from exc
        whole = (len(parsed.nonce), len(parsed.signature)) == (CALL_NONCE_BYTES, SIGNATURE_BYTES)
        if version != _VERSION or not whole or parsed.header() != header:
            raise _malformed()
        return parsed

    def fits(self, call: SignableCall, *, connector_id: str, public_key: bytes) -> bool:
        """Whether the key's holder signed exactly this call, for exactly this connector.

        Raises:
            InvalidRequestError: If it is no call that can be signed.
        """
        message = _message(call, connector_id, self.nonce, self.expires_at)
        return _verify(public_key, self.signature, message)


def sign_call(
    key: SigningKey,
    call: SignableCall,
    *,
    connector_id: str,
    nonce: bytes | None = None,
    lifetime: int = LIFETIME_SECONDS,
    wall_clock: Callable[[], float] = time.time,
) -> CallSignature:
    """Sign a call for one connector.

    Args:
        nonce: The same for each repeat that must not be carried out twice.
        lifetime: Seconds for which it is good, at most :data:`LIFETIME_SECONDS`.

    Raises:
        InvalidRequestError: If it is no call that can be signed.
    """
    number = secrets.token_bytes(CALL_NONCE_BYTES) if nonce is None else nonce
    expires_at = int(wall_clock()) + min(lifetime, LIFETIME_SECONDS)
    message = _message(call, connector_id, number, expires_at)
    return CallSignature(
        key_id=key.key_id, nonce=number, expires_at=expires_at, signature=key.sign(message)
    )


def _message(call: SignableCall, connector_id: str, nonce: bytes, expires_at: int) -> bytes:
    return pack_fields(_LABEL, connector_id, *call.canonical(), nonce, expires_at)


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _malformed() -> InvalidRequestError:
    return InvalidRequestError("The call's signature is malformed.")
