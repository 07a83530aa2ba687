"""Programs of the system that tests run; a machine without one skips its tests by name."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

__all__ = ["as_root", "tool"]

# What only nightly tests need, and what installs it.
INSTALLED_AT_NIGHT: Final = dict.fromkeys(
    ("buildah", "debootstrap", "systemd-nspawn"), "bash tests/system/set-up"
)


def as_root(what: str) -> None:
    """Skip the test unless it runs as root, which *what* takes."""
    if os.geteuid() != 0:
        pytest.skip(f"{what} takes root")


def tool(name: str, *, folders: Iterable[Path] = ()) -> str:
    """Return where a program is, or skip the test.

    Args:
        folders: Where to look besides ``PATH`` and ``/usr/sbin``.
    """
    places = (*map(str, folders), os.environ["PATH"], "/usr/sbin")
    path = shutil.which(name, path=os.pathsep.join(places))
    if path is None:
        by = INSTALLED_AT_NIGHT.get(name, "bash .ci/run")
        pytest.skip(f"{name} is not installed; `{by}` installs it")
    return path
