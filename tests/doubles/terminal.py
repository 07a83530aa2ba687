"""A real terminal with a program in it: keys go in, what a person would see comes out (tmux)."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from doubles.observing import until

__all__ = ["Terminal", "terminal"]

_PATIENCE: Final = 10.0  # seconds for tmux itself, which needs milliseconds
_SHOWN_WITHIN: Final = 30.0  # seconds: the machine may be busy with other tests
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """One window of one tmux server that nobody else uses."""

    def __init__(self, socket: Path) -> None:
        self._socket: Final = socket

    def tmux(self, *arguments: str) -> str:
        """Tell the server something; return what it says."""
        done = subprocess.run(
            ["tmux", "-u", "-f", os.devnull, "-S", str(self._socket), *arguments],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm-256color"},
        )
        return done.stdout

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self.tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        """Type *text* as it is."""
        self.tmux("send-keys", "-l", text)

    def resize(self, columns: int, lines: int) -> None:
        """Make the window another size."""
        self.tmux("resize-window", "-x", str(columns), "-y", str(lines))

    @property
    def text(self) -> str:
        """What is on the screen."""
        return self.tmux("capture-pane", "-p")

    @property
    def coloured(self) -> str:
        """The same, with the codes for colours."""
        return self.tmux("capture-pane", "-p", "-e")

    @property
    def everything(self) -> str:
        """What is on the screen and what has left it at the top."""
        return self.tmux("capture-pane", "-p", "-S", "-")

    def colours_of(self, word: str) -> str:
        """The codes in force where *word* stands on the screen."""
        for line in self.coloured.splitlines():
            before, found, _ = line.partition(word)
            if found:
                codes = _COLOUR.findall(before)
                return codes[-1] if codes else ""
        raise AssertionError(f"{word} is not on the screen:\n{self.text}")

    async def shows(self, *words: str, within: float = _SHOWN_WITHIN) -> None:
        """Wait until all *words* are on the screen."""

        async def seen() -> bool:
            text = self.text
            return all(word in text for word in words)

        try:
            await until(seen, within=within, what="the screen")
        except AssertionError:
            raise AssertionError(f"{words} did not all come on the screen:\n{self.text}") from None

    async def hides(self, word: str, *, within: float = _SHOWN_WITHIN) -> None:
        """Wait until *word* is on the screen no longer."""

        async def gone() -> bool:
            return word not in self.text

        await until(gone, within=within, what=f"the end of {word!r} on the screen")


@asynccontextmanager
async def terminal(
    folder: Path,
    *arguments: str,
    columns: int = 80,
    lines: int = 24,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Terminal]:
    """Run ``cloud-connect arguments`` in a terminal until the block ends.

    When the program ends, the screen says ``ended:`` and its exit status.
    """
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed; `bash .ci/run` installs it")
    variables = {"TERM": "xterm-256color", **(environment or {})}
    words = ["env", *(f"{name}={value}" for name, value in variables.items())]
    words += [sys.executable, "-m", "cloud_connect_agent", *arguments]
    # A socket's name must be short, and pytest's folders are not.
    made = Terminal(Path("/tmp") / f"cc-{uuid.uuid4().hex[:12]}")  # noqa: S108 - see above
    command = f"{shlex.join(words)}; echo ended: $?; exec cat"
    size = ("-x", str(columns), "-y", str(lines))
    made.tmux("new-session", "-d", *size, "-c", str(folder), command)
    try:
        yield made
    finally:
        made.tmux("kill-server")
        made._socket.unlink(missing_ok=True)
