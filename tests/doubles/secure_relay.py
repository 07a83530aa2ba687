"""A relay with TLS in the test's own process, as agents on the other side of a proxy dial it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from doubles.certificates import Authority
from doubles.link_bench import QUICK, Relay, serve_relay

__all__ = ["PATIENT", "secure_relay"]

# For agents behind a proxy that is a process of its own, on a machine that is busy.
PATIENT: Final = QUICK.model_copy(
    update={"connect_timeout": 9.0, "upgrade_timeout": 9.0, "handshake_timeout": 9.0}
)


@asynccontextmanager
async def secure_relay(
    folder: Path, authority: Authority | None = None
) -> AsyncIterator[tuple[Relay, str, Path]]:
    """A relay with TLS, the tunnel's address and whom to trust; ``localhost.pem`` is in *folder*.

    Args:
        authority: Whose certificate it shows, if not that of one made for it.
    """
    authority = authority or Authority.make()
    certificate, key = authority.issue(folder, "localhost")
    async with serve_relay(folder, tls_cert=certificate, tls_key=key) as relay:
        assert relay.gateway is not None
        url = f"wss://127.0.0.1:{relay.gateway.port}/tunnel"
        yield relay, url, authority.trusted(folder)
