"""The disk: room, whether it takes anything, and how fast it keeps a promise."""

import asyncio
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

from cloud_connect_agent.doctor.case import Case
from cloud_connect_agent.doctor.codes import Code
from cloud_connect_agent.doctor.findings import Finding, failed, not_checked, passed, warned
from cloud_connect_agent.durable import NO_ROOM

__all__ = ["check_disk"]

_MIB: Final = 1024 * 1024
_LOW_BYTES: Final = 256 * _MIB  # the journal and the audit log grow by that in a busy week
_PROBE_BYTES: Final = 64 * 1024
_SLOW_SECONDS: Final = 0.5  # for one fsync: each write waits for two of them


async def check_disk(case: Case) -> Finding:
    """State and logs can be written, there is room, and what is written is kept soon enough."""
    paths = case.paths
    worst: Finding | None = None
    facts = []
    for folder in (paths.state_dir, paths.log_dir):
        try:
            place = await asyncio.to_thread(_existing, folder)
        except OSError as exc:
            return _refused(case, folder, exc)
        try:
            seconds, free = await asyncio.to_thread(_probe, place)
        except OSError as exc:
            return _refused(case, place, exc)
        facts.append((free, seconds))
        worst = worst or _warning(place, free, seconds)
    free, seconds = min(one[0] for one in facts), max(one[1] for one in facts)
    return worst or passed(
        f"{_size(free)} are free; what is written is on the disk in {seconds * 1000:.0f} ms."
    )


def _probe(folder: Path) -> tuple[float, int]:
    """Write a file without a name, make it durable and forget it.

    Returns:
        The seconds that the second took, and the bytes that are free.
    """
    with tempfile.TemporaryFile(dir=folder, prefix=".doctor-") as file:
        file.write(b"\0" * _PROBE_BYTES)
        file.flush()
        began = time.monotonic()
        os.fsync(file.fileno())
        seconds = time.monotonic() - began
    return seconds, shutil.disk_usage(folder).free


def _existing(folder: Path) -> Path:
    """Return the folder, or the one that it will be made in."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _refused(case: Case, folder: Path, error: OSError) -> Finding:
    if isinstance(error, PermissionError) and case.owner is not None:
        return not_checked("the files belong to another account, see files")
    if error.errno in NO_ROOM:
        return failed(
            Code.DISK_FULL,
            f"The disk under {folder} is full: the agent can record nothing, and refuses writes.",
            "Make room there; the agent goes on by itself within seconds.",
        )
    return failed(
        Code.DISK_NOT_WRITABLE,
        f"{folder} cannot be written: {error.strerror or type(error).__name__}.",
        "Give the folder to the account that runs the agent, or run this command as that account; "
        "if the disk is mounted read-only, look for its errors in the system's log.",
    )


def _warning(folder: Path, free: int, seconds: float) -> Finding | None:
    if free < _LOW_BYTES:
        return warned(
            Code.DISK_LOW,
            f"Only {_size(free)} are free under {folder}.",
            f"Make room: with less than {_size(_LOW_BYTES)} the record of calls may soon not fit.",
        )
    if seconds > _SLOW_SECONDS:
        return warned(
            Code.DISK_SLOW,
            f"The disk under {folder} takes {seconds:.1f} s to keep what is written; each write to "
            "Procore waits for that twice.",
            "Look for what keeps the disk busy, such as a virus scanner or a backup; put the "
            "state on a local disk, not on a network share.",
        )
    return None


def _size(count: int) -> str:
    return f"{count / _MIB / 1024:.1f} GiB" if count >= 1024 * _MIB else f"{count / _MIB:.1f} MiB"
