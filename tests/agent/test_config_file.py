"""Tests of ``cloud_connect_agent.config_file``."""

import stat
from pathlib import Path

import pytest

from cloud_connect.errors import ConfigurationError
from cloud_connect.file_lock import file_lock
from cloud_connect_agent import config_file
from cloud_connect_agent.config_file import change_settings
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.settings import load_settings


@pytest.fixture
def paths(tmp_path: Path) -> AgentPaths:
    return AgentPaths.of(tmp_path / "home")


def test_settings_are_written_privately_and_comments_stay(paths: AgentPaths) -> None:
    change_settings(paths, {("name",): "pc"})
    with paths.config_file.open("a") as file:
        file.write("# mine\n")
    change_settings(paths, {("relay", "url"): "https://relay.example.com", ("name",): None})
    assert "# mine" in paths.config_file.read_text()
    settings = load_settings(paths.config_file)
    assert (settings.name, settings.relay.url) == ("", "https://relay.example.com")
    assert stat.S_IMODE(paths.config_file.stat().st_mode) == 0o600


def test_a_value_that_is_wrong_leaves_the_file_alone(paths: AgentPaths) -> None:
    change_settings(paths, {("name",): "pc"})
    with pytest.raises(ConfigurationError, match=r"relay\.url"):
        change_settings(paths, {("relay", "url"): "http://relay.example.com"})
    assert paths.config_file.read_text() == 'name = "pc"\n'
    assert not (paths.state_dir / "agent.toml").exists()


def test_changing_nothing_writes_nothing(paths: AgentPaths) -> None:
    change_settings(paths, {})
    assert not paths.config_file.exists()


def test_a_link_to_a_managed_file_stays_a_link(paths: AgentPaths, tmp_path: Path) -> None:
    paths.create()
    managed = tmp_path / "managed.toml"
    managed.write_text("# managed\n")
    paths.config_file.symlink_to(managed)
    change_settings(paths, {("name",): "pc"})
    assert paths.config_file.is_symlink()
    assert managed.read_text() == '# managed\nname = "pc"\n'


def test_one_command_at_a_time(paths: AgentPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_file, "_LOCK_SECONDS", 0.05)
    paths.create()
    with (
        file_lock(paths.state_dir / "config.lock"),
        pytest.raises(ConfigurationError, match="Another command"),
    ):
        change_settings(paths, {("name",): "pc"})


def test_a_file_that_is_not_text_is_named(paths: AgentPaths) -> None:
    paths.create()
    paths.config_file.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        change_settings(paths, {("name",): "pc"})


def test_a_file_that_cannot_be_read_is_named(paths: AgentPaths) -> None:
    paths.create()
    paths.config_file.mkdir()
    with pytest.raises(ConfigurationError, match="cannot be changed"):
        change_settings(paths, {("name",): "pc"})
