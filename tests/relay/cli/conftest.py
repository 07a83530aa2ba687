import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from doubles.relay_commands import Commands


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Undo what a command configures for its process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


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
