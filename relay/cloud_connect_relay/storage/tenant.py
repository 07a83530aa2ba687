"""One subscription's view of the store: every repository here is bound to it."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cloud_connect_relay.storage.access_tokens import AccessTokens
    from cloud_connect_relay.storage.audit import AuditLog
    from cloud_connect_relay.storage.authorizations import Authorizations
    from cloud_connect_relay.storage.calls import Calls
    from cloud_connect_relay.storage.connectors import Connectors
    from cloud_connect_relay.storage.custom_connectors import CustomConnectors
    from cloud_connect_relay.storage.datasources import DataSources
    from cloud_connect_relay.storage.engine import Storage
    from cloud_connect_relay.storage.join_tokens import JoinTokens
    from cloud_connect_relay.storage.keys import Keys
    from cloud_connect_relay.storage.presence import ConnectorPresence
    from cloud_connect_relay.storage.users import Users

__all__ = ["Tenant"]


class Tenant:
    """The repositories of one subscription.

    A repository is a class ``Name(storage, subscription_id)``; it adds the subscription to
    every statement and takes it from nowhere else.
    """

    def __init__(self, storage: "Storage", subscription_id: str) -> None:
        self.storage: Final = storage
        self.subscription_id: Final = subscription_id

    @property
    def access_tokens(self) -> "AccessTokens":
        """What stands for its keys and people for a while."""
        from cloud_connect_relay.storage.access_tokens import AccessTokens

        return AccessTokens(self.storage, self.subscription_id)

    @property
    def audit(self) -> "AuditLog":
        """The administrative actions."""
        from cloud_connect_relay.storage.audit import AuditLog

        return AuditLog(self.storage, self.subscription_id)

    @property
    def authorizations(self) -> "Authorizations":
        """The sign-ins at Procore that were begun and wait for their code."""
        from cloud_connect_relay.storage.authorizations import Authorizations

        return Authorizations(self.storage, self.subscription_id)

    @property
    def calls(self) -> "Calls":
        """The records of calls."""
        from cloud_connect_relay.storage.calls import Calls

        return Calls(self.storage, self.subscription_id)

    @property
    def connectors(self) -> "Connectors":
        """The enrolled agents."""
        from cloud_connect_relay.storage.connectors import Connectors

        return Connectors(self.storage, self.subscription_id)

    @property
    def custom_connectors(self) -> "CustomConnectors":
        """The registrations by which the platform calls the relay as a microservice."""
        from cloud_connect_relay.storage.custom_connectors import CustomConnectors

        return CustomConnectors(self.storage, self.subscription_id)

    @property
    def datasources(self) -> "DataSources":
        """The data sources."""
        from cloud_connect_relay.storage.datasources import DataSources

        return DataSources(self.storage, self.subscription_id)

    @property
    def join_tokens(self) -> "JoinTokens":
        """The one-time tokens that enrol an agent."""
        from cloud_connect_relay.storage.join_tokens import JoinTokens

        return JoinTokens(self.storage, self.subscription_id)

    @property
    def keys(self) -> "Keys":
        """The API keys."""
        from cloud_connect_relay.storage.keys import Keys

        return Keys(self.storage, self.subscription_id)

    @property
    def presence(self) -> "ConnectorPresence":
        """When its connectors were connected."""
        from cloud_connect_relay.storage.presence import ConnectorPresence

        return ConnectorPresence(self.storage, self.subscription_id)

    @property
    def users(self) -> "Users":
        """The people who may sign in."""
        from cloud_connect_relay.storage.users import Users

        return Users(self.storage, self.subscription_id)
