"""Tests of ``cloud_connect_agent.vault.opening``."""

import stat
from pathlib import Path

import pytest

from cloud_connect.errors import VaultLockedError
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.vault import open_vault


async def test_the_state_folder_is_made_for_this_account_only(tmp_path: Path) -> None:
    paths = AgentPaths.of(tmp_path / "home" / "deeper")
    async with open_vault(paths) as vault:
        await vault.put("identity", b"x")
    assert stat.S_IMODE(paths.state_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(paths.config_dir.stat().st_mode) == 0o700


@pytest.fixture
def prepared(tmp_path: Path) -> AgentPaths:
    return AgentPaths.of(tmp_path)


async def test_a_state_folder_open_to_others_is_refused(prepared: AgentPaths) -> None:
    prepared.state_dir.mkdir(mode=0o700)
    prepared.state_dir.chmod(0o770)
    with pytest.raises(VaultLockedError, match="chmod 700"):
        async with open_vault(prepared):
            pass


async def test_a_state_folder_that_is_a_link_is_refused(
    prepared: AgentPaths, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    prepared.state_dir.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(VaultLockedError, match="symbolic link"):
        async with open_vault(prepared):
            pass


async def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VaultLockedError, match="cannot be used"):
        async with open_vault(AgentPaths.of(tmp_path / "file")):
            pass
