"""The certificates that agents should see: this relay's, and those of proxies in front."""

import hashlib
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from cloud_connect.closing import CloseCode
from cloud_connect.errors import ConfigurationError
from cloud_connect.handshake_messages import CertificateCheck, HandshakeError

__all__ = ["KnownCertificates", "server_context"]


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


class KnownCertificates:
    """SHA-256 of every certificate that an agent may honestly see."""

    def __init__(self, hashes: Iterable[bytes] = ()) -> None:
        self._hashes: Final = frozenset(hashes)

    @classmethod
    def load(cls, files: Iterable[Path]) -> Self:
        """Read the first certificate of each PEM file: the one that a server shows.

        Raises:
            ConfigurationError: If a file cannot be read or holds none.
        """
        hashes: list[bytes] = []
        for file in files:
            try:
                first = x509.load_pem_x509_certificates(file.read_bytes())[0]
            except (OSError, ValueError, IndexError) as exc:
                raise ConfigurationError(f"{file} holds no certificate in PEM format.") from exc
            hashes.append(hashlib.sha256(first.public_bytes(Encoding.DER)).digest())
        return cls(hashes)

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
            if allow_intercepted:
                return "intercepted"
            raise HandshakeError(
                "The agent sees another certificate than this relay's: the link is intercepted.",
                close_code=CloseCode.INTERCEPTED,
            )
        return "verified"
