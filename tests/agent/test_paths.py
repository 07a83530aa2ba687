"""Tests of ``cloud_connect_agent.paths``."""

import stat
from pathlib import Path

from cloud_connect_agent.paths import AgentPaths


def test_a_home_holds_everything(tmp_path: Path) -> None:
    paths = AgentPaths.of(tmp_path)
    assert paths.config_file == tmp_path / "agent.toml"
    assert paths.policy_file == tmp_path / "policy.toml"
    for path in (
        paths.vault_dir,
        paths.vault_key_file,
        paths.journal_file,
        paths.generation_file,
        paths.run_lock_file,
        paths.control_socket,
    ):
        assert path.parent == tmp_path / "state"
    assert paths.log_file.parent == tmp_path / "logs"


def test_a_relative_home_does_not_move_with_the_process() -> None:
    assert AgentPaths.of(Path("here")).config_dir.is_absolute()


def test_without_a_home_the_platform_says_where() -> None:
    paths = AgentPaths.of(None)
    assert paths.home is None
    assert paths.config_dir.name == "cloud-connect"
    assert paths.state_dir != paths.config_dir


def test_all_folders_are_made_private(tmp_path: Path) -> None:
    paths = AgentPaths.of(tmp_path / "new")
    paths.create()
    for folder in (paths.config_dir, paths.state_dir, paths.log_dir):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
