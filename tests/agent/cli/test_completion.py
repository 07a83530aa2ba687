"""Tests of ``cloud-connect completion``, in the shells themselves where there are some."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli.conftest import Cli

SHELLS = ("bash", "zsh", "fish", "powershell")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with the command in it, as an installation has one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "cloud-connect"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cloud_connect_agent "$@"\n')
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script(cli: Cli, shell: str) -> None:
    ended = cli("completion", shell)
    assert ended.status == 0
    assert "cloud-connect" in ended.output
    assert "_CLOUD_CONNECT_COMPLETE" in ended.output
    assert not ended.errors


def completed(program: Path, script: str, *words: str) -> list[str]:
    """Have a bash complete the last of *words*."""
    line = " ".join(f"'{word}'" for word in words)
    ended = subprocess.run(
        ["bash", "--norc"],
        input=(
            f"{script}\nCOMP_WORDS=(cloud-connect {line})\nCOMP_CWORD={len(words)}\n"
            "_cloud_connect_completion cloud-connect\n"
            'printf "%s\\n" "${COMPREPLY[@]}"\n'
        ),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={**os.environ, "PATH": f"{program}:{os.environ['PATH']}"},
    )
    assert not ended.stderr
    return ended.stdout.split()


def test_bash_completes_commands_options_and_values(cli: Cli, program: Path) -> None:
    script = cli("completion", "bash").output
    assert completed(program, script, "supp") == ["support-bundle"]
    assert completed(program, script, "config", "") == ["check", "show"]
    assert "--preview" in completed(program, script, "support-bundle", "--")
    assert completed(program, script, "wait", "--for", "d") == ["drained"]


def test_powershell_is_answered_as_its_script_asks(cli: Cli) -> None:
    asked = {
        "_CLOUD_CONNECT_COMPLETE": "powershell_complete",
        "COMP_WORDS": "cloud-connect wait --for s",
        "COMP_CWORD": "3",
    }
    ended = cli(**asked)
    assert ended.output.split("\n")[:3] == ["plain", "stopped", "_"]


def test_zsh_takes_the_script_as_its_own(cli: Cli, tmp_path: Path) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed; `bash .ci/run` installs it")
    script = tmp_path / "_cloud-connect"
    script.write_text(cli("completion", "zsh").output)
    loaded = subprocess.run(
        [
            "zsh",
            "-fc",
            f"autoload -U compinit; compinit -D; source {script}; print $_comps[cloud-connect]",
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert loaded.stdout.strip() == "_cloud_connect_completion"
