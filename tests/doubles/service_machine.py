"""A machine that is a folder: services are installed in it with real files, owners and modes.

What stands for systemd keeps what it was told and answers as systemd does; that it does so truly is
what the tests in a booted machine show.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cloud_connect.services.host import Account, Ran
from cloud_connect.services.trust import Program
from doubles.tools import as_root

__all__ = ["FolderMachine", "folder_machine", "installed_folder", "program_in"]

FIRST_NUMBER = 61_000  # of the accounts that are made


@dataclass(kw_only=True)
class FolderMachine:
    """Files below a folder, accounts and the state of units.

    Attributes:
        opt: Where installations of ours are, on the machine of the test itself.
        commands: Everything that was run, in order, without what was only asked.
        told: What programs got on standard input.
        failing: Programs that fail, and what they say.
        on_start: What a service does when it starts; an error that it raises is its last word.
    """

    root: Path
    opt: Path = Path("/opt")
    accounts: dict[str, Account] = field(default_factory=lambda: {"root": Account(uid=0, gid=0)})
    commands: list[tuple[str, ...]] = field(default_factory=list)
    told: list[bytes] = field(default_factory=list)
    failing: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    enabled: set[str] = field(default_factory=set)
    states: dict[str, str] = field(default_factory=dict)
    restarts: int = 0
    stale: bool = False
    words: str = ""
    last_line: str = ""
    is_administrator: bool = True
    on_start: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        """Boot it."""
        self.at(Path("/run/systemd/system")).mkdir(parents=True)
        for folder in ("/etc/systemd/system", "/usr/local/bin", "/var/lib"):
            self.at(Path(folder)).mkdir(parents=True)

    def at(self, path: Path) -> Path:
        return self.root / path.relative_to("/")

    def account(self, name: str) -> Account | None:
        return self.accounts.get(name)

    def has(self, program: str) -> bool:
        return program not in self.missing

    def run(self, *command: str, stdin: bytes = b"") -> Ran:
        program, *words = command
        if (program, *words[:1]) == ("systemctl", "show"):
            return Ran(status=0, output=self._shown(words[-1].removesuffix(".service")))
        if program == "journalctl":
            return Ran(status=0, output=f"something\n{self.last_line}\n")
        self.commands.append(command)
        self.told.append(stdin)
        if program in self.failing:
            return Ran(status=1, errors=f"first\n{self.failing[program]}\n")
        getattr(self, f"_{program.replace('-', '_')}")(*words)
        failed = program == "systemctl" and self.states.get(words[-1]) == "failed"
        return Ran(status=int(failed and words[0] != "reset-failed"), errors="Job failed.")

    def did(self, *words: str) -> bool:
        """Whether a command with these words was run."""
        return any(command[: len(words)] == words for command in self.commands)

    def snapshot(self) -> dict[str, tuple[int, int, int, bytes]]:
        """Return all files: owner, group, mode and content."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            facts = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(self.root))] = (
                facts.st_uid,
                facts.st_gid,
                facts.st_mode,
                content,
            )
        return found

    def _shown(self, unit: str) -> str:
        there = self.at(Path(f"/etc/systemd/system/{unit}.service")).exists()
        return "\n".join(
            f"{key}={value}"
            for key, value in {
                "LoadState": "loaded" if there else "not-found",
                "ActiveState": self.states.get(unit, "inactive"),
                "UnitFileState": "enabled" if unit in self.enabled else "disabled",
                "MainPID": "4242" if self.states.get(unit) == "active" else "0",
                "NRestarts": str(self.restarts),
                "StatusText": self.words,
                "Result": "exit-code",
                "NeedDaemonReload": "yes" if self.stale else "no",
                "User": unit,
            }.items()
        )

    def _useradd(self, *words: str) -> None:
        number = FIRST_NUMBER + len(self.accounts)
        self.accounts[words[-1]] = Account(uid=number, gid=number)

    def _userdel(self, name: str) -> None:
        del self.accounts[name]

    def _systemd_creds(self, *words: str) -> None:
        self.at(Path(words[-1])).write_bytes(b"sealed")

    def _systemctl(self, verb: str, *words: str) -> None:
        unit = words[-1] if words else ""
        if verb == "daemon-reload":
            self.stale = False
        elif verb == "enable":
            self.enabled.add(unit)
        elif verb == "disable":
            self.enabled.discard(unit)
            self.states.pop(unit, None)
        elif verb in {"start", "restart"}:
            try:
                self.on_start(unit)
            except AssertionError as exc:
                self.states[unit], self.last_line = "failed", f"Error: {exc}"
            else:
                self.states[unit] = "active"
        else:  # stop, reset-failed
            self.states.pop(unit, None)


def program_in(folder: Path, name: str) -> Program:
    """Make an installation that only root can change, as far as its own files go."""
    file = folder / "bin" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return Program(file=file, folders=(folder,), interpreter=Path("/usr/bin/env"))


@contextmanager
def installed_folder() -> Iterator[Path]:
    """Make a folder for an installation where a service would see it, and remove it afterwards."""
    as_root("a folder beside the system's own")
    with tempfile.TemporaryDirectory(dir="/opt", prefix="cloud-connect-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def folder_machine(folder: Path) -> Iterator[FolderMachine]:
    """Make a machine in a test's folder, or skip the test where nobody can give files away."""
    with installed_folder() as opt:
        yield FolderMachine(root=folder / "root", opt=opt)
