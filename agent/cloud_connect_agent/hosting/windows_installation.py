"""Which Windows service a person means: its folder, its program, and the machine it is for."""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Final

from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect_agent.hosting.service import ServiceWish
from cloud_connect_agent.hosting.windows_backend import WindowsService
from cloud_connect_agent.hosting.windows_machine import NoWindows, WindowsMachine
from cloud_connect_agent.hosting.windows_settings import LAUNCHER, service_name

__all__ = ["program_of", "service_home", "windows_service"]

_ON_WINDOWS: Final[bool] = sys.platform == "win32"
_DATA: Final = "programdata"
_USUAL_DATA: Final = "C:\\ProgramData"  # for plans that are made where there is no Windows
_USUAL_PROGRAM: Final = f"C:\\Program Files\\Cloud Connect\\{LAUNCHER}"


def windows_service(wish: ServiceWish) -> WindowsService:
    """Return the service that is wished for; elsewhere than on Windows, to be looked at only.

    Raises:
        ConfigurationError: If it cannot be named so.
    """
    environ = os.environ  # noqa: TID251 - where Windows keeps its folders is no setting of ours
    home = _home(wish, environ)
    if wish.adopt is not None:
        named = "" if wish.instance is None else f" --name {wish.instance}"
        raise ConfigurationError(
            "--adopt is for Linux: on Windows the files would keep the old account's access. Stop "
            f'that agent, run `cloud-connect --home "{wish.adopt}" backup -o FILE`, then '
            f"`cloud-connect service install{named}` without --adopt, and "
            f'`cloud-connect --home "{home}" restore FILE`.'
        )
    machine, program = _here()
    return WindowsService(
        machine,
        instance=wish.instance,
        program=program,
        home=home,
        enrolled=lambda: _enrolled(Path(home)),
        purge_home=(lambda: _remove(Path(home))) if _ON_WINDOWS else None,
        start=wish.start,
    )


def _home(wish: ServiceWish, environ: Mapping[str, str]) -> PureWindowsPath:
    given = None if wish.home is None else _absolute(wish.home)
    # Our launcher names the only service's folder for all commands; another one has another.
    if given is None or (wish.instance is not None and given == service_home(None, environ)):
        return service_home(wish.instance, environ)
    return given


def service_home(instance: str | None, environ: Mapping[str, str]) -> PureWindowsPath:
    """Return where the files of a service are, unless somebody says otherwise."""
    found = {name.lower(): value for name, value in environ.items()}.get(_DATA)
    return PureWindowsPath(found or _USUAL_DATA) / service_name(instance)


def program_of(
    executable: PureWindowsPath, exists: Callable[[PureWindowsPath], bool]
) -> PureWindowsPath:
    """Return what Windows shall start: our launcher beside Python or above it, else Python."""
    for folder in (executable.parent, executable.parent.parent):
        if exists(folder / LAUNCHER):
            return folder / LAUNCHER
    return executable


def _here() -> tuple[WindowsMachine, PureWindowsPath]:
    if not _ON_WINDOWS:
        return NoWindows(), PureWindowsPath(_USUAL_PROGRAM)
    from cloud_connect_agent.hosting.windows_api import Windows

    executable = PureWindowsPath(sys.executable)
    return Windows(), program_of(executable, lambda path: Path(path).is_file())


def _absolute(home: Path) -> PureWindowsPath:
    path = PureWindowsPath(home.absolute() if _ON_WINDOWS else home)
    if not path.is_absolute():
        raise ConfigurationError(f"{home} is no full path of Windows, such as C:\\Agents\\one.")
    return path


def _enrolled(home: Path) -> bool:
    from cloud_connect_agent.settings import load_settings

    if not _ON_WINDOWS:
        return False
    try:
        return load_settings(home / "agent.toml", environ={}).relay.enrolled
    except ConfigurationError:
        return False


def _remove(home: Path) -> None:
    try:
        shutil.rmtree(home)
    except OSError as exc:
        raise CloudConnectError(
            f"{exc.filename or home} cannot be removed: {exc.strerror}. Close what uses it and run "
            "this again."
        ) from exc
