"""Windows programs under Wine: a prefix of a test's own, and Windows' Python with the agent.

Three things that cost an afternoon to find: a prefix's first program must not have a pipe, since
the services that it starts keep it open; Windows' Python dies when its output is a plain file; and
every call needs an end.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

__all__ = ["Said", "Wine", "shim", "wine_prefix"]

TOOLS: Final = ("wine", "wineserver", "x86_64-w64-mingw32-gcc", "wixl", "wixl-heat", "msiinfo", "uv")
# Wine 8.0 lacks the library that Rust's programs draw random bytes from; Windows has it since 8.
SHIM: Final = """
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T count)
{
    while (count) {
        ULONG some = count > 0x10000000 ? 0x10000000 : (ULONG)count;
        if (!SystemFunction036(bytes, some))
            return FALSE;
        bytes += some;
        count -= some;
    }
    return TRUE;
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How a program ended."""

    status: int
    output: str
    errors: str

    def checked(self) -> "Said":
        """Return it if the program succeeded."""
        assert self.status == 0, f"status {self.status}\n{self.output}\n{self.errors}"
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Wine:
    """A Windows of a test's own."""

    prefix: Path

    @property
    def drive(self) -> Path:
        """``C:\\``."""
        return self.prefix / "drive_c"

    @property
    def environment(self) -> dict[str, str]:
        """What makes a program run in this prefix, without a screen and without Wine's remarks."""
        kept = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
        return {
            **kept,
            "WINEPREFIX": str(self.prefix),
            "WINEARCH": "win64",
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml=",  # asks nobody to install them
        }

    def start(
        self,
        *words: str | Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program; its output and errors are pipes."""
        return subprocess.Popen(
            ["wine", *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**self.environment, **(environment or {})},
            cwd=folder,
            start_new_session=True,
        )

    def run(
        self,
        *words: str | Path,
        given: str = "",
        within: float = 60.0,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> Said:
        """Run a program to its end."""
        process = self.start(*words, environment=environment, folder=folder)
        try:
            output, errors = process.communicate(given.encode(), timeout=within)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate(timeout=10)
            raise AssertionError(
                f"{words} took over {within:.0f} s\n{_text(output)}\n{_text(errors)}"
            ) from None
        return Said(status=process.returncode, output=_text(output), errors=_text(errors))

    def boot(self) -> None:
        """Start Windows: services that start by themselves do so."""
        self._quietly("wineserver", "-p600")
        self._quietly("wine", "wineboot")

    def shut_down(self) -> None:
        """End all programs of this prefix, and only those."""
        self._quietly("wineserver", "-k")
        self._quietly("wineserver", "-w")

    def _quietly(self, *words: str) -> None:
        subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.environment,
            start_new_session=True,
            timeout=120,
            check=False,
        )

    def windows_path(self, path: Path) -> str:
        """Return how Windows' programs call a file of this machine."""
        if path.is_relative_to(self.drive):
            return "C:\\" + str(path.relative_to(self.drive)).replace("/", "\\")
        return "Z:" + str(path).replace("/", "\\")

    def until(self, holds: Callable[[], bool], *, within: float, what: str) -> float:
        """Wait until something holds; return the seconds that it took."""
        begun = time.monotonic()
        while not holds():
            assert time.monotonic() - begun < within, f"no {what} within {within:.0f} s"
            time.sleep(0.2)
        return time.monotonic() - begun


def _text(said: bytes) -> str:
    return said.decode(errors="replace").replace("\r\n", "\n")


@contextmanager
def wine_prefix(folder: Path) -> Iterator[Wine]:
    """Make a prefix, and end all that runs in it."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed; `bash tests/wine/set-up` installs it")
    wine = Wine(prefix=folder)
    try:
        wine.boot()
        shim(wine)
        yield wine
    finally:
        wine.shut_down()


def shim(wine: Wine) -> None:
    """Put the library that Wine lacks where Windows has it."""
    target = wine.drive / "windows/system32/bcryptprimitives.dll"
    compiler = ("x86_64-w64-mingw32-gcc", "-shared", "-O2", "-x", "c", "-", "-o", str(target))
    subprocess.run((*compiler, "-ladvapi32"), input=SHIM.encode(), check=True, timeout=60)
