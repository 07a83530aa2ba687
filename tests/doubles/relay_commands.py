"""The relay's command line, run in this process or in one of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cloud_connect_relay.cli import main
from doubles.canaries import remember_document

READY_TIMEOUT = 60.0  # seconds: the machine may be busy with other tests


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a command said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        document = json.loads(self.out)
        remember_document("relay", document)
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Runs commands on one data folder, in this process."""

    data_dir: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Told:
        with pytest.raises(SystemExit) as ended:
            main(["--data-dir", str(self.data_dir), *arguments])
        said = self.capsys.readouterr()
        return Told(status=int(ended.value.code or 0), out=said.out, err=said.err)

    def json(self, *arguments: str) -> Any:
        told = self(*arguments, "--json")
        assert told.status == 0, told.err
        return told.json


@contextmanager
def served(
    data_dir: Path, *arguments: str, ends_with: int = 0
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Run ``serve`` in a process of its own until the block ends; yields its first line."""
    command = (sys.executable, "-m", "cloud_connect_relay", "--data-dir", str(data_dir), "serve")
    with subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline()
            if process.poll() is None:
                process.terminate()
            _, said = process.communicate(timeout=40)
            assert process.returncode == ends_with, said
            assert "Traceback" not in said
        finally:
            if process.poll() is None:
                process.kill()
