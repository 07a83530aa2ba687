"""The machine that a service is installed on: its files, accounts and programs."""

import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from cloud_connect.errors import CloudConnectError

__all__ = ["Account", "Host", "LocalHost", "Ran"]

_SECONDS: Final = 120.0  # a service that starts or stops may take its time


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Numbers of an account and its group."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a program ended."""

    status: int
    output: str = ""
    errors: str = ""

    @property
    def complaint(self) -> str:
        """What it said went wrong, in one line."""
        lines = (self.errors or self.output).strip().splitlines()
        return lines[-1].strip() if lines else f"it ended with status {self.status}"


class Host(Protocol):
    """A machine; paths are its own, so that one that is only a folder can be worked on, too."""

    @property
    def is_administrator(self) -> bool:
        """Whether this process may change the machine."""
        ...

    def at(self, path: Path) -> Path:
        """Return where this process finds the machine's *path*."""
        ...

    def account(self, name: str) -> Account | None:
        """Return the account and the group of that name, if both are there."""
        ...

    def has(self, program: str) -> bool:
        """Whether a program of the system is installed."""
        ...

    def run(self, *command: str, stdin: bytes = b"") -> Ran:
        """Run a program of the system."""
        ...


class LocalHost:
    """This machine."""

    @property
    def is_administrator(self) -> bool:
        """Whether this process may change the machine."""
        return sys.platform != "win32" and os.geteuid() == 0

    def at(self, path: Path) -> Path:
        """Return *path*."""
        return path

    def account(self, name: str) -> Account | None:
        """Return the account and the group of that name, if both are there."""
        found = None
        if sys.platform != "win32":  # there, accounts have no numbers
            import grp
            import pwd

            with contextlib.suppress(KeyError):
                found = Account(uid=pwd.getpwnam(name).pw_uid, gid=grp.getgrnam(name).gr_gid)
        return found

    def has(self, program: str) -> bool:
        """Whether a program of the system is installed."""
        return shutil.which(program, path=_PATH) is not None

    def run(self, *command: str, stdin: bytes = b"") -> Ran:
        """Run a program of the system.

        Raises:
            CloudConnectError: If it is not installed, or does not end.
        """
        try:
            ran = subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
                env={"PATH": _PATH, "LANG": "C.UTF-8", "SYSTEMD_COLORS": "0"},
            )
        except FileNotFoundError as exc:
            raise CloudConnectError(f"{command[0]} is not installed on this machine.") from exc
        except subprocess.TimeoutExpired as exc:
            raise CloudConnectError(
                f"`{' '.join(command)}` has not ended for {_SECONDS:.0f} s; see what it waits for."
            ) from exc
        return Ran(
            status=ran.returncode,
            output=ran.stdout.decode("utf-8", "replace"),
            errors=ran.stderr.decode("utf-8", "replace"),
        )


_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"  # of the system: nobody else's programs are run
