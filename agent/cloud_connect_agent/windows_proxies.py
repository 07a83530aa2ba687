"""Windows' proxy settings, by the calls that its own programs use (WinHTTP).

A service's account has none of the settings that a person made in the control panel. What
``netsh winhttp set proxy`` made holds for the whole machine, and that is what services go by.
"""

import ctypes
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["WinHttp", "WinHttpAnswer", "proxies_in"]

_NAMED_PROXY: Final = 3  # WINHTTP_ACCESS_TYPE_NAMED_PROXY
_SCHEMES: Final = ("http", "https")


@dataclass(frozen=True, slots=True, kw_only=True)
class WinHttpAnswer:
    """What the two calls return; empty where nothing is set.

    Attributes:
        proxies: As Windows writes it: ``proxy:8080``, or ``http=a:80;https=b:8080``.
        bypass: Patterns with semicolons or spaces between them.
        script: Where the person's proxy script (PAC) is.
    """

    proxies: str = ""
    bypass: str = ""
    script: str = ""


class WinHttp:
    """The settings of this machine.

    Args:
        ask: Makes the two calls.
    """

    def __init__(self, ask: Callable[[], WinHttpAnswer] | None = None) -> None:
        self._ask: Final = ask or _ask

    def machine_proxies(self) -> tuple[dict[str, str], list[str]]:
        """Return the machine's proxies by scheme, and the patterns of hosts that have none."""
        answer = self._ask()
        return proxies_in(answer.proxies), _parts(answer.bypass)

    def script_url(self) -> str | None:
        """Return where the person's proxy script (PAC) is, if one is set."""
        return self._ask().script or None


def proxies_in(text: str) -> dict[str, str]:
    """Read Windows' list of proxies: one for all schemes, or one for each."""
    found: dict[str, str] = {}
    for part in _parts(text):
        scheme, equals, place = part.rpartition("=")
        if not equals:
            found.setdefault("all", part)
        elif scheme.lower() in _SCHEMES and place:
            found.setdefault(scheme.lower(), place)
    return found


def _parts(text: str) -> list[str]:
    return [part for part in re.split(r"[;\s]+", text) if part]


if sys.platform == "win32":

    class _ProxyInfo(ctypes.Structure):
        _fields_ = (
            ("access_type", ctypes.c_uint32),
            ("proxy", ctypes.c_void_p),
            ("bypass", ctypes.c_void_p),
        )

    class _PersonsInfo(ctypes.Structure):
        _fields_ = (
            ("auto_detect", ctypes.c_int32),
            ("script", ctypes.c_void_p),
            ("proxy", ctypes.c_void_p),
            ("bypass", ctypes.c_void_p),
        )

    def _ask() -> WinHttpAnswer:
        library = ctypes.WinDLL("winhttp")
        machine, person = _ProxyInfo(), _PersonsInfo()
        named, bypass, script = "", "", ""
        if library.WinHttpGetDefaultProxyConfiguration(ctypes.byref(machine)):
            named, bypass = _taken(machine.proxy), _taken(machine.bypass)
            if machine.access_type != _NAMED_PROXY:
                named = bypass = ""
        if library.WinHttpGetIEProxyConfigForCurrentUser(ctypes.byref(person)):
            script = _taken(person.script)
            _taken(person.proxy)
            _taken(person.bypass)
        return WinHttpAnswer(proxies=named, bypass=bypass, script=script)

    def _taken(pointer: int | None) -> str:
        """Return the text, and give its memory back as WinHTTP asks for."""
        if not pointer:
            return ""
        try:
            return ctypes.wstring_at(pointer)
        finally:
            free = ctypes.WinDLL("kernel32").GlobalFree
            free.argtypes = (ctypes.c_void_p,)
            free.restype = ctypes.c_void_p
            free(pointer)

else:

    def _ask() -> WinHttpAnswer:
        return WinHttpAnswer()
