"""httpx's trust in the usual authorities, read once for a process instead of for each client."""

import functools
import os
import ssl
from typing import Any

import httpx
from httpx._transports import default

__all__ = ["read_once"]


@functools.cache
def _usual() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def _context(*, verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
    elsewhere = trust_env and {"SSL_CERT_FILE", "SSL_CERT_DIR"} & os.environ.keys()
    if verify is True and cert is None and not elsewhere:
        return _usual()
    return httpx.create_ssl_context(verify, cert, trust_env)


def read_once() -> None:
    """Have clients share what each would read for a tenth of a second."""
    default.create_ssl_context = _context  # type: ignore[attr-defined, assignment]
