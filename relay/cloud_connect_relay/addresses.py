"""Where this relay is reached: from its settings and its sockets, never from a request."""

import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit, urlunsplit

__all__ = ["Addresses", "origin"]


_ANY: Final = frozenset({"0.0.0.0", "::", "[::]"})  # noqa: S104  recognised, not bound


def origin(scheme: str, host: str, port: int) -> str:
    """Return ``scheme://host:port``, with brackets where an IPv6 address needs them."""
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


@dataclass(slots=True, kw_only=True)
class Addresses:
    """The relay's URLs; ``bind`` fills in the ports once the sockets are open.

    Attributes:
        host: What both listeners bind.
        secure: Whether they speak TLS themselves.
        public_url: What the administrator says the relay is reached at, if anything.
        port: The API's port.
        tunnel_port: The tunnel's port.
    """

    host: str
    secure: bool = False
    public_url: str | None = None
    port: int = 0
    tunnel_port: int = 0

    def bind(self, *, port: int, tunnel_port: int) -> None:
        """Say which ports the listeners have got."""
        self.port = port
        self.tunnel_port = tunnel_port

    @property
    def api_url(self) -> str:
        """The API as bound: what a program on this machine uses."""
        return origin("https" if self.secure else "http", self._name, self.port)

    @property
    def bound_tunnel_url(self) -> str:
        """The tunnel as bound."""
        return origin("wss" if self.secure else "ws", self._name, self.tunnel_port) + "/tunnel"

    @property
    def base_url(self) -> str:
        """What absolute URLs in answers start with, without a slash at the end."""
        return self.public_url.rstrip("/") if self.public_url else self.api_url

    @property
    def tunnel_url(self) -> str:
        """What agents dial."""
        if not self.public_url:
            return self.bound_tunnel_url
        parts = urlsplit(self.public_url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + "/tunnel", "", ""))

    @property
    def _name(self) -> str:
        """What to call this machine; nobody can dial "any address"."""
        return socket.gethostname() if self.host in _ANY else self.host.strip("[]")
