"""Where each environment lives, and the connections there, which all requests share."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from cloud_connect.calls import Environment
from cloud_connect_agent.procore.environments import EndpointOverride, Endpoints, endpoints_of
from cloud_connect_agent.procore.transport import Origin, Timeouts
from cloud_connect_agent.proxies import Proxies
from cloud_connect_agent.tls import client_context

__all__ = ["OriginSettings", "Origins"]


class OriginSettings(Protocol):
    """What the settings say of addresses; they may change meanwhile."""

    @property
    def environments(self) -> Mapping[str, EndpointOverride]:
        """Other addresses, by the environment's flag."""
        ...


class Origins:
    """The login and API hosts of all environments. Whoever opens one closes it.

    Attributes:
        proxies: How to get to any host.
    """

    def __init__(
        self, settings: OriginSettings, *, timeouts: Timeouts, proxies: Proxies | None = None
    ) -> None:
        self._settings: Final = settings
        self._timeouts: Final = timeouts
        self.proxies: Final = proxies or Proxies()
        self._origins: Final[dict[tuple[str, Endpoints], Origin]] = {}
        self._trusts: Final[dict[Path | None, ssl.SSLContext]] = {}
        self._endpoints: Final[dict[Environment, tuple[EndpointOverride | None, Endpoints]]] = {}
        self._apis: Final[dict[Environment, tuple[Endpoints, Origin]]] = {}

    def endpoints(self, environment: Environment) -> Endpoints:
        """Return where an environment lives.

        Raises:
            ConfigurationError: If a URL of the settings cannot be used.
        """
        overrides = self._settings.environments
        override = overrides.get(environment.flag)
        known = self._endpoints.get(environment)
        if known is not None and known[0] is override:
            return known[1]
        endpoints = endpoints_of(environment, overrides)
        self._endpoints[environment] = (override, endpoints)
        return endpoints

    def trust(self, ca_file: Path | None) -> ssl.SSLContext:
        """Whom to trust; each context holds the whole store, some 3 MB."""
        trust = self._trusts.get(ca_file)
        if trust is None:
            trust = self._trusts[ca_file] = client_context(ca_file)
        return trust

    def login(self, environment: Environment) -> Origin:
        """Return the connections to an environment's login host.

        Raises:
            ConfigurationError: If the settings are wrong.
        """
        endpoints = self.endpoints(environment)
        return self._origin(endpoints.login_url, endpoints)

    def api(self, environment: Environment) -> Origin:
        """Return the connections to an environment's API host.

        Raises:
            ConfigurationError: If the settings are wrong.
        """
        endpoints = self.endpoints(environment)
        known = self._apis.get(environment)
        if known is None or known[0] is not endpoints:
            known = (endpoints, self._origin(endpoints.api_url, endpoints))
            self._apis[environment] = known
        return known[1]

    async def aclose(self) -> None:
        """Close all connections."""
        for origin in self._origins.values():
            await origin.aclose()

    def _origin(self, base_url: str, endpoints: Endpoints) -> Origin:
        key = (base_url, endpoints)
        origin = self._origins.get(key)
        if origin is None:
            origin = self._origins[key] = Origin(
                base_url,
                self.trust(endpoints.ca_file),
                timeouts=self._timeouts,
                proxies=self.proxies,
            )
        return origin
