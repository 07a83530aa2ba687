"""Trust in the usual authorities, read once for a process instead of for each client."""

import functools
import os
import ssl
from pathlib import Path
from typing import Any

import httpx
from httpx._transports import default

from cloud_connect_agent.procore import origins
from cloud_connect_agent.tls import client_context

__all__ = ["read_once"]


@functools.cache
def _usual() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def _context(*, verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
    elsewhere = trust_env and {"SSL_CERT_FILE", "SSL_CERT_DIR"} & os.environ.keys()
    if verify is True and cert is None and not elsewhere:
        return _usual()
    return httpx.create_ssl_context(verify, cert, trust_env)


@functools.cache
def _systems() -> ssl.SSLContext:
    return client_context()


def _client_context(ca_file: Path | None = None) -> ssl.SSLContext:
    if ca_file is None and not {"SSL_CERT_FILE", "SSL_CERT_DIR"} & os.environ.keys():
        return _systems()
    return client_context(ca_file)


def read_once() -> None:
    """Have clients of tests and of Procore share what each would read for a tenth of a second."""
    origins.client_context = _client_context  # type: ignore[attr-defined]
    default.create_ssl_context = _context  # type: ignore[attr-defined, assignment]
