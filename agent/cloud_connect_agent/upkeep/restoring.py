"""Makes an agent of a backup: all of it is read and checked before anything is changed."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from pydantic import ValidationError

from cloud_connect.backup_file import BackupError, BackupHead, nothing_changed, read_backup
from cloud_connect.errors import ConfigurationError, VaultLockedError
from cloud_connect_agent.durable import make_private_dir, sync_dir, write_durably
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.settings import AgentSettings
from cloud_connect_agent.upkeep.saving import AUDIT_FILE, Inventory, config_files, state_files
from cloud_connect_agent.upkeep.state_format import STATE_FORMAT, write_format
from cloud_connect_agent.vault import vault_of

__all__ = ["Restored", "is_used", "restore"]

_MAX_FILE_BYTES: Final = 4 * 1024 * 1024  # settings and policies are far smaller
_MAX_SECRETS: Final = 10_000
_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a backup held.

    Attributes:
        audit_records: Whether the audit log came along.
    """

    head: BackupHead
    inventory: Inventory
    audit_records: bool


@dataclass(slots=True)
class _Content:
    """The backup, read: secrets stay in memory, since nothing may put them on a disk in plain."""

    inventory: Inventory | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    secrets: dict[str, bytes] = field(default_factory=dict)
    audit_records: bool = False


def is_used(paths: AgentPaths) -> bool:
    """Whether there is an agent's configuration or state already."""
    places = (paths.config_file, paths.policy_file, paths.vault_dir, paths.generation_file)
    return any(one.exists() for one in (*places, paths.journal_file, paths.audit_dir))


def restore(
    paths: AgentPaths,
    *,
    file: Path,
    passphrase: str,
    load: Callable[[Path], AgentSettings],
) -> Restored:
    """Replace whatever agent these folders hold by the one in the backup.

    To be done under the run lock. Settings come last: until then the folders hold no agent that
    could run.

    Args:
        load: Reads settings from a file, as a running agent would.

    Raises:
        BackupError: If the backup cannot be read, is a newer version's, or cannot be used here:
            its settings, its secrets, the room that it takes. Nothing has changed.
        OSError: If the disk does not take it, once the agent that was here is gone.
    """
    with ExitStack() as stack:
        with nothing_changed(paths.state_dir):
            made = tempfile.TemporaryDirectory(dir=paths.state_dir, prefix=".restoring-")
            draft = Path(stack.enter_context(made))
            with read_backup(file, passphrase, kind="agent") as backup:
                head, content = backup.head, _Content()
                for member, source in backup.members():
                    _take(content, member, source, audit_dir=draft / "audit")
            inventory = _checked(content, head)
            settings = _settings(content, draft, load)
            _rehearse(paths, content, draft, settings)
        _clear(paths)
        vault = vault_of(paths, settings.vault)
        for secret, value in content.secrets.items():
            vault.write(secret, value)
        if content.audit_records:
            (draft / "audit").rename(paths.audit_dir)
        for name_of, path in state_files(paths).items():
            if name_of in content.files:
                write_durably(path, content.files[name_of])
        write_format(paths, inventory.state_format)
        for name_of, path in config_files(paths).items():
            if name_of in content.files:
                write_durably(path.resolve(), content.files[name_of])
        sync_dir(paths.state_dir)
    return Restored(head=head, inventory=inventory, audit_records=content.audit_records)


def _rehearse(paths: AgentPaths, content: _Content, draft: Path, settings: AgentSettings) -> None:
    """Write what will be written, beside the agent that is here, and drop it."""
    for file in config_files(paths).values():
        with tempfile.TemporaryFile(dir=file.resolve().parent, prefix=".restoring-"):
            pass
    beside = AgentPaths(config_dir=draft, state_dir=draft / "state", log_dir=draft)
    make_private_dir(beside.state_dir)
    try:
        vault = vault_of(beside, settings.vault)
        try:
            for secret, value in content.secrets.items():
                vault.write(secret, value)
        finally:
            vault.destroy()
    except VaultLockedError as exc:
        raise BackupError(
            f"This machine cannot keep the backup's secrets; nothing has changed. {exc.message}"
        ) from exc


def _take(content: _Content, member: str, source: IO[bytes], *, audit_dir: Path) -> None:
    folder, _, name = member.partition("/")
    if member == "inventory.json":
        try:
            content.inventory = Inventory.model_validate_json(_read(source))
        except ValidationError as exc:
            raise BackupError("The backup's inventory cannot be read.") from exc
    elif folder in {"config", "state"}:
        content.files[member] = _read(source)  # only names that are known are ever written
    elif folder == "vault" and len(content.secrets) < _MAX_SECRETS:
        content.secrets[name] = _read(source)
    elif folder == "audit" and AUDIT_FILE.fullmatch(name):
        make_private_dir(audit_dir)
        with (audit_dir / name).open("xb") as copy:
            (audit_dir / name).chmod(0o600)
            shutil.copyfileobj(source, copy, _CHUNK)
        content.audit_records = True


def _read(source: IO[bytes]) -> bytes:
    data = source.read(_MAX_FILE_BYTES + 1)
    if len(data) > _MAX_FILE_BYTES:
        raise BackupError("The backup holds a file that is larger than any of ours.")
    return data


def _checked(content: _Content, head: BackupHead) -> Inventory:
    inventory = content.inventory
    if inventory is None or "config/agent.toml" not in content.files:
        raise BackupError("The backup lacks the agent's settings.")
    if inventory.state_format > STATE_FORMAT:
        raise BackupError(
            f"The backup is of a newer version of the agent ({head.program}, format "
            f"{inventory.state_format}); install that version first."
        )
    return inventory


def _settings(
    content: _Content, draft: Path, load: Callable[[Path], AgentSettings]
) -> AgentSettings:
    file = draft / "agent.toml"
    write_durably(file, content.files["config/agent.toml"])
    try:
        return load(file)
    except ConfigurationError as exc:
        raise BackupError(f"The settings in the backup cannot be used here: {exc.message}") from exc


def _clear(paths: AgentPaths) -> None:
    """Remove the agent that is there, its settings first: half of one must not run."""
    for file in config_files(paths).values():
        file.resolve().unlink(missing_ok=True)
    with contextlib.suppress(VaultLockedError):  # what nobody can name, nobody can open
        vault_of(paths).destroy()
    shutil.rmtree(paths.vault_dir, ignore_errors=True)
    paths.vault_key_file.unlink(missing_ok=True)
    journal = paths.journal_file
    for file in (
        *state_files(paths).values(),
        *journal.parent.glob(f"{journal.name}*"),
        *(paths.decisions_file, paths.waiting_file, paths.format_file),
    ):
        file.unlink(missing_ok=True)
    for folder in (
        *(paths.audit_dir, paths.metadata_dir, paths.spool_dir),
        *paths.state_dir.glob("kept-format-*"),
    ):
        shutil.rmtree(folder, ignore_errors=True)
