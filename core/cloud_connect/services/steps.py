"""Steps on a machine with POSIX accounts: folders, files and whose they are.

Folders of a service belong to an account that may have been taken over, and root works in them
here: nothing in them is reached through a link, and owners are set on what was opened.
"""

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_connect.errors import CloudConnectError
from cloud_connect.services.host import Host

__all__ = ["Folder", "GiveFile", "GiveTree", "MoveFile", "Remove", "WriteFile"]

_ROOT: Final = "root"
_LOOK: Final = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_LOOK_AT_FILE: Final = _LOOK | getattr(os, "O_NONBLOCK", 0)  # a pipe must not hold root up
_LOOK_AT_FOLDER: Final = _LOOK | getattr(os, "O_DIRECTORY", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """Makes a folder, or gives one that is there its owner and mode.

    Attributes:
        owner: Account; the group is *group*'s, or else the owner's own.
    """

    host: Host
    path: Path
    owner: str = _ROOT
    group: str | None = None
    mode: int = 0o755

    @property
    def sentence(self) -> str:
        """What it does."""
        whose = self.owner if self.group is None else f"{self.owner}:{self.group}"
        return f"Make the folder {self.path} ({whose}, {self.mode:04o})"

    @property
    def content(self) -> str | None:
        """Nothing more."""
        return None

    @property
    def needed(self) -> bool:
        """Whether it is missing or somebody else's."""
        try:
            facts = self.host.at(self.path).lstat()
        except OSError:
            return True
        return (facts.st_uid, facts.st_gid) != _numbers(
            self.host, self.owner, self.group
        ) or stat.S_IMODE(facts.st_mode) != self.mode

    def carry_out(self) -> None:
        """Make it so."""
        place = self.host.at(self.path)
        with _told(self.path):
            with contextlib.suppress(FileExistsError):
                place.mkdir(mode=0o700, parents=True)
            descriptor = os.open(place, _LOOK_AT_FOLDER)
            try:
                _set(descriptor, numbers=_known(self.host, self.owner, self.group), mode=self.mode)
            finally:
                os.close(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFile:
    """Writes a file that is root's, as a whole."""

    host: Host
    path: Path
    text: str
    mode: int = 0o644

    @property
    def sentence(self) -> str:
        """What it does."""
        return f"Write {self.path}"

    @property
    def content(self) -> str | None:
        """What the file will hold."""
        return self.text

    @property
    def needed(self) -> bool:
        """Whether the file is missing or differs."""
        place = self.host.at(self.path)
        try:
            facts = place.lstat()
            same = stat.S_ISREG(facts.st_mode) and place.read_text("utf-8") == self.text
        except (OSError, UnicodeDecodeError):
            return True
        return not same or stat.S_IMODE(facts.st_mode) != self.mode

    def carry_out(self) -> None:
        """Write it beside its place first, so that nobody reads half of it."""
        place = self.host.at(self.path)
        with _told(self.path):
            place.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
            temporary = Path(name)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(self.text)
                    file.flush()
                    _set(file.fileno(), numbers=None, mode=self.mode)
                    os.fsync(file.fileno())
                temporary.replace(place)
            finally:
                temporary.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveFile:
    """Gives a file that is there to somebody; does nothing where there is none."""

    host: Host
    path: Path
    owner: str
    group: str
    mode: int

    @property
    def sentence(self) -> str:
        """What it does."""
        return f"Give {self.path} to {self.owner}:{self.group} ({self.mode:04o})"

    @property
    def content(self) -> str | None:
        """Nothing more."""
        return None

    @property
    def needed(self) -> bool:
        """Whether it is there and not theirs."""
        try:
            facts = self.host.at(self.path).lstat()
        except OSError:
            return False
        return (facts.st_uid, facts.st_gid) != _numbers(
            self.host, self.owner, self.group
        ) or stat.S_IMODE(facts.st_mode) != self.mode

    def carry_out(self) -> None:
        """Give it, unless it is something else than a file of its own."""
        with _told(self.path):
            descriptor = os.open(self.host.at(self.path), _LOOK_AT_FILE)
            try:
                _give(
                    descriptor,
                    self.path,
                    numbers=_known(self.host, self.owner, self.group),
                    mode=self.mode,
                )
            finally:
                os.close(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveTree:
    """Gives all that is in a folder to an account; does nothing where there is none."""

    host: Host
    path: Path
    owner: str

    @property
    def sentence(self) -> str:
        """What it does."""
        return f"Give the files in {self.path} to {self.owner}"

    @property
    def content(self) -> str | None:
        """Nothing more."""
        return None

    @property
    def needed(self) -> bool:
        """Whether anything in it is somebody else's."""
        wanted = _numbers(self.host, self.owner, None)
        for folder, name in self._entries():
            facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if (facts.st_uid, facts.st_gid) != wanted:
                return True
        return False

    def carry_out(self) -> None:
        """Give them one by one, what lies deepest first."""
        numbers = _known(self.host, self.owner, None)
        with _told(self.path):
            for folder, name in self._entries():
                mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
                if stat.S_ISSOCK(mode):
                    os.unlink(name, dir_fd=folder)  # of an agent that ended
                    continue
                look = _LOOK_AT_FOLDER if stat.S_ISDIR(mode) else _LOOK_AT_FILE
                descriptor = os.open(name, look, dir_fd=folder)
                try:
                    _give(descriptor, self.path / name, numbers=numbers, mode=None)
                finally:
                    os.close(descriptor)

    def _entries(self) -> Iterator[tuple[int, str]]:
        """Yield what is in it, each with a descriptor of its folder: no name leads elsewhere."""
        top = self.host.at(self.path)
        if sys.platform == "win32" or not top.is_dir():
            yield from ()
        else:
            walk = os.fwalk(top, topdown=False, follow_symlinks=False)
            for _, folders, files, descriptor in walk:
                for name in (*files, *folders):
                    yield descriptor, name


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveFile:
    """Moves a file or a folder to where nothing is."""

    host: Host
    source: Path
    target: Path

    @property
    def sentence(self) -> str:
        """What it does."""
        return f"Move {self.source} to {self.target}"

    @property
    def content(self) -> str | None:
        """Nothing more."""
        return None

    @property
    def needed(self) -> bool:
        """Whether it is still at its old place."""
        return os.path.lexists(self.host.at(self.source))

    def carry_out(self) -> None:
        """Move it, also to another disk."""
        target = self.host.at(self.target)
        with contextlib.suppress(OSError):
            target.rmdir()  # an empty folder is nothing
        if os.path.lexists(target):
            raise CloudConnectError(
                f"{self.target} is there already, so {self.source} was not moved; remove the one "
                "that is not needed."
            )
        with _told(self.source):
            shutil.move(self.host.at(self.source), target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Removes a file, a link or a folder with all that is in it."""

    host: Host
    path: Path

    @property
    def sentence(self) -> str:
        """What it does."""
        return f"Remove {self.path}"

    @property
    def content(self) -> str | None:
        """Nothing more."""
        return None

    @property
    def needed(self) -> bool:
        """Whether it is there."""
        return os.path.lexists(self.host.at(self.path))

    def carry_out(self) -> None:
        """Remove it; a link goes, and not what it points to."""
        place = self.host.at(self.path)
        with _told(self.path):
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            else:
                place.unlink()


def _numbers(host: Host, owner: str, group: str | None) -> tuple[int, int] | None:
    """Return the numbers of owner and group, ``None`` if one of them is not there."""
    account = host.account(owner)
    shared = account if group is None else host.account(group)
    return None if account is None or shared is None else (account.uid, shared.gid)


def _known(host: Host, owner: str, group: str | None) -> tuple[int, int]:
    numbers = _numbers(host, owner, group)
    if numbers is None:
        raise CloudConnectError(f"There is no account {owner} with a group of its own.")
    return numbers


def _give(descriptor: int, path: Path, *, numbers: tuple[int, int], mode: int | None) -> None:
    facts = os.fstat(descriptor)
    own = stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1
    if not own and not stat.S_ISDIR(facts.st_mode):
        raise CloudConnectError(
            f"{path} is no file of its own (a pipe, or a second name of another file), so it was "
            "not given away; find out who made it, and remove it."
        )
    _set(descriptor, numbers=numbers, mode=mode)


def _set(descriptor: int, *, numbers: tuple[int, int] | None, mode: int | None) -> None:
    if sys.platform != "win32":
        if numbers is not None:
            os.fchown(descriptor, *numbers)
        if mode is not None:
            os.fchmod(descriptor, mode)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say for people what the system said."""
    try:
        yield
    except OSError as exc:
        raise CloudConnectError(
            f"{exc.filename or path}: {exc.strerror or exc}. Run the command again once that is "
            "put right."
        ) from exc
