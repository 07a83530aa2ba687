"""Where Procore's environments live: the API host and the login host, two settings each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from cloud_connect.calls import Environment
from cloud_connect.errors import ConfigurationError
from cloud_connect.loopback import is_loopback

__all__ = ["EndpointOverride", "Endpoints", "endpoints_of"]


class EndpointOverride(Protocol):
    """What ``[procore.environments.NAME]`` of ``agent.toml`` may say."""

    @property
    def api_url(self) -> object | None:
        """Base of the API's URLs."""
        ...

    @property
    def login_url(self) -> object | None:
        """Base of the login host's URLs."""
        ...

    @property
    def ca_file(self) -> Path | None:
        """A CA to trust beside the system's."""
        ...

    @property
    def storage_hosts(self) -> tuple[str, ...]:
        """Hosts that file bytes may come from and go to, beside Procore's known ones."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """The two origins of one environment, without a slash at the end.

    Attributes:
        storage_hosts: Hosts of file bytes beside Procore's known ones.
    """

    environment: Environment
    api_url: str
    login_url: str
    ca_file: Path | None = None
    storage_hosts: tuple[str, ...] = ()

    @property
    def public(self) -> bool:
        """Whether the API is Procore's own, on the internet."""
        return self.api_url == _PUBLIC[self.environment][0]


# The pairs follow no single rule: neither is ever derived from the other.
_PUBLIC: Final[Mapping[Environment, tuple[str, str]]] = {
    Environment.LIVE: ("https://api.procore.com", "https://login.procore.com"),
    Environment.MONTHLY_SANDBOX: (
        "https://api-monthly.procore.com",
        "https://login-sandbox-monthly.procore.com",
    ),
    Environment.DEVELOPER_SANDBOX: (
        "https://sandbox.procore.com",
        "https://login-sandbox.procore.com",
    ),
}


def endpoints_of(
    environment: Environment, overrides: Mapping[str, EndpointOverride] | None = None
) -> Endpoints:
    """Return an environment's endpoints: the settings' where given, else Procore's own.

    Args:
        overrides: By the environment's flag, such as ``developer-sandbox``.

    Raises:
        ConfigurationError: If a URL of the settings cannot be used; the message names it.
    """
    api_url, login_url = _PUBLIC[environment]
    override = (overrides or {}).get(environment.flag)
    if override is None:
        return Endpoints(environment=environment, api_url=api_url, login_url=login_url)
    place = f"procore.environments.{environment.flag}"
    if override.api_url:
        api_url = _base_url(str(override.api_url), name=f"{place}.api_url")
    if override.login_url:
        login_url = _base_url(str(override.login_url), name=f"{place}.login_url")
    return Endpoints(
        environment=environment,
        api_url=api_url,
        login_url=login_url,
        ca_file=override.ca_file,
        storage_hosts=tuple(host.lower() for host in override.storage_hosts),
    )


def _base_url(text: str, *, name: str) -> str:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise ConfigurationError(f"{name} is not a URL: {exc}.") from exc
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigurationError(f"{name} must be an https:// address with a host.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError(f"{name} may hold a host, a port and a path only.")
    if port == 0:
        raise ConfigurationError(f"{name} has no usable port.")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(f"{name} must be https; plain http is for loopback addresses.")
    return text.rstrip("/")
