"""Brings the agent's files to the format of this version, or leaves them as they were.

Before a step, what it changes is copied into a folder beside it. A step that fails is undone from
there at once, one that a crash cut short at the next start. The copy stays until the next step.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.durable import make_private_dir, sync_dir, write_durably
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.settings import VaultSettings
from cloud_connect_agent.upkeep.state_format import check_format, read_format, write_format
from cloud_connect_agent.vault.choosing import KeyStores, recorded_kind

__all__ = ["MIGRATIONS", "Migration", "migrate"]

log = structlog.get_logger(__name__)

_COMPLETE: Final = "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """A step from one format to the next.

    Attributes:
        title: What it does, for the log.
        changes: The files and folders of the agent that it may change; they are copied before.
        run: Does it; whatever it raises undoes it.
    """

    title: str
    changes: Callable[[AgentPaths], Sequence[Path]]
    run: Callable[[AgentPaths], None]


def _note_vault_kind(paths: AgentPaths) -> None:
    """Write down what keeps the vault's key, which was a file always before it was noted."""
    kind = recorded_kind(paths)
    if kind is not None:
        KeyStores(paths=paths, settings=VaultSettings()).record(kind)


# The step at place N leads from format N to format N + 1.
MIGRATIONS: Final[Sequence[Migration]] = (
    Migration(
        title="note what keeps the vault's key",
        changes=lambda paths: (paths.vault_dir / "kind",),
        run=_note_vault_kind,
    ),
)


def migrate(paths: AgentPaths, *, steps: Sequence[Migration] = MIGRATIONS) -> int:
    """Migrate the files; return how many steps that took. To be done while nothing else uses them.

    Raises:
        ConfigurationError: If they are a newer program's, or a step failed: then they are as
            they were.
    """
    check_format(paths, newest=len(steps))
    try:
        found = read_format(paths)
        if found is None:
            write_format(paths, len(steps))
            return 0
        for number in range(found.format, len(steps)):
            _take(paths, number, steps[number])
    except OSError as exc:
        raise ConfigurationError(
            f"The files in {paths.state_dir} cannot be brought to this version's format: "
            f"{exc.strerror or exc}; they are as they were. Free some disk space or repair the "
            "folder, and start the agent again."
        ) from exc
    return max(0, len(steps) - found.format)


def _take(paths: AgentPaths, number: int, step: Migration) -> None:
    kept = paths.kept_dir(number)
    if (kept / _COMPLETE).exists():  # a crash cut the step short
        log.warning("migration_undone", format=number, reason="it was cut short")
        _put_back(kept, step.changes(paths))
    else:
        _keep(kept, step.changes(paths))
    for former in paths.state_dir.glob("kept-format-*"):
        if former != kept:
            shutil.rmtree(former, ignore_errors=True)
    try:
        step.run(paths)
        write_format(paths, number + 1)
    except Exception as exc:
        _put_back(kept, step.changes(paths))
        shutil.rmtree(kept, ignore_errors=True)
        log.exception("migration_undone", format=number, step=step.title)
        raise ConfigurationError(
            f"The files in {paths.state_dir} could not be brought to format {number + 1} "
            f"({step.title}: {_reason(exc)}); they are as they were. Run the version of the agent "
            "that ran before, and report this."
        ) from exc
    log.info("state_migrated", format=number + 1, step=step.title)


def _keep(kept: Path, changed: Sequence[Path]) -> None:
    """Copy what will be changed; the copy counts once it is complete."""
    shutil.rmtree(kept, ignore_errors=True)
    make_private_dir(kept)
    for place, path in enumerate(changed):
        copy = kept / str(place)
        if path.is_dir():
            shutil.copytree(path, copy)
        elif path.exists():
            shutil.copy2(path, copy)
    _sync_all(kept)
    write_durably(kept / _COMPLETE, b"")


def _put_back(kept: Path, changed: Sequence[Path]) -> None:
    """Make everything as it was, what was not there included; it may be repeated."""
    for place, path in enumerate(changed):
        copy = kept / str(place)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        if copy.is_dir():
            shutil.copytree(copy, path)
        elif copy.exists():
            shutil.copy2(copy, path)
        if path.parent.is_dir():
            sync_dir(path.parent)


def _sync_all(folder: Path) -> None:
    if os.name != "posix":  # elsewhere only who writes a file can have it flushed
        return
    for place, _, files in os.walk(folder):
        for name in files:
            with Path(place, name).open("rb") as file:
                os.fsync(file.fileno())
        sync_dir(Path(place))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
