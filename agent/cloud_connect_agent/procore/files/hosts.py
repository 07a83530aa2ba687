"""Pure: which hosts file bytes may come from and go to; everything else is refused."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, Self
from urllib.parse import SplitResult, urljoin, urlsplit

from cloud_connect.errors import PolicyDeniedError
from cloud_connect.loopback import is_loopback
from cloud_connect_agent.procore.environments import Endpoints

__all__ = ["FileUrl", "HostRefusedError", "HostRules"]

# Procore's own storage and the object stores behind it. Whatever else a site needs is added
# to the environment's storage_hosts by the PC's administrator.
_DOMAINS: Final = (".procore.com", ".procoregov.com")
_S3: Final = re.compile(
    r"(?:[a-z0-9][a-z0-9.-]*\.)?s3(?:[.-][a-z0-9-]+){0,3}\.amazonaws\.com", re.ASCII
)
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?", re.ASCII)
_VISIBLE: Final = re.compile(
    r"[\x21-\x5b\x5d-\x7e]+"
)  # nor backslashes, which some take for slashes
_MAX_URL: Final = 8192  # characters; signed links are long
_NAT64: Final = ip_network("64:ff9b::/96")
_UNICAST: Final = ip_network("2000::/3")  # of IPv6, all that is on the internet
_PORTS: Final = {"http": 80, "https": 443}


class HostRefusedError(PolicyDeniedError):
    """A file would have come from, or gone to, a host that is not allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUrl:
    """A URL that passed: where the bytes of a file are, or are to go.

    Attributes:
        target: Path and query, to the byte; at the API, below its address.
        prefix: The path of the API's address, if it has one.
        api: Whether it is the API's own origin.
        procore: Whether it is another host of Procore's own domain, on the internet. Procore
            wants its token there for downloads, and nowhere else.
        private: Whether its host may have an address of a private network.
    """

    scheme: str
    host: str
    port: int
    target: str
    prefix: str = ""
    api: bool = False
    procore: bool = False
    private: bool = False

    @property
    def base(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    def __str__(self) -> str:
        return self.base + self.prefix + self.target


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRules:
    """What is allowed in one environment.

    Attributes:
        api: Base URL of the API.
        public: Whether the environment is Procore's own, on the internet.
        extra: Hosts that the PC's settings add: names, or ``*.`` and a domain.
    """

    api: str
    public: bool
    extra: tuple[str, ...] = ()

    @classmethod
    def of(cls, endpoints: Endpoints) -> Self:
        """Return the rules of an environment."""
        return cls(api=endpoints.api_url, public=endpoints.public, extra=endpoints.storage_hosts)

    @property
    def rehearsing(self) -> bool:
        """Whether the API is on this machine: a simulator, whose storage is here, too."""
        return is_loopback(urlsplit(self.api).hostname or "")

    def check(self, text: str, *, base: FileUrl | None = None) -> FileUrl:
        """Check a URL that Procore or its storage named.

        Args:
            base: What a relative one is relative to.

        Raises:
            HostRefusedError: If files may not come from or go there.
        """
        parts = self._parts(text if base is None else urljoin(str(base), text))
        scheme, host = parts.scheme, (parts.hostname or "").rstrip(".")
        port = parts.port or _PORTS[scheme]
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        api = urlsplit(self.api)
        own = (api.scheme, api.hostname, api.port or _PORTS[api.scheme])
        if (scheme, host, port) == own:
            prefix = api.path.rstrip("/")
            if not target.startswith(f"{prefix}/"):
                raise _refused(host, "is the API's, but not below its address")
            below = target.removeprefix(prefix)
            return FileUrl(
                scheme=scheme, host=host, port=port, target=below, prefix=prefix, api=True
            )
        named = host in self.extra
        if self.rehearsing and is_loopback(host):
            return FileUrl(scheme=scheme, host=host, port=port, target=target, private=True)
        if scheme != "https":
            raise _refused(host, "is not reached by https")
        if _literal(host) is not None and not named:
            raise _refused(host, "is an address and no name")
        if not (named or self._known(host)):
            raise _refused(
                host,
                "is not among the known storage hosts; if it is right, add it to storage_hosts of "
                "the environment in agent.toml",
            )
        if port != _PORTS[scheme] and not named:
            raise _refused(host, f"is named with port {port}")
        return FileUrl(
            scheme=scheme,
            host=host,
            port=port,
            target=target,
            procore=not named and self._shares_domain(host),
            private=named and not self.public,
        )

    def check_address(self, url: FileUrl, address: str) -> None:
        """Check an address that a host's name stands for, before it is connected to.

        Raises:
            HostRefusedError: If it is none of the internet, where it has to be.
        """
        found = _unwrapped(ip_address(address.partition("%")[0]))
        if self.rehearsing and is_loopback(url.host):
            allowed = found.is_loopback
        else:
            internal = url.private and found.is_private and not _special(found)
            allowed = internal or _on_internet(found)
        if not allowed:
            raise _refused(url.host, "stands for an address that is not on the internet")

    def _parts(self, text: str) -> SplitResult:
        if len(text) > _MAX_URL or not _VISIBLE.fullmatch(text):
            raise _refused("?", "is named by a link that is no proper URL")
        try:
            parts = urlsplit(text)
            host, port = parts.hostname or "", parts.port
        except ValueError as exc:
            raise _refused("?", "is named by a link that is no proper URL") from exc
        if parts.scheme not in _PORTS or port == 0:
            raise _refused(host or "?", "is named by a link that is not https")
        if parts.username is not None or parts.password is not None:
            raise _refused(host, "is named with a user name or password")
        if not (_HOST.fullmatch(host.rstrip(".")) or _literal(host) is not None):
            raise _refused("?", "has a name that is none")
        return parts

    def _known(self, host: str) -> bool:
        if _S3.fullmatch(host):
            return True
        if host.endswith(_DOMAINS):
            return True
        return any(one[:2] == "*." and host.endswith(one[1:]) for one in self.extra)

    def _shares_domain(self, host: str) -> bool:
        """Whether a host and the API are of one and the same domain of Procore's."""
        api = urlsplit(self.api).hostname or ""
        return any(host.endswith(one) and api.endswith(one) for one in _DOMAINS)


def _refused(host: str, why: str) -> HostRefusedError:
    return HostRefusedError(f"The file's host {host[:100]} {why} (rule storage-hosts).")


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address inside an IPv6 one, where there is one to be reached by it."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _on_internet(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return False  # some of what is left stands for addresses of a site, such as ::10.0.0.1
    return address.is_global and not address.is_multicast


def _special(address: IPv4Address | IPv6Address) -> bool:
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
    )
