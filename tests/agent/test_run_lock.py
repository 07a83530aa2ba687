"""Tests of ``cloud_connect_agent.run_lock``."""

from pathlib import Path

import pytest

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.run_lock import AlreadyRunningError, run_lock


def test_a_second_agent_on_one_home_is_refused(tmp_path: Path) -> None:
    paths = AgentPaths.of(tmp_path / "home")
    with (
        run_lock(paths),
        pytest.raises(AlreadyRunningError, match="already running"),
        run_lock(paths),
    ):
        pass
    with run_lock(paths):
        pass


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigurationError, match="cannot be made"),
        run_lock(AgentPaths.of(tmp_path / "file" / "home")),
    ):
        pass


def test_folders_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    paths = AgentPaths.of(tmp_path)
    paths.create()
    paths.run_lock_file.mkdir()
    with pytest.raises(ConfigurationError, match="state cannot be written"), run_lock(paths):
        pass
