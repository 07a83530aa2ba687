"""What the agent stands on: the machine's kind, versions, and who owns its files."""

import locale
import os
import platform
import ssl
import stat
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution, version
from itertools import islice
from pathlib import Path
from typing import Any, Final

from cloud_connect_agent.paths import AgentPaths

__all__ = ["file_list", "machine"]

_DISTRIBUTION: Final = "cloud-connect"
_MOST_FILES: Final = 2000


def machine() -> dict[str, Any]:
    """Return what kind of machine this is; not its name."""
    return {
        "system": platform.system(),
        "release": platform.release(),
        "version": platform.version(),
        "architecture": platform.machine(),
        "processors": os.cpu_count(),
        "python": sys.version,
        "openssl": ssl.OPENSSL_VERSION,
        "encoding": locale.getpreferredencoding(do_setlocale=False),
        "time_zone": time.strftime("%z"),
        "time": _iso(time.time()),
        "packages": [f"{name} {number}" for name, number in _packages()],
    }


def file_list(paths: AgentPaths) -> list[dict[str, Any]]:
    """Return the agent's files: name, size, mode and whose they are; nothing that is in them."""
    folders = {"config": paths.config_dir, "state": paths.state_dir, "logs": paths.log_dir}
    found: dict[Path, dict[str, Any]] = {}
    for label, folder in folders.items():
        for path in islice(_walk(folder), _MOST_FILES):
            name = path.relative_to(folder).as_posix()
            found[path] = {"folder": label, "name": name, **_facts(path)}
    return list(found.values())


def _walk(folder: Path) -> Iterator[Path]:
    if folder.exists():
        yield folder
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted([*folders, *files]):
            yield Path(place, name)


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts = path.lstat()
    except OSError as exc:
        return {"problem": exc.strerror}
    return {
        "kind": _kind(facts.st_mode),
        "mode": f"{stat.S_IMODE(facts.st_mode):04o}",
        "owner": _owner(facts.st_uid),
        "bytes": facts.st_size,
        "modified": _iso(facts.st_mtime),
    }


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "folder", stat.S_IFREG: "file", stat.S_IFLNK: "link"}
    return kinds.get(stat.S_IFMT(mode), "other")


if sys.platform == "win32":

    def _owner(number: int) -> str:  # noqa: ARG001 - there is no such number there
        return "unknown"

else:

    def _owner(number: int) -> str:
        """Say whose a file is, without an account's name."""
        if number == os.geteuid():
            return "this account"
        return "root" if number == 0 else f"account {number}"


def _packages() -> Iterator[tuple[str, str]]:
    """Yield what is installed of that which we need."""
    names = {_DISTRIBUTION}
    for wanted in distribution(_DISTRIBUTION).requires or ():
        name = wanted.split(";")[0]
        for sign in "[<>=!~ ":
            name = name.split(sign)[0]
        names.add(name)
    for name in sorted(names):
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")[:-6] + "Z"
