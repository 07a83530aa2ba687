"""What the Procore client asks of the settings."""

from collections.abc import Mapping
from typing import Protocol

from cloud_connect_agent.procore.environments import EndpointOverride
from cloud_connect_agent.procore.grants.accounts import AccountSection

__all__ = ["ClientSettings", "EnvironmentSection"]


class EnvironmentSection(EndpointOverride, AccountSection, Protocol):
    """What ``[procore.environments.NAME]`` of ``agent.toml`` says."""


class ClientSettings(Protocol):
    """What ``[procore]`` of ``agent.toml`` says."""

    @property
    def environments(self) -> Mapping[str, EnvironmentSection]:
        """Other addresses and accounts, by the environment's flag."""
        ...

    @property
    def remote_authorize(self) -> bool:
        """Whether a person may sign this PC in through the relay."""
        ...

    @property
    def read_concurrency(self) -> int:
        """Reads at once."""
        ...

    @property
    def write_concurrency(self) -> int:
        """Writes at once."""
        ...
