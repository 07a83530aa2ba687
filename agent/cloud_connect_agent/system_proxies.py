"""What the environment and the operating system say about proxies, read anew at each question."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import Final, Protocol
from urllib.request import getproxies, getproxies_environment, proxy_bypass

if sys.platform == "win32":
    from cloud_connect_agent.windows_proxies import WinHttp

__all__ = ["MACHINES", "Machine", "Named", "bypassed", "named_by_system", "proxy_script"]

_USERS: Final = "the system's settings"
MACHINES: Final = "Windows' own (netsh winhttp)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A proxy as somebody wrote it.

    Attributes:
        text: A URL, or a host and a port.
        source: Which variable or setting says so.
    """

    text: str
    source: str


class Machine(Protocol):
    """What Windows keeps for programs that belong to no person, and for the person."""

    def machine_proxies(self) -> tuple[dict[str, str], list[str]]:
        """Return the machine's proxies by scheme, and the hosts that have none."""
        ...

    def script_url(self) -> str | None:
        """Return where the person's proxy script (PAC) is, if one is set."""
        ...


def named_by_system(scheme: str, host: str, *, machine: Machine | None = None) -> Named | None:
    """Return the proxy for *host*: the environment's or, if that names none at all, the system's.

    Args:
        scheme: Of the URL; a WebSocket's is that of the HTTP which it begins with.
        machine: Windows' settings, on Windows its own.
    """
    named = getproxies_environment()
    if named:
        chosen = scheme if scheme in named else "all"
        if bypassed(host, named.get("no", "").replace(",", " ").split()):
            return None
        return _named(named, chosen, f"{chosen.upper()}_PROXY")
    named = getproxies()
    chosen = scheme if scheme in named else "all"
    if chosen in named:
        return None if proxy_bypass(host) else _named(named, chosen, _USERS)
    # A service's account has no settings of a person: what remains is the machine's.
    windows = machine or _windows()
    if windows is None:
        return None
    named, direct = windows.machine_proxies()
    chosen = scheme if scheme in named else "all"
    if any(_matches(host, pattern) for pattern in direct):
        return None
    return _named(named, chosen, MACHINES)


def proxy_script(*, machine: Machine | None = None) -> str | None:
    """Return the address of a proxy script (PAC) that the system names and that decides here.

    Nobody runs it: it is a program, and the agent takes none from the network.
    """
    windows = machine or _windows()
    if windows is None or getproxies_environment():
        return None
    return windows.script_url()


def bypassed(host: str, rules: Iterable[str]) -> bool:
    """Whether a rule names *host*: itself, a domain above it, its network, or ``*``."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        address = ip_address(name)
    except ValueError:
        address = None
    for rule in rules:
        if rule == "*":
            return True
        plain = rule.strip(".").lower()
        if address is None:
            if plain and (name == plain or name.endswith(f".{plain}")):
                return True
            continue
        try:
            network = ip_network(rule.strip("[]"), strict=False)
        except ValueError:
            continue
        if address in network:
            return True
    return False


def _matches(host: str, pattern: str) -> bool:
    """Whether a pattern of Windows names *host*; ``<local>`` is every name without a dot."""
    if pattern == "<local>":
        return "." not in host and ":" not in host
    return fnmatchcase(host.lower(), pattern.lower())


def _named(named: dict[str, str], chosen: str, source: str) -> Named | None:
    text = named.get(chosen)
    return Named(text=text, source=source) if text else None


if sys.platform == "win32":

    def _windows() -> Machine | None:
        return WinHttp()

else:

    def _windows() -> Machine | None:
        return None
