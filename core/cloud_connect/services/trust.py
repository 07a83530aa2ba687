"""Whether a program may be run as a service: nobody but root can change it, and it is reachable."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Program", "hidden_from_services", "program_faults"]

_ROOT: Final = 0
# ProtectHome=yes and PrivateTmp=yes of the units hide them.
_HIDDEN: Final = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - not used


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """An installation of ours.

    Attributes:
        file: What is run.
        folders: All of what it loads that pip installed: its environment, and where our packages
            are if that is elsewhere.
        interpreter: Which Python runs it, links followed.
    """

    file: Path
    folders: tuple[Path, ...]
    interpreter: Path


def hidden_from_services(path: Path) -> bool:
    """Whether a confined service does not see *path*."""
    return any(path.is_relative_to(folder) for folder in _HIDDEN)


def program_faults(program: Program) -> list[str]:
    """Return why *program* must not be run as a service, each with its remedy; at best none."""
    faults = [
        (
            f"A service does not see {path}: make the environment in /opt with the system's "
            "Python (`/usr/bin/python3 -m venv /opt/cloud-connect`), install there, and run "
            "its `service install`."
        )
        for path in (program.file, program.interpreter)
        if hidden_from_services(path)
    ]
    if not program.file.is_file():
        faults.append(f"There is no program {program.file}; install Cloud Connect with pip.")
    if faults:
        return faults
    for path in _ways((program.file, program.interpreter, *program.folders)):
        facts = path.stat()
        if _changeable(facts):
            return [_can_be_changed(path, give=path)]
        if not facts.st_mode & (stat.S_IXOTH if path.is_dir() else stat.S_IROTH):
            return [_cannot_be_read(path)]
    for folder in program.folders:
        for path in _files(folder):
            if _changeable(path.lstat()):
                return [_can_be_changed(path, give=folder)]
    return []


def _can_be_changed(path: Path, *, give: Path) -> str:
    return (
        f"{path} can be changed by other accounts than root, who would get the service's rights "
        f"so: run `chown -R root:root {give} && chmod -R go-w {give}`, and check what is in it."
    )


def _cannot_be_read(path: Path) -> str:
    return (
        f"The service's account cannot read {path}: run `chmod a+rX {path}` (and `chmod -R a+rX` "
        "for an environment that was made with a strict umask)."
    )


def _ways(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield each path and the folders above it, once."""
    seen = set()
    for path in paths:
        for step in (path, *path.absolute().parents):
            if step not in seen:
                seen.add(step)
                yield step


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder, followlinks=False):
        for name in (*folders, *files):
            yield Path(place, name)


def _changeable(facts: os.stat_result) -> bool:
    """Whether another account than root could change it, or what is in it."""
    if facts.st_uid != _ROOT:
        return True
    if stat.S_ISLNK(facts.st_mode):
        return False  # a link's mode means nothing
    if stat.S_ISDIR(facts.st_mode) and facts.st_mode & stat.S_ISVTX:
        return False  # what is in it can be changed by its owner alone
    shared = facts.st_mode & stat.S_IWGRP and facts.st_gid != _ROOT
    return bool(shared or facts.st_mode & stat.S_IWOTH)
