"""The relay that this PC is enrolled at: where to dial, whom to expect, and as whom."""

import ssl
from dataclasses import dataclass, field
from typing import Self

from cloud_connect.errors import ConfigurationError
from cloud_connect.handshake import AgentCredentials
from cloud_connect.signing import KEY_BYTES, SigningKey, to_bytes
from cloud_connect_agent.proxies import Proxies
from cloud_connect_agent.settings import RelaySettings

__all__ = ["RelayAddress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayAddress:
    """Where to dial, whom to expect there, and as whom.

    Attributes:
        api_url: Whom to ask where to dial, if nothing answers there; ``None`` for nobody.
        relay_url: What a person typed: where the relay's API is.
    """

    tunnel_url: str
    credentials: AgentCredentials
    tls: ssl.SSLContext
    proxies: Proxies = field(default_factory=Proxies)
    allow_intercepted: bool = False
    api_url: str | None = None
    relay_url: str | None = None

    @classmethod
    def of(
        cls,
        settings: RelaySettings,
        *,
        key: SigningKey,
        tls: ssl.SSLContext,
        proxies: Proxies | None = None,
    ) -> Self:
        """Put together what enrolling wrote.

        Raises:
            ConfigurationError: If something is missing or damaged.
        """
        if (
            settings.tunnel_url is None
            or settings.connector_id is None
            or settings.relay_id is None
            or settings.relay_public_key is None
        ):
            raise ConfigurationError("The section relay is not complete: enrol this PC again.")
        try:
            relay_public_key = to_bytes(settings.relay_public_key)
        except ValueError:
            relay_public_key = b""
        if len(relay_public_key) != KEY_BYTES:
            raise ConfigurationError(
                "The setting relay.relay_public_key is damaged: enrol this PC again."
            )
        return cls(
            tunnel_url=settings.tunnel_url,
            credentials=AgentCredentials(
                connector_id=settings.connector_id,
                key=key,
                relay_id=settings.relay_id,
                relay_public_key=relay_public_key,
            ),
            tls=tls,
            proxies=proxies or Proxies(),
            allow_intercepted=settings.allow_intercepted,
            api_url=settings.url if settings.follow_tunnel else None,
            relay_url=settings.url,
        )
