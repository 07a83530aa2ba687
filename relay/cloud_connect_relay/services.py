"""What the parts of a running relay share: built once in ``app``, passed on to everybody."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloud_connect_relay.addresses import Addresses
    from cloud_connect_relay.authentication import Authenticator
    from cloud_connect_relay.calls.service import CallService
    from cloud_connect_relay.events.connectors import ConnectorWatch
    from cloud_connect_relay.events.hub import EventHub
    from cloud_connect_relay.gateway.certificates import KnownCertificates
    from cloud_connect_relay.gateway.registry import Registry
    from cloud_connect_relay.identity import RelayIdentity
    from cloud_connect_relay.live_requests import LiveRequests
    from cloud_connect_relay.metrics import Metrics
    from cloud_connect_relay.settings import RelaySettings
    from cloud_connect_relay.storage import Storage

__all__ = ["Clock", "Services"]

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The relay's collaborators.

    Attributes:
        events: Passes on what happens, to those who listen.
        connector_watch: Finds out what happens to connectors, for them.
        clock: UNIX time, for what is stored and shown.
        ready: Whether the relay takes calls; false while it starts and drains.
    """

    settings: "RelaySettings"
    identity: "RelayIdentity"
    addresses: "Addresses"
    storage: "Storage"
    authenticator: "Authenticator"
    requests: "LiveRequests"
    registry: "Registry"
    calls: "CallService"
    metrics: "Metrics"
    certificates: "KnownCertificates"
    events: "EventHub"
    connector_watch: "ConnectorWatch"
    clock: Clock
    ready: Callable[[], bool]
