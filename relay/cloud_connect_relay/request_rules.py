"""What a request's head must be like, beyond what the parser sees to.

Where two readers of one request could disagree about where it ends or whom it is for, the
first of them being a proxy, an attacker slips a second request past it. Such a head is refused,
however often the standard lets a server guess.
"""

import re
from collections.abc import Sequence
from typing import Final

__all__ = ["objection"]

_VERSIONS: Final = frozenset({"1.0", "1.1"})
# RFC 9112, 3.2.1: a proxy has turned every other form into this one, save the asterisk's.
_TARGET: Final = re.compile(rb"/[!\"$-~]*|\*")
# RFC 9110, 4.2.2 and 7.2: a name or address and a port, and no user.
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+,;=-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110, 5.5
_ONCE: Final = (b"host", b"content-length", b"transfer-encoding", b"authorization")


def objection(version: str, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """Return what is wrong with a head, if something is.

    Args:
        headers: With their names in lower case.
    """
    if version not in _VERSIONS:
        return "an unknown version of HTTP"
    if _TARGET.fullmatch(target) is None:
        return "a target that is no path"
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if _CONTROLS.search(value):
            return "a control character in a header"
        if name in found and name in _ONCE:
            return "a header twice that may come once"
        found[name] = value
    if _HOST.fullmatch(found.get(b"host", b"" if version == "1.0" else b"/")) is None:
        return "no proper Host header"
    length, encoding = found.get(b"content-length"), found.get(b"transfer-encoding")
    if length is not None and _LENGTH.fullmatch(length) is None:
        return "a length that is no number"
    if encoding is not None and (
        length is not None or version != "1.1" or encoding.lower() != b"chunked"
    ):
        return "an unclear end of the body"
    if b"upgrade" in found:
        return "an upgrade, which does not happen here"
    return None
