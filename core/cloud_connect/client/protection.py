"""From what a caller wants to the request that leaves: plain, signed, sealed, or both."""

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cloud_connect.call_signatures import (
    CALL_NONCE_BYTES,
    LIFETIME_SECONDS,
    SIGNATURE_HEADER,
    SignableCall,
    sign_call,
)
from cloud_connect.calls import Environment, Operation, Source
from cloud_connect.errors import ConfigurationError, Outcome
from cloud_connect.sealing import (
    SEALED_TYPE,
    AnswerOpener,
    SealedHead,
    SealingKey,
    seal_request,
)
from cloud_connect.signing import KEY_BYTES, NONCE_BYTES, SigningKey, pack_fields, to_bytes

__all__ = ["Pin", "Protection", "Request", "Wanted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What was found out about a connector by another way than the relay.

    Attributes:
        connector_id: As ``cloud-connect keys`` prints it on the connector's PC.
        company_id: The Procore company that calls are for, whatever the relay says.
        project_id: The data source's own project, if it has one.
        sealing_key: As ``cloud-connect keys`` prints it; with it, calls are sealed.
    """

    connector_id: str
    company_id: int
    environment: Environment
    project_id: int | None = None
    sealing_key: str | None = None

    @property
    def source(self) -> dict[str, object]:
        """The company as calls carry it."""
        source = Source(
            company_id=self.company_id, environment=self.environment, project_id=self.project_id
        )
        return source.model_dump(mode="json", exclude_none=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One call, both as the relay's API takes it and as its connector sees it.

    Attributes:
        params: As the connector sees them, without the company.
        path: Below the data source.
        key: The idempotency key of a write; reads have none.
    """

    operation: Operation
    params: Mapping[str, object]
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    accept: str = "application/json"
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that may be sent any number of times: a repeat is the same bytes.

    Attributes:
        opener: Makes what opens its answer; ``None`` if that is not sealed.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    opener: Callable[[], AnswerOpener] | None = None

    @property
    def doubt(self) -> Outcome:
        """What is certain of it when its answer is lost: a read has no effect to be in doubt."""
        return Outcome.UNKNOWN if "Idempotency-Key" in self.headers else Outcome.NOT_EXECUTED


class Protection:
    """Signs and seals the calls of one data source.

    Raises:
        ConfigurationError: If what is needed for that is missing or no key.
    """

    def __init__(
        self,
        datasource_id: str,
        *,
        pin: Pin | None = None,
        signing_key: SigningKey | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        if signing_key is not None and pin is None:
            raise ConfigurationError(
                "Signed calls need a pin: which connector and which company they are for."
            )
        self._datasource_id: Final = datasource_id
        self._pin: Final = pin
        self._signing_key: Final = signing_key
        self._sealing_key: Final = None if pin is None else _key_of(pin)
        self._wall_clock: Final = wall_clock

    @property
    def seals(self) -> bool:
        """Whether calls are sealed."""
        return self._sealing_key is not None

    def request(self, wanted: Wanted) -> Request:
        """Return the request for a call.

        Raises:
            InvalidRequestError: If it cannot be signed, or the pinned key is none.
        """
        headers = {} if wanted.key is None else {"Idempotency-Key": wanted.key}
        signature = self._signature(wanted)
        if self._pin is None:
            return self._plain(wanted, headers)
        headers["Cloud-Connect-Connector"] = self._pin.connector_id
        if self._sealing_key is not None:
            return self._sealed(wanted, self._pin, self._sealing_key, headers, signature)
        if signature is not None:
            headers[SIGNATURE_HEADER] = signature
        return self._plain(wanted, headers)

    def _plain(self, wanted: Wanted, headers: dict[str, str]) -> Request:
        headers["Accept"] = wanted.accept
        if wanted.body:
            headers["Content-Type"] = "application/json"
        return Request(
            method=wanted.method,
            path=f"/api/datasources/{self._datasource_id}/{wanted.path}",
            query=wanted.query,
            headers=headers,
            body=wanted.body,
        )

    def _sealed(
        self,
        wanted: Wanted,
        pin: Pin,
        connector_key: bytes,
        headers: dict[str, str],
        signature: str | None,
    ) -> Request:
        answer_key = SealingKey.generate()
        secret = secrets.token_bytes(NONCE_BYTES)
        head = SealedHead(
            operation=wanted.operation.value,
            params={"source": pin.source, **wanted.params},
            headers=() if signature is None else ((SIGNATURE_HEADER, signature),),
            answer_key=answer_key.public_key,
            secret=secret,
            expires_at=int(self._wall_clock()) + LIFETIME_SECONDS,
        )
        writes = wanted.key is not None
        sealed = seal_request(
            head,
            wanted.body,
            connector_id=pin.connector_id,
            connector_key=connector_key,
            writes=writes,
        )
        headers |= {"Accept": SEALED_TYPE, "Content-Type": SEALED_TYPE}
        return Request(
            method="POST",
            path=f"/api/datasources/{self._datasource_id}/sealed",
            query=(("writes", "true" if writes else "false"),),
            headers=headers,
            body=sealed,
            opener=lambda: AnswerOpener(answer_key, secret, connector_id=pin.connector_id),
        )

    def _signature(self, wanted: Wanted) -> str | None:
        if self._signing_key is None or self._pin is None:
            return None
        call = SignableCall(
            operation=wanted.operation.value,
            params={"source": self._pin.source, **wanted.params},
            body=wanted.body,
        )
        nonce = None
        if wanted.key is not None:
            # The connector carries no two calls out with one number: a repeat under the same key
            # is safe even from a relay that forgot the first.
            packed = pack_fields("cc/call-nonce/v1", self._datasource_id, wanted.key)
            nonce = hashlib.sha256(packed).digest()[:CALL_NONCE_BYTES]
        return sign_call(
            self._signing_key,
            call,
            connector_id=self._pin.connector_id,
            nonce=nonce,
            wall_clock=self._wall_clock,
        ).header()


def _key_of(pin: Pin) -> bytes | None:
    if pin.sealing_key is None:
        return None
    try:
        key = to_bytes(pin.sealing_key)
    except ValueError as exc:
        raise ConfigurationError("The pin's sealing key is not base64url.") from exc
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"The pin's sealing key does not have {KEY_BYTES} bytes.")
    return key
