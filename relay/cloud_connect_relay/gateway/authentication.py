"""Who an agent is: the handshake on its socket, against what the store knows of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

import structlog

from cloud_connect.closing import CloseCode
from cloud_connect.handshake import RelayHandshake
from cloud_connect.handshake_messages import CertificateCheck, HandshakeError, Hello
from cloud_connect.signing import SigningKey
from cloud_connect_relay.gateway.certificates import KnownCertificates
from cloud_connect_relay.gateway.registry import Registry
from cloud_connect_relay.storage.connector_keys import ConnectorKeys
from cloud_connect_relay.storage.connector_sessions import ConnectorSessions
from cloud_connect_relay.storage.connectors import Connector, ConnectorFlag

__all__ = ["AgentAuthenticator", "Authenticated", "MessageLink"]

log = structlog.get_logger(__name__)

_MAX_RECOVERED: Final = 2**31 - 2  # the store's number has 32 bits


class MessageLink(Protocol):
    """What the handshake needs of a link."""

    async def send(self, message: str) -> None:
        """Send a text message."""
        ...

    async def recv(self) -> str | bytes:
        """Receive a message."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """An agent that proved itself and confirmed its generation."""

    connector: Connector
    instance: str
    certificate: CertificateCheck


class AgentAuthenticator:
    """Runs the relay's side of the handshake."""

    def __init__(
        self,
        *,
        relay_id: str,
        key: SigningKey,
        connectors: ConnectorSessions,
        keys: ConnectorKeys,
        registry: Registry,
        certificates: KnownCertificates,
        clock: Callable[[], float],
    ) -> None:
        self._relay_id: Final = relay_id
        self._key: Final = key
        self._connectors: Final = connectors
        self._keys: Final = keys
        self._registry: Final = registry
        self._certificates: Final = certificates
        self._clock: Final = clock

    async def authenticate(self, link: MessageLink) -> Authenticated:
        """Make the agent prove who it is, and prove this relay to it.

        Raises:
            HandshakeError: If it is refused; ``close_code`` says why.
        """
        handshake = RelayHandshake(relay_id=self._relay_id, key=self._key)
        await link.send(handshake.challenge())
        hello = handshake.receive_hello(await link.recv())
        connector = await self._connectors.find(hello.connector_id)
        key = None if connector is None else connector.key_for(hello.key_id, now=self._clock())
        if connector is None or key is None:
            raise HandshakeError(
                "The relay does not know this connector.", close_code=CloseCode.UNAUTHORIZED
            )
        handshake.verify(key)
        # From here on it is the holder of the key, who may hear why it is refused.
        if connector.flag is ConnectorFlag.REVOKED:
            raise HandshakeError("This connector is revoked.", close_code=CloseCode.REVOKED)
        if connector.flag is ConnectorFlag.PENDING:
            raise HandshakeError(
                "An administrator has to approve this connector.",
                close_code=CloseCode.AWAITING_APPROVAL,
            )
        if connector.flag is ConnectorFlag.CLONE_SUSPECTED:
            _refuse_clone()
        certificate = self._check_certificate(connector, hello)
        following = await self._next_generation(connector, hello)
        await link.send(
            handshake.welcome(generation=following, certificate=certificate, now=self._clock())
        )
        handshake.receive_confirm(await link.recv())
        await self._settle(connector, hello, following)
        return Authenticated(connector=connector, instance=hello.instance, certificate=certificate)

    async def suspect(self, connector: Connector, *, sign: str) -> None:
        """Refuse the connector and its copy from now on, and cut whichever is connected."""
        log.warning("clone_suspected", connector_id=connector.id, sign=sign)
        await self._connectors.suspect(connector, sign=sign, now=self._clock())
        await self._registry.cut(connector.id, CloseCode.CLONE_SUSPECTED)

    def _check_certificate(self, connector: Connector, hello: Hello) -> CertificateCheck:
        """Find out whether somebody sits in between, and note it for whoever looks here."""
        try:
            return self._certificates.check(
                hello.certificate_hash, allow_intercepted=hello.allow_intercepted
            )
        except HandshakeError:
            log.warning("link_intercepted", connector_id=connector.id)
            self._registry.intercepted[connector.id] = self._clock()
            raise

    async def _next_generation(self, connector: Connector, hello: Hello) -> int:
        """Accept the generation confirmed last, or the one handed out after it."""
        pending = connector.generation + 1
        if connector.recovery and hello.generation < _MAX_RECOVERED:
            # Beyond whatever any copy was handed out.
            return max(pending, hello.generation) + 1
        if hello.generation == pending:
            # Its confirmation was lost. It must count before the next one is handed out.
            await self._connectors.confirm(connector.id, pending)
        elif hello.generation != connector.generation:
            await self.suspect(connector, sign="generation")
            _refuse_clone()
        return hello.generation + 1

    async def _settle(self, connector: Connector, hello: Hello, generation: int) -> None:
        """Commit what the agent confirmed: its generation and, once, more."""
        if not connector.recovery and hello.key_id == connector.key_id:
            await self._connectors.confirm(connector.id, generation)
            return
        settled = await self._keys.settle(
            connector,
            key_id=hello.key_id,
            generation=generation,
            recovering=connector.recovery,
            now=self._clock(),
        )
        if not settled:
            raise HandshakeError(
                "Another process connected meanwhile.", close_code=CloseCode.SUPERSEDED
            )
        log.info(
            "identity_settled",
            connector_id=connector.id,
            key_id=hello.key_id,
            recovered=connector.recovery,
        )


def _refuse_clone() -> NoReturn:
    raise HandshakeError(
        "This connector's identity seems to be in use twice: enrol it again.",
        close_code=CloseCode.CLONE_SUSPECTED,
    )
