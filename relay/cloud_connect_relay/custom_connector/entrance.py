"""Who may come in as the platform: whoever sealed settings with a registration's secret."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog
from pydantic import ValidationError

from cloud_connect_relay.calls.idempotency import fingerprint
from cloud_connect_relay.custom_connector.dialects import Dialect, SharedSecret
from cloud_connect_relay.custom_connector.envelope import NONSENSE, BagSettings, Envelope
from cloud_connect_relay.custom_connector.sealing import Sealer
from cloud_connect_relay.storage.custom_connectors import CustomConnectorsOfAll
from cloud_connect_relay.storage.custom_requests import Admission, CustomRequests

if TYPE_CHECKING:
    from cloud_connect_relay.custom_connector.dialects import Decrypted
    from cloud_connect_relay.identity import Pepper
    from cloud_connect_relay.quota import Quota
    from cloud_connect_relay.storage import Storage
    from cloud_connect_relay.storage.custom_connectors import CustomConnector, Presented

__all__ = ["REQUEST_RETENTION", "SECRETS", "Entrance", "Visit"]

log = structlog.get_logger(__name__)

SECRETS: Final = "secrets"  # what the secrets are sealed for
REQUEST_RETENTION: Final = 24 * 3600.0  # seconds for which a request id is known
_MAX_ID: Final = 64  # characters of an id that are looked for
_REPLAYED: Final = "replayed_settings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request that was let in.

    Attributes:
        settings_text: As the platform sealed it; goes back under a fresh IV.
        request_hash: What the store knows the request by.
        admission: Whether it is to be carried out.
    """

    connector: "CustomConnector"
    subscription_quota: "Quota"
    secret: SharedSecret
    envelope: Envelope
    settings: BagSettings
    settings_text: bytes = field(repr=False)
    request_hash: str
    admission: Admission


class Entrance:
    """Lets requests in; every refusal costs the same work and tells the same: nothing."""

    def __init__(self, storage: "Storage", pepper: "Pepper") -> None:
        self._storage: Final = storage
        self._registrations: Final = CustomConnectorsOfAll(storage)
        self._secrets: Final = Sealer(pepper, SECRETS)

    async def admit(self, connector_id: str, document: object, *, now: float) -> Visit | None:
        """Return the visit, or ``None`` for whatever is wrong with it; the log says what.

        Args:
            document: The request's body, decoded; ``None`` if it could not be.
        """
        try:
            envelope = Envelope.model_validate(document)
        except ValidationError:
            envelope = NONSENSE
        presented = await self._registrations.present(
            connector_id[:_MAX_ID], last_block=envelope.last_block
        )
        secret = self._secret_of(presented, envelope)
        decrypted = secret.decrypt(envelope.encryptedSettingsPropertyBag, envelope.iv)
        settings = BagSettings.read(decrypted.text)
        request_hash = fingerprint("custom connector request", envelope.requestId)
        fault = _fault(presented, envelope, decrypted, settings, request_hash)
        if presented is None or settings is None or fault is not None:
            _log_refusal(connector_id, fault)
            return None
        connector = presented.connector
        admission = await CustomRequests(self._storage, connector.id).admit(
            request_hash,
            last_block=envelope.last_block if secret.dialect is Dialect.CURRENT else None,
            at=now,
            since=now - REQUEST_RETENTION,
        )
        if admission is Admission.REPLAYED:
            _log_refusal(connector_id, _REPLAYED)
            return None
        return Visit(
            connector=connector,
            subscription_quota=presented.subscription_quota,
            secret=secret,
            envelope=envelope,
            settings=settings,
            settings_text=decrypted.text,
            request_hash=request_hash,
            admission=admission,
        )

    def _secret_of(self, presented: "Presented | None", envelope: Envelope) -> SharedSecret:
        """Return the registration's secret, or one that nobody has, at the same cost."""
        if presented is None:
            dialect = Dialect.OLDER if envelope.iv is None else Dialect.CURRENT
            secret = SharedSecret.of_nobody(dialect)
            self._secrets.seal(secret.text.encode(), place="")
            return secret
        connector = presented.connector
        text = self._secrets.open(presented.sealed_secret, place=connector.id)
        return SharedSecret.parse(Dialect(connector.dialect), text.decode())


def _fault(
    presented: "Presented | None",
    envelope: Envelope,
    decrypted: "Decrypted",
    settings: BagSettings | None,
    request_hash: str,
) -> str | None:
    """Return what is wrong with a request, for the log; ``None`` if nothing is."""
    if presented is None:
        return "unknown_registration"
    if envelope is NONSENSE:
        return "malformed_request"
    lacks_iv = envelope.iv is None and presented.connector.dialect == Dialect.CURRENT
    if lacks_iv or not decrypted.is_padded:
        return "wrong_secret_or_damaged_settings"
    if settings is None:
        return "settings_name_no_data_source"
    if presented.bag_request not in {None, request_hash}:
        return _REPLAYED
    return None


def _log_refusal(connector_id: str, reason: str | None) -> None:
    log.info("custom_connector_refused", registration=connector_id[:_MAX_ID], reason=reason)
