"""What a service of ours keeps in the registry: its environment, its source in the event log.

The service control manager has no calls for these. Imported anywhere, called on Windows only.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

from cloud_connect_agent.hosting.windows_security import windows_errors

if TYPE_CHECKING:
    import _win32typing

__all__ = [
    "forget_message_file",
    "register_environment",
    "register_message_file",
    "registered_environment",
    "registered_message_file",
    "told",
]

_T = TypeVar("_T")

_SERVICES: Final = "SYSTEM\\CurrentControlSet\\Services"
_EVENT_SOURCES: Final = f"{_SERVICES}\\EventLog\\Application"
_EVENT_TYPES: Final = 7  # errors, warnings and information


def told(ask: Callable[[], _T]) -> _T | None:
    """Return what Windows says; ``None`` if this Windows does not know the question."""
    import pywintypes

    try:
        return ask()
    except (pywintypes.error, NotImplementedError):
        return None


def registered_environment(name: str) -> tuple[str, ...]:
    """Return what is added to a service's environment."""
    value = _registry_value(f"{_SERVICES}\\{name}", "Environment")
    return tuple(str(line) for line in value) if isinstance(value, list | tuple) else ()


def register_environment(name: str, lines: tuple[str, ...]) -> None:
    """Set what is added to a service's environment."""
    import win32api
    import win32con

    with _closing(
        win32api.RegCreateKey(win32con.HKEY_LOCAL_MACHINE, f"{_SERVICES}\\{name}")
    ) as key:
        win32api.RegSetValueEx(key, "Environment", 0, win32con.REG_MULTI_SZ, list(lines))


def registered_message_file(name: str) -> str | None:
    """Return where the texts of a service's entries in the event log are."""
    value = _registry_value(f"{_EVENT_SOURCES}\\{name}", "EventMessageFile")
    return value if isinstance(value, str) else None


def register_message_file(name: str, file: str) -> None:
    """Make a service a source in the event log, whose entries can be read."""
    import win32api
    import win32con

    with _closing(
        win32api.RegCreateKey(win32con.HKEY_LOCAL_MACHINE, f"{_EVENT_SOURCES}\\{name}")
    ) as key:
        win32api.RegSetValueEx(key, "EventMessageFile", 0, win32con.REG_SZ, file)
        win32api.RegSetValueEx(key, "TypesSupported", 0, win32con.REG_DWORD, _EVENT_TYPES)


def forget_message_file(name: str) -> None:
    """Remove a service's source from the event log; its entries stay."""
    import pywintypes
    import win32api
    import win32con

    with (
        windows_errors("open the list of the event log's sources"),
        _closing(win32api.RegOpenKey(win32con.HKEY_LOCAL_MACHINE, _EVENT_SOURCES)) as sources,
        contextlib.suppress(pywintypes.error),  # it was not there
    ):
        win32api.RegDeleteKey(sources, name)


@contextlib.contextmanager
def _closing(key: "_win32typing.PyHKEY") -> Iterator["_win32typing.PyHKEY"]:
    import win32api

    try:
        yield key
    finally:
        win32api.RegCloseKey(key)


def _registry_value(path: str, name: str) -> object:
    import win32api
    import win32con

    def ask() -> object:
        with _closing(win32api.RegOpenKey(win32con.HKEY_LOCAL_MACHINE, path)) as key:
            value, _ = win32api.RegQueryValueEx(key, name)
            return value

    return told(ask)
