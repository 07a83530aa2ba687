"""Whether a text can be a host at all: an address, or a name that DNS can be asked for."""

import ipaddress
import re
from typing import Final

__all__ = ["ASCII_FORM", "is_host"]

ASCII_FORM: Final = "an international name is written in its ASCII form (xn--…)"

_MAX_NAME: Final = 253  # characters (RFC 1035, 2.3.4)
# With the underscore, which hosts of companies have in spite of RFC 952.
_LABEL: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)


def is_host(text: str) -> bool:
    """Whether *text* is an IP address, or a name in the letters that name servers take.

    An international name is one in its ASCII form only (``xn--…``): how it is written that way
    depends on which of two standards is asked, so that nobody must guess it.
    """
    try:
        ipaddress.ip_address(text)
    except ValueError:
        name = text.removesuffix(".")
        return len(name) <= _MAX_NAME and all(_LABEL.fullmatch(part) for part in name.split("."))
    return True
