"""A disk with little room, and what fills it to the last byte."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from doubles.tools import as_root

__all__ = ["fill", "small_disk"]


@contextlib.contextmanager
def small_disk(folder: Path, *, size: int = 1024 * 1024) -> Iterator[None]:
    """Put *folder*, with what is in it, on a disk of its own of *size* bytes."""
    as_root("a disk of its own")
    aside = folder.with_name(f"{folder.name}-before")
    if folder.exists():
        folder.rename(aside)
    folder.mkdir(mode=0o700)
    options = f"size={size},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        if aside.exists():
            shutil.copytree(aside, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Leave not a byte on the disk; deleting the file that it returns makes room again."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 512)
    return ballast
