"""A Debian in a folder, from where this machine gets its own packages."""

import re
import subprocess
from pathlib import Path

from doubles.tools import tool

__all__ = ["SUITE", "carried_out", "make_debian"]

SUITE = "bookworm"


def make_debian(root: Path, *packages: str) -> None:
    """Install the smallest Debian with these packages."""
    chosen = f"--include={','.join(packages)}"
    carried_out(tool("debootstrap"), "--variant=minbase", chosen, SUITE, root, _mirror())


def carried_out(*words: object, folder: Path | None = None) -> str:
    """Run a command to its end; return what it printed.

    Raises:
        AssertionError: If it failed.
    """
    command = [str(word) for word in words]
    ran = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=900, check=False
    )
    assert ran.returncode == 0, f"{command}: {ran.stderr or ran.stdout}"
    return ran.stdout


def _mirror() -> str:
    for sources in sorted(Path("/etc/apt").glob("sources.list*")):
        for file in [sources] if sources.is_file() else sorted(sources.iterdir()):
            found = re.search(r"^(?:URIs:|deb(?: \[.*\])?)\s+(\S+)", file.read_text(), re.MULTILINE)
            if found:
                return found[1]
    raise AssertionError("no source of packages is configured")
