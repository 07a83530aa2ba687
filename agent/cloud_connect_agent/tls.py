"""How the agent checks who it talks to: the system's trust, and extra authorities."""

import platform
import ssl
from pathlib import Path

import truststore

from cloud_connect.errors import ConfigurationError

__all__ = ["client_context"]


def client_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return a context that verifies names and certificates.

    The operating system's store decides, so that a company's own authority (an
    intercepting proxy's, for example) is honoured where IT has installed it.

    Args:
        ca_file: PEM file of authorities to trust besides.

    Raises:
        ConfigurationError: If the file cannot be read or holds no certificate.
    """
    context = _system_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=str(ca_file))
        except ssl.SSLError as exc:  # before OSError: it is one
            raise ConfigurationError(f"{ca_file} holds no certificate in PEM format.") from exc
        except OSError as exc:
            raise ConfigurationError(
                f"The certificate file {ca_file} cannot be read: {exc.strerror}."
            ) from exc
    return context


def _system_context() -> ssl.SSLContext:
    """Return a context with the system's trust and nothing that the environment adds.

    On Linux, truststore reads the whole store anew for each connection, which stops the event
    loop for some 20 ms; where OpenSSL knows the store itself, it is read once.
    """
    if platform.system() == "Linux":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_default_certs()
        folder = ssl.get_default_verify_paths().capath
        if context.cert_store_stats()["x509_ca"] or (folder and any(Path(folder).glob("*.0"))):
            return context
    found: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return found
