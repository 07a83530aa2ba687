"""What the network must let through, from this PC's own settings: a sheet for the network team."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from cloud_connect.loopback import is_loopback
from cloud_connect_agent.procore.environments import Endpoints
from cloud_connect_agent.proxies import Proxies, Proxy

__all__ = ["Rule", "Sheet", "sheet_of"]

_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_HTTPS: Final = "HTTPS"
_NEVER: Final = "never"
_ALLOWED: Final = "allowed"
_S3: Final = "Procore: files (S3)"
# Procore's own storage and the object stores behind it. The agent takes fewer names than these
# patterns, which are what firewalls can express; procore/files/hosts.py decides.
_STORAGE: Final = {
    "*.procore.com": "Procore: files",
    "s3.amazonaws.com": _S3,
    "*.s3.amazonaws.com": _S3,
    "*.s3.REGION.amazonaws.com": _S3,
}
_FEDERAL: Final = ".procoregov.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One kind of connection that this PC opens.

    Attributes:
        host: A name, or ``*.`` and a domain; for services of the site's own, what they are.
        port: With its transport, such as ``TCP 443``.
        inspection: Whether a company proxy may look into TLS there: ``never``, ``allowed``, or
            empty where there is none.
        via: The proxy that it goes through; ``None`` if the PC connects itself.
    """

    host: str
    port: str
    protocol: str
    reason: str
    inspection: str = ""
    via: str | None = None
    direction: str = "outbound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """The whole: what must be open, and what must be known besides.

    Attributes:
        missing: What the sheet cannot say yet, and the command that makes it complete.
    """

    rules: tuple[Rule, ...]
    notes: tuple[str, ...]
    missing: tuple[str, ...]

    def document(self) -> dict[str, object]:
        """Return it for programs."""
        return {
            "inbound_ports": [],
            "rules": [asdict(rule) for rule in self.rules],
            "notes": list(self.notes),
            "missing": list(self.missing),
        }


def sheet_of(
    *,
    relay_url: str | None,
    tunnel_url: str | None,
    environments: Sequence[Endpoints],
    proxies: Proxies,
    heartbeat_seconds: float,
) -> Sheet:
    """Put the sheet together.

    Args:
        relay_url: The relay's address, as a person types it.
        tunnel_url: Where the tunnel is, once the PC is enrolled.
        environments: Procore's, as this PC uses them.
        heartbeat_seconds: Between two signs of life in the tunnel.

    Raises:
        ConfigurationError: If what the system names as its proxy is none.
    """
    maker = _Maker(proxies)
    relay = maker.relay(relay_url, tunnel_url)
    for endpoints in environments:
        maker.procore(endpoints)
    if environments:
        maker.storage(environments)
    through = maker.used
    direct = not through or any(rule.via is None for rule in maker.rules)
    rules = (*_proxy_rules(through), *maker.rules, *_infrastructure(direct=direct))
    missing = []
    if relay_url is None and tunnel_url is None:
        missing.append(
            "The relay is not known before this PC is enrolled; say --relay URL to have it here."
        )
    if not environments:
        missing.append(
            "No Procore environment is set up on this PC yet; say --environment live to have it"
            " here."
        )
    if maker.skipped_own:
        missing.append("Addresses of this PC itself, such as a simulator's, are not listed.")
    return Sheet(
        rules=rules,
        notes=tuple(_notes(relay, through, heartbeat_seconds)),
        missing=tuple(missing),
    )


class _Maker:
    """Collects rules, each destination once."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies: Final = proxies
        self.rules: list[Rule] = []
        self.used: list[Proxy] = []
        self.skipped_own = False

    def relay(self, relay_url: str | None, tunnel_url: str | None) -> str | None:
        """Add the relay's API and tunnel, which may be one place; return its host."""
        urls = list(dict.fromkeys(url for url in (relay_url, tunnel_url) if url is not None))
        places = {_place(url) for url in urls}
        if len(places) == 1:
            self._add(urls[-1], "HTTPS, WebSocket", "Relay: enrolment, tunnel", inspection=_NEVER)
        else:
            for url in urls:
                tunnel = url == tunnel_url
                self._add(
                    url,
                    "WebSocket (TLS)" if tunnel else _HTTPS,
                    "Relay: tunnel" if tunnel else "Relay: enrolment, keys",
                    inspection=_NEVER,
                )
        return next((host for host, _ in map(_place, urls) if not is_loopback(host)), None)

    def procore(self, endpoints: Endpoints) -> None:
        """Add the API and login hosts of an environment."""
        flag = endpoints.environment.flag
        self._add(endpoints.api_url, _HTTPS, f"Procore {flag}: calls", inspection=_ALLOWED)
        self._add(endpoints.login_url, _HTTPS, f"Procore {flag}: sign-in", inspection=_ALLOWED)

    def storage(self, environments: Iterable[Endpoints]) -> None:
        """Add the hosts of files, where an environment is not on this PC."""
        away = [one for one in environments if not is_loopback(_place(one.api_url)[0])]
        named = dict(_STORAGE) if away else {}
        if any(_FEDERAL in one.api_url for one in away):
            named[f"*{_FEDERAL}"] = "Procore: files"
        named |= {host: "Files (storage_hosts)" for one in away for host in one.storage_hosts}
        for host, reason in named.items():
            self._add(f"https://{host}", _HTTPS, reason, inspection=_ALLOWED)

    def _add(self, url: str, protocol: str, reason: str, *, inspection: str) -> None:
        host, port = _place(url)
        if host.startswith("*."):
            host = url.removeprefix("https://")  # as it was written, with its placeholder
        if is_loopback(host):
            self.skipped_own = True
            return
        proxy = self._proxies.choose(url.replace("://*.", "://any."))
        if proxy is not None and proxy not in self.used:
            self.used.append(proxy)
        rule = Rule(
            host=host,
            port=f"TCP {port}",
            protocol=protocol,
            reason=reason,
            inspection=inspection,
            via=None if proxy is None else proxy.url,
        )
        for at, known in enumerate(self.rules):
            if replace(known, reason=reason) == rule:
                self.rules[at] = replace(rule, reason=f"{known.reason}; {reason}")
                return
        self.rules.append(rule)


