"""Addresses that a key may be used from: networks as people write them, and whether one is in."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

__all__ = ["admits", "checked_network", "counted_as"]

_HOUSEHOLD: Final = 64  # bits of an IPv6 prefix: whoever has one address of it has all


def checked_network(text: str) -> str:
    """Return an address or a network in its usual form: ``10.1.0.0/16``, ``192.0.2.7/32``.

    Raises:
        ValueError: If it is neither.
    """
    try:
        return str(ipaddress.ip_network(text.strip(), strict=False))
    except ValueError:
        raise ValueError(
            f"'{text[:60]}' is no address or network, such as 192.0.2.7 or 10.1.0.0/16"
        ) from None


def counted_as(source: str | None) -> str | None:
    """Return what the failures of an address are counted under: its household, of IPv6."""
    try:
        address = ipaddress.ip_address((source or "").partition("%")[0])
    except ValueError:
        return source
    if isinstance(address, ipaddress.IPv4Address):
        return source
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _HOUSEHOLD), strict=False))


def admits(networks: Iterable[str], source: str | None) -> bool:
    """Whether one of the *networks* has the address *source*; if none is named, all have."""
    named = tuple(networks)
    if not named:
        return True
    try:
        address = ipaddress.ip_address((source or "").partition("%")[0])
    except ValueError:
        return False  # an address that is not known is in no network
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in _network(text) for text in named)


@lru_cache(maxsize=1024)
def _network(text: str) -> "ipaddress.IPv4Network | ipaddress.IPv6Network":
    return ipaddress.ip_network(text)
