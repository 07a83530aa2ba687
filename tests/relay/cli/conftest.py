from pathlib import Path

import pytest

from doubles.relay_commands import Commands


@pytest.fixture(autouse=True)
def _logging_as_before(restored_logging: None) -> None:
    """Let no command's logging outlast its test."""


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith("CLOUD_CONNECT_RELAY_"):
            monkeypatch.delenv(name)


@pytest.fixture
def relay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(data_dir=tmp_path / "data", capsys=capsys)


@pytest.fixture
def initialised(relay: Commands) -> Commands:
    relay.json("init")
    return relay
