"""Whether the agent's folders are what they seem, before anything in them is followed or written.

Somebody else on the PC may have made them first, to read what the agent writes there or to have
it write where it should not (cloudflared's CVE-2023-1314 was of this kind).
"""

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.own_account import own_gid, own_uid

__all__ = ["check_folders"]

_ROOT = 0


def check_folders(settings: Path, *, private: Iterable[Path]) -> None:
    """Refuse folders that somebody else made or can write; those that are missing are fine.

    Args:
        settings: The folder of the settings: it and its files may be root's too, or links that
            root or this account made.
        private: Folders whose files only the agent makes. They must be this account's, and
            neither links nor second names of other files.

    Raises:
        ConfigurationError: If one is not as it must be; nothing was touched.
    """
    if sys.platform == "win32":
        from cloud_connect_agent.hosting.windows_folders import check_windows_folders

        check_windows_folders((settings, *private))
    else:
        _check_folders(settings, private)


def _check_folders(settings: Path, private: Iterable[Path]) -> None:
    _check_folder(settings, owners={_ROOT, own_uid()}, links=True)
    if settings.is_dir():
        for file in settings.iterdir():
            if not file.is_dir():
                _check_file(file, owners={_ROOT, own_uid()}, links=True)
    for folder in private:
        _check_folder(folder, owners={own_uid()}, links=False)
        for file in _files_of(folder):
            _check_file(file, owners={own_uid()}, links=False)


def _files_of(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder, followlinks=False):
        for name in (*folders, *files):
            yield Path(place, name)


def _check_folder(path: Path, *, owners: set[int], links: bool) -> None:
    try:
        entry = path.lstat()
        facts = path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise _refusal(path, "is a link to nowhere", "remove it") from None
        return
    if stat.S_ISLNK(entry.st_mode) and not (links and entry.st_uid in owners):
        raise _refusal(path, "is a symbolic link", "put a real folder there")
    if not stat.S_ISDIR(facts.st_mode):
        raise _refusal(path, "is no folder", "remove it")
    if facts.st_uid not in owners:
        raise _foreign(path, facts.st_uid)
    shared = facts.st_mode & stat.S_IWGRP and facts.st_gid != own_gid()
    if shared or facts.st_mode & stat.S_IWOTH:
        raise _refusal(path, "can be written by other accounts", f"run `chmod go-w {path}`")


def _check_file(path: Path, *, owners: set[int], links: bool) -> None:
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return  # it went meanwhile
    if stat.S_ISLNK(facts.st_mode) and not links:
        raise _refusal(path, "is a symbolic link", "put the file itself there")
    if facts.st_uid not in owners:
        raise _foreign(path, facts.st_uid)
    if stat.S_ISREG(facts.st_mode) and facts.st_nlink > 1:
        raise _refusal(path, "has a second name elsewhere (a hard link)", "replace it by a copy")


def _foreign(path: Path, owner: int) -> ConfigurationError:
    return _refusal(
        path,
        f"belongs to another account (number {owner})",
        "run the command as that account, or use a folder of your own",
    )


def _refusal(path: Path, fault: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path} {fault}, so the agent does not touch it. If you did not make it, find out who "
        f"did; else {remedy}."
    )