def _proxy_rules(proxies: Iterable[Proxy]) -> Iterable[Rule]:
    for proxy in proxies:
        if is_loopback(proxy.host):
            continue  # a forwarder on this PC: where it goes to is its own business
        yield Rule(
            host=proxy.host,
            port=f"TCP {proxy.port}",
            protocol="HTTP CONNECT",
            reason=f"Proxy, named by {proxy.source}",
        )


def _infrastructure(*, direct: bool) -> Iterable[Rule]:
    names = "Addresses of these hosts" if direct else "Address of the proxy"
    yield Rule(host="your DNS servers", port="UDP 53", protocol="DNS, also TCP", reason=names)
    yield Rule(
        host="your time servers",
        port="UDP 123",
        protocol="NTP",
        reason="A right clock",
    )


def _notes(relay: str | None, proxies: Sequence[Proxy], heartbeat: float) -> Iterable[str]:
    tunnel = relay or "the relay"
    yield (
        f"The tunnel to {tunnel} begins as an HTTPS request and becomes a WebSocket (Upgrade:"
        " websocket) that stays open day and night. Something is sent every"
        f" {heartbeat:g} s; a device that ends long connections makes the PC dial again."
    )
    yield (
        f"Do not inspect TLS to {tunnel}: the agent finds out and refuses to go on. Towards Procore"
        " it works where this PC trusts the inspecting authority, but an exception is better."
    )
    if proxies:
        yield (
            "The proxy must allow CONNECT to the hosts that are reached through it. It may ask for"
            " Basic authentication; NTLM, Kerberos and proxy scripts (PAC) are not supported."
        )
    yield "Allow hosts by name: their addresses change. REGION is Amazon's, such as us-east-1."


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _PORTS[parts.scheme]
