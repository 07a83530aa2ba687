"""What of an agent goes into a backup, in an order that fits while the agent runs."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from cloud_connect.backup_file import BackupError, BackupWriter, seal_backup
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.settings import RelaySettings
from cloud_connect_agent.upkeep.state_format import STATE_FORMAT, read_format
from cloud_connect_agent.vault.encrypted import EncryptedVault
from cloud_connect_agent.version import VERSION

__all__ = ["AUDIT_FILE", "Inventory", "config_files", "save", "state_files"]

AUDIT_FILE: Final = re.compile(r"log|relay|checkpoints|\d{12}\.ndjson", re.ASCII)


class Inventory(BaseModel):
    """The first member: whose backup it is, and which format its files have."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state_format: int = Field(ge=0, le=1_000_000)
    connector_id: str = Field(default="", max_length=64)
    relay: str = Field(default="", max_length=2000)


def config_files(paths: AgentPaths) -> dict[str, Path]:
    """Return the files of the configuration by their names in a backup; settings come last."""
    return {
        "config/policy.toml": paths.policy_file,
        "config/approvals.json": paths.approvals_file,
        "config/agent.toml": paths.config_file,
    }


def state_files(paths: AgentPaths) -> dict[str, Path]:
    """Return the small files of the state by their names in a backup.

    The journal of writes is none of them: it would be out of date the moment after, and a journal
    that lacks writes is worse than one that says since when it is complete.
    """
    return {
        "state/generation": paths.generation_file,
        "state/key-age": paths.key_age_file,
        "state/pause.json": paths.pause_file,
    }


def save(
    paths: AgentPaths,
    vault: EncryptedVault,
    relay: RelaySettings,
    *,
    file: Path,
    passphrase: str,
    with_audit: bool = True,
) -> int:
    """Write the backup *file*; return its bytes.

    Args:
        with_audit: The audit log is most of it.

    Raises:
        BackupError: If it cannot be written, or a file of the agent cannot be read.
        VaultLockedError: If the vault cannot be opened.
    """
    found = read_format(paths)
    inventory = Inventory(
        state_format=STATE_FORMAT if found is None else found.format,
        connector_id=relay.connector_id or "",
        relay=relay.url or "",
    )
    with seal_backup(
        file, passphrase, kind="agent", program=VERSION, made_at=time.time()
    ) as backup:
        backup.add("inventory.json", inventory.model_dump_json().encode())
        for name, path in {**state_files(paths), **config_files(paths)}.items():
            _add(backup, name, path)
        for secret in vault.names():
            value = vault.read(secret)
            if value is not None:
                backup.add(f"vault/{secret}", value)
        if with_audit:
            for path in _audit_files(paths.audit_dir):
                _add(backup, f"audit/{path.name}", path)
    return file.stat().st_size


def _audit_files(folder: Path) -> Iterator[Path]:
    """Yield the log's files: signatures before records, so that none is of a record not copied."""
    if not folder.is_dir():
        return
    known = [path for path in folder.iterdir() if AUDIT_FILE.fullmatch(path.name)]
    yield from sorted(known, key=lambda path: (path.suffix == ".ndjson", path.name))


def _add(backup: BackupWriter, name: str, path: Path) -> None:
    try:
        with path.open("rb") as source:
            size = os.fstat(source.fileno()).st_size  # what is appended meanwhile is left out
            backup.copy(name, source, size)
    except FileNotFoundError:
        return
    except OSError as exc:
        if exc.filename == str(path):
            raise BackupError(f"{path} cannot be read: {exc.strerror}.") from exc
        raise
