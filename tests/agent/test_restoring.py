"""Restoring where it cannot be done: the agent that is there must outlive the attempt."""

import shutil
from pathlib import Path

import pytest

from cloud_connect.backup_file import BackupError
from cloud_connect.signing import SigningKey
from cloud_connect_agent.identity import AgentKeys
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.settings import load_settings
from cloud_connect_agent.upkeep.restoring import restore
from cloud_connect_agent.upkeep.saving import save
from cloud_connect_agent.vault import vault_of
from doubles.examined import home_by_hand
from doubles.small_disk import fill, small_disk

PASSPHRASE = "correct horse battery staple"


async def agent_in(folder: Path, *, more: str = "") -> AgentPaths:
    """Make an agent with a key."""
    paths = AgentPaths.of(home_by_hand(folder, more=more))
    paths.create()
    await AgentKeys(vault_of(paths)).adopt(SigningKey.generate())
    return paths


def backup_of(paths: AgentPaths, file: Path) -> Path:
    relay = load_settings(paths.config_file).relay
    save(paths, vault_of(paths), relay, file=file, passphrase=PASSPHRASE)
    return file


def restored(paths: AgentPaths, file: Path) -> None:
    restore(paths, file=file, passphrase=PASSPHRASE, load=load_settings)


def content(paths: AgentPaths) -> dict[str, bytes]:
    """Return every file of an agent."""
    files = [file for file in paths.config_dir.rglob("*") if file.is_file()]
    return {str(file.relative_to(paths.config_dir)): file.read_bytes() for file in files}


async def test_backup_whose_vault_this_machine_does_not_have_costs_the_agent_here_nothing(
    tmp_path: Path,
) -> None:
    asking = '[vault]\nkey = "systemd-credential"'
    elsewhere = await agent_in(tmp_path / "elsewhere", more=asking)
    file = backup_of(elsewhere, tmp_path / "pc.backup")
    here = await agent_in(tmp_path / "here")
    before = content(here)
    with pytest.raises(BackupError, match=r"cannot keep .* nothing has changed.*systemd-run"):
        restored(here, file)
    assert content(here) == before


async def test_backup_that_finds_no_room_costs_the_agent_here_nothing(tmp_path: Path) -> None:
    file = backup_of(await agent_in(tmp_path / "elsewhere"), tmp_path / "pc.backup")
    here = await agent_in(tmp_path / "here")
    with small_disk(here.state_dir):
        ballast = fill(here.state_dir)
        before = content(here)
        with pytest.raises(BackupError, match="nothing has changed"):
            restored(here, file)
        assert content(here) == before
        ballast.unlink()
        restored(here, file)
    assert "rel_1" in here.config_file.read_text()


async def test_backup_is_whole_on_a_machine_that_takes_it(tmp_path: Path) -> None:
    elsewhere = await agent_in(tmp_path / "elsewhere")
    file = backup_of(elsewhere, tmp_path / "pc.backup")
    key = (await AgentKeys(vault_of(elsewhere)).load()).public_key
    shutil.rmtree(elsewhere.config_dir)
    here = await agent_in(tmp_path / "here")
    restored(here, file)
    assert (await AgentKeys(vault_of(here)).load()).public_key == key
    assert not list(here.config_dir.rglob(".restoring-*"))
