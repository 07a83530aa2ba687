"""The certificates that agents should see: this relay's, and those of proxies in front."""

import hashlib
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from cloud_connect.closing import CloseCode
from cloud_connect.errors import ConfigurationError
from cloud_connect.handshake_messages import CertificateCheck, HandshakeError

if TYPE_CHECKING:
    from cloud_connect_relay.settings import RelaySettings

__all__ = ["KnownCertificates", "certificate_files", "server_context"]

log = structlog.get_logger(__name__)


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the TLS context of the relay's own listeners.

    Raises:
        ConfigurationError: If the files are no matching certificate and key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except OSError as exc:  # SSLError is one
        raise ConfigurationError(
            f"The files {certificate} and {key} are no certificate with its key in PEM format."
        ) from exc
    return context


def certificate_files(settings: "RelaySettings") -> tuple[Path, ...]:
    """Return the files of what agents may see: proxies' in front, and this relay's own."""
    own = () if settings.tls_cert is None else (settings.tls_cert,)
    return (*settings.tunnel.edge_certs, *own)


class KnownCertificates:
    """SHA-256 of every certificate that an agent may honestly see.

    A file that is renewed is read again; what it held before stays known, since a server shows
    that until it is told to reload.
    """

    def __init__(self, files: Iterable[Path] = ()) -> None:
        self._files: Final = tuple(files)
        self._versions: Final[dict[Path, tuple[int, int]]] = {}
        self._hashes: Final[set[bytes]] = set()

    @classmethod
    def load(cls, files: Iterable[Path]) -> Self:
        """Read the first certificate of each PEM file: the one that a server shows.

        Raises:
            ConfigurationError: If a file cannot be read or holds none.
        """
        known = cls(files)
        for file in known._files:
            try:
                known._read(file)
            except (OSError, ValueError, IndexError) as exc:
                raise ConfigurationError(
                    f"{file} holds no certificate in PEM format; check the settings tls_cert and"
                    " tunnel.edge_certs."
                ) from exc
        return known

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """All of them, in a fixed order."""
        self._look_again()
        return tuple(sorted(self._hashes))

    def check(self, seen: bytes, *, allow_intercepted: bool = False) -> CertificateCheck:
        """Compare with what the agent saw.

        Args:
            allow_intercepted: The PC's administrator knows who sits in between.

        Raises:
            HandshakeError: If the agent saw another one: somebody sits between both.
        """
        if not self._hashes:
            return "unverified"
        if seen not in self._hashes:
            self._look_again()
        if seen not in self._hashes:
            if allow_intercepted:
                return "intercepted"
            raise HandshakeError(
                "The agent sees another certificate than this relay's: the link is intercepted.",
                close_code=CloseCode.INTERCEPTED,
            )
        return "verified"

    def _look_again(self) -> None:
        """Read the files that were renewed; one that is being written is read the next time."""
        for file in self._files:
            try:
                self._read(file)
            except (OSError, ValueError, IndexError):
                log.warning("certificate_unreadable", file=file.name)

    def _read(self, file: Path) -> None:
        status = file.stat()
        version = (status.st_mtime_ns, status.st_ino)
        if self._versions.get(file) == version:
            return
        first = x509.load_pem_x509_certificates(file.read_bytes())[0]
        self._hashes.add(hashlib.sha256(first.public_bytes(Encoding.DER)).digest())
        self._versions[file] = version
