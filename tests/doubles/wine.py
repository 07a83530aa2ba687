"""Windows programs under Wine, which see one folder of this machine and nothing else of it.

Programs under Wine take a link to a folder for the folder itself, and a prefix is full of links to
the home folder of whoever made it: a Windows program that removes a folder with all that is in it
removes that one, too. So nothing of Wine ever runs outside a sandbox (bubblewrap) that has the
system's programs, to read only, and the test's own folder.

Three more traps: a prefix's first program must not have a pipe, since the services that it starts
keep it open; Windows' Python dies when its output is a plain file; and every call needs an end.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import pytest

__all__ = ["Said", "Wine", "wine_machine"]

TOOLS: Final = (
    "bwrap",
    "wine",
    "wineserver",
    "x86_64-w64-mingw32-gcc",
    "wixl",
    "wixl-heat",
    "msiinfo",
    "uv",
)
# With DISPLAY it would want a screen; with the others Windows' programs would use and clear folders
# of this machine.
LEFT_OUT: Final = frozenset({"DISPLAY", "TMPDIR", "TEMP", "TMP", "PYTEST_DEBUG_TEMPROOT"})
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


INSIDE: Final = PurePosixPath("/wine")  # where a program of the sandbox finds the test's folder
SANDBOX: Final = (
    "bwrap",
    *("--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc"),
    *("--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib"),
    *("--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev"),
    # Without it, whoever made the sandbox is its like: /proc/PID/root would be the whole machine.
    *("--unshare-user", "--cap-drop", "ALL", "--clearenv", "--setenv", "PATH", "/usr/bin:/bin"),
    *("--setenv", "HOME", str(INSIDE / "home"), "--setenv", "LANG", "C.UTF-8"),
    *("--setenv", "WINEPREFIX", str(INSIDE / "prefix"), "--setenv", "WINEARCH", "win64"),
    *("--setenv", "WINEDEBUG", "-all"),
    *("--setenv", "WINEDLLOVERRIDES", "mscoree,mshtml="),  # asks nobody to install them
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wine:
    """A Windows of a test's own.

    Attributes:
        folder: All of this machine that it may write, or see beside the system's programs.
        sources: A folder that it may read, if any, as ``/sources``.
    """

    folder: Path
    sources: Path | None = None

    @property
    def drive(self) -> Path:
        """``C:\\``."""
        return self.folder / "prefix/drive_c"

    def sandboxed(
        self,
        *words: str | Path,
        environment: Mapping[str, str] | None = None,
        at: str = str(INSIDE / "home"),
    ) -> list[str]:
        """Return the command that runs a program where it can do no harm.

        Args:
            words: A path below the folder becomes what the program knows it by.
            at: The current folder, as the sandbox calls it.
        """
        seen = ("--ro-bind", str(self.sources), "/sources") if self.sources else ()
        added = (environment or {}).items()
        return [
            *SANDBOX,
            *("--bind", str(self.folder), str(INSIDE), "--bind", str(self.folder / "tmp"), "/tmp"),  # noqa: S108 - the sandbox's
            *seen,
            *(word for name, value in added for word in ("--setenv", name, value)),
            *("--chdir", at, "--"),
            *(str(self._inside(word)) if isinstance(word, Path) else word for word in words),
        ]

    def _inside(self, path: Path) -> PurePosixPath:
        return INSIDE / path.relative_to(self.folder)

    def start(
        self,
        *words: str | Path,
        environment: Mapping[str, str] | None = None,
        at: str = str(INSIDE / "home"),
    ) -> subprocess.Popen[bytes]:
        """Start a Windows program; its output and errors are pipes."""
        return subprocess.Popen(
            self.sandboxed("wine", *words, environment=environment, at=at),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(
        self,
        *words: str | Path,
        given: str = "",
        within: float = 60.0,
        environment: Mapping[str, str] | None = None,
        at: str = str(INSIDE / "home"),
    ) -> Said:
        """Run a program to its end."""
        process = self.start(*words, environment=environment, at=at)
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
        for link in (self.drive / "users").rglob("*"):
            if link.is_symlink():  # to the home folder: Windows' programs would take it for one
                link.unlink()
                link.mkdir()

    def shut_down(self) -> None:
        """End all programs of this prefix, and only those."""
        self._quietly("wineserver", "-k")
        self._quietly("wineserver", "-w")

    def _quietly(self, *words: str) -> None:
        subprocess.run(
            self.sandboxed(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            timeout=120,
            check=False,
        )

    def windows_path(self, path: Path) -> str:
        """Return how Windows' programs call a file of drive C:."""
        return "C:\\" + str(path.relative_to(self.drive)).replace("/", "\\")

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
def wine_machine(folder: Path, *, sources: Path | None = None) -> Iterator[Wine]:
    """Make a Windows in an empty folder, and end all that runs in it."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed; `bash tests/wine/set-up` installs it")
    for name in ("home", "prefix", "tmp"):
        (folder / name).mkdir(parents=True)
    wine = Wine(folder=folder, sources=sources)
    _check_sandbox(wine)
    try:
        wine.boot()
        _add_shim(wine)
        yield wine
    finally:
        wine.shut_down()


def _check_sandbox(wine: Wine) -> None:
    """Refuse to run anything of Windows' where it could reach what is not the test's."""
    script = (  # the second door to a file system is that of another process
        "for root in / /proc/[0-9]*/root/; do ls -A $root 2>/dev/null; done; "
        "touch /usr/reached /etc/reached /sources/reached"
    )
    said = subprocess.run(
        wine.sandboxed("sh", "-c", script), capture_output=True, text=True, timeout=20, check=False
    )
    seen = set(said.stdout.split())
    assert seen <= {"bin", "dev", "etc", "lib", "lib64", "proc", "sources", "tmp", "usr", "wine"}, (
        seen
    )
    assert seen, said.stderr
    assert said.returncode != 0, "the sandbox can write outside the test's folder"
    reached = [Path("/usr/reached"), Path("/etc/reached")]
    assert not any(path.exists() for path in reached)


def _add_shim(wine: Wine) -> None:
    """Put the library that Wine lacks where Windows has it."""
    target = wine.drive / "windows/system32/bcryptprimitives.dll"
    compiler = ("x86_64-w64-mingw32-gcc", "-shared", "-O2", "-x", "c", "-", "-o", str(target))
    subprocess.run((*compiler, "-ladvapi32"), input=SHIM.encode(), check=True, timeout=60)
