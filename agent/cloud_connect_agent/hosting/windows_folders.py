"""The agent's folders on Windows: made for it alone, taken over from nobody, out of its own reach.

Where the folder above lets in nobody else, a new one inherits its list, so that the service keeps
its right to what an administrator's command makes there. Called on Windows only.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.hosting import windows_security
from cloud_connect_agent.hosting.windows_access import (
    owner_fault,
    private_folder_access,
    strangers,
)

__all__ = ["changeable", "check_windows_folders", "make_private_folder"]

_REPARSE_POINT: Final = 0x400  # FILE_ATTRIBUTE_REPARSE_POINT: a link, a junction, a mount


def make_private_folder(folder: Path) -> None:
    """Make *folder*, which lets in the system, administrators, this account and services only.

    Raises:
        OSError: If it cannot be made.
        CloudConnectError: If Windows refuses its list.
    """
    own = windows_security.own_account()
    above = windows_security.access_of(str(folder.parent))
    if above is not None and not strangers(above, own=own):
        folder.mkdir(exist_ok=True)
    elif not folder.is_dir():
        windows_security.make_folder(str(folder), private_folder_access(own))


def check_windows_folders(folders: Iterable[Path]) -> None:
    """Refuse folders that somebody else made, or that lead elsewhere; missing ones are fine.

    Raises:
        ConfigurationError: If one is not as it must be; nothing was touched.
    """
    own = windows_security.own_account()
    for folder in folders:
        try:
            attributes = getattr(folder.lstat(), "st_file_attributes", 0)
        except FileNotFoundError:
            continue
        if attributes & _REPARSE_POINT:
            raise ConfigurationError(
                f"{folder} leads elsewhere (a link or junction), so the agent does not touch it; "
                "put a real folder there."
            )
        access = windows_security.access_of(str(folder))
        fault = None if access is None else owner_fault(str(folder), access, own=own)
        if fault is not None:
            raise ConfigurationError(fault)


def changeable(file: Path) -> bool:
    """Whether this account, if no administrator, could change *file* or put another in its place.

    It is tried, as that counts denials, groups and privileges as Windows does.
    """
    if windows_security.is_administrator():
        return False  # it may do everything anyway
    with contextlib.suppress(OSError):
        os.close(os.open(file, os.O_RDWR))
        return True
    with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=file.parent):
        return True
    return False
