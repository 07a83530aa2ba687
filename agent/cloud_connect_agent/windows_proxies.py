"""Windows' proxy settings: the machine's as WinHTTP has them, and where a script is set.

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
    """What Windows says; empty where nothing is set.

    Attributes:
        proxies: As Windows writes it: ``proxy:8080``, or ``http=a:80;https=b:8080``.
        bypass: Patterns with semicolons or spaces between them.
        script: Where the proxy script (PAC) of the person or the machine is.
    """

    proxies: str = ""
    bypass: str = ""
    script: str = ""


class WinHttp:
    """The settings of this machine.

    Args:
        ask: Asks Windows.
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
    import winreg

    _SETTINGS: Final = r"Software\Microsoft\Windows\CurrentVersion\Internet Settings"

    class _ProxyInfo(ctypes.Structure):
        _fields_ = (
            ("access_type", ctypes.c_uint32),
            ("proxy", ctypes.c_void_p),
            ("bypass", ctypes.c_void_p),
        )

    def _ask() -> WinHttpAnswer:
        library = ctypes.WinDLL("winhttp")
        machine = _ProxyInfo()
        named, bypass = "", ""
        if library.WinHttpGetDefaultProxyConfiguration(ctypes.byref(machine)):
            named, bypass = _taken(machine.proxy), _taken(machine.bypass)
            if machine.access_type != _NAMED_PROXY:
                named = bypass = ""
        return WinHttpAnswer(proxies=named, bypass=bypass, script=_script())

    def _script() -> str:
        """Return the script of the person or, where policy keeps it there, of the machine."""
        for root in (winreg.HKEY_CURRENT_USER, winreg.HKEY_LOCAL_MACHINE):
            try:
                with winreg.OpenKey(root, _SETTINGS) as key:
                    value, kind = winreg.QueryValueEx(key, "AutoConfigURL")
            except OSError:
                continue
            if kind == winreg.REG_SZ and value:
                return str(value)
        return ""

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
