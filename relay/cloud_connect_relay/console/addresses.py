"""Where the console's pages are, also behind a proxy that serves the relay below a path."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from cloud_connect_relay.addresses import Addresses

__all__ = ["HOME", "ConsoleAddresses"]

HOME: Final = "/"
_ROOT: Final = "/console"
_MAX_LENGTH: Final = 2000  # of an address to come back to


@dataclass(frozen=True, slots=True)
class ConsoleAddresses:
    """Turns paths of the console (``/connectors``) into paths of the origin, and back."""

    relay: "Addresses"

    @property
    def secure(self) -> bool:
        """Whether browsers reach the console by https."""
        return self.relay.base_url.startswith("https://")

    @property
    def origin(self) -> str:
        """The origin that forms come from."""
        parts = urlsplit(self.relay.base_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def root(self) -> str:
        """The path of the console, without a slash at the end."""
        return urlsplit(self.relay.base_url).path.rstrip("/") + _ROOT

    def url(self, path: str) -> str:
        """Return the address of a path of the console, such as ``/connectors?state=online``."""
        return self.root + path

    def own(self, url: str | None) -> str | None:
        """Return *url* as a path of the console; ``None`` if it leads anywhere else."""
        if not url or len(url) > _MAX_LENGTH or not url.isascii() or not url.isprintable():
            return None
        if "\\" in url or " " in url:
            return None  # browsers read a backslash as a slash
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        if parts.scheme or parts.netloc or not parts.path.startswith(self.root + "/"):
            return None
        path = parts.path.removeprefix(self.root)
        if ".." in path or path.startswith("//"):
            return None
        return f"{path}?{parts.query}" if parts.query else path

    def own_reference(self, url: str | None) -> str | None:
        """Return the page of the console that a whole URL names, of a Referer for example."""
        if not url:
            return None
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        return self.own(f"{parts.path}?{parts.query}" if parts.query else parts.path)
