"""Files of this PC's administrator that the agent follows and never writes."""

import os
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.own_account import own_uid

__all__ = ["Faults", "FollowedFile", "ownership_warning"]

_ON_WINDOWS: Final[bool] = sys.platform == "win32"
_RECHECK_SECONDS: Final = 1.0  # an administrator's change holds after that at the latest
_MAX_BYTES: Final = 1024 * 1024  # thousands of rules; more is a mistake, and would slow decisions

_Signature = tuple[int, ...]
_ContentT = TypeVar("_ContentT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults(Generic[_ContentT]):
    """What stands for the content of a file that is not there, or is not to be trusted."""

    missing: _ContentT
    broken: Callable[[str], _ContentT]


class FollowedFile(Generic[_ContentT]):
    """A file's content, read again when it changes; what is wrong with it is never guessed at.

    A file that takes another's place (a rename) holds at the next look. One that is written
    where it stands holds when two looks in a row find it alike: half a rule is another rule.

    Args:
        parse: Makes something of the text; a :class:`ConfigurationError` says what is wrong.
        administered: Whether it must belong to the administrator, out of this account's reach.
    """

    def __init__(
        self,
        path: Path,
        *,
        parse: Callable[[str], _ContentT],
        faults: Faults[_ContentT],
        administered: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path: Final = path
        self._parse: Final = parse
        self._faults: Final = faults
        self._administered: Final = administered
        self._clock: Final = clock
        self._checked_at: float | None = None
        self._signature: _Signature | None = None
        self._unsettled: _Signature | None = None
        self._content = faults.missing

    def reload(self) -> None:
        """Look at the file again at the next use, whenever the last look was."""
        self._checked_at = None
        self._unsettled = None

    def current(self) -> _ContentT:
        """Return the content of at most a second ago, as one unchanging value."""
        at = self._clock()
        if self._checked_at is None or at - self._checked_at >= _RECHECK_SECONDS:
            self._look(settled=self._checked_at is None)
            self._checked_at = at
        return self._content

    def _look(self, *, settled: bool) -> None:
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            descriptor = os.open(self._path, flags)
        except FileNotFoundError:
            self._adopt(None, self._faults.missing)
            return
        except OSError as exc:
            self._adopt(None, self._closed(f"cannot be read: {exc.strerror}."))
            return
        try:
            facts = os.fstat(descriptor)
            signature = _signature_of(facts)
            if signature == self._signature:
                self._unsettled = None
                return
            problem = self._fault(facts)
            if problem is not None:
                self._adopt(signature, self._closed(problem))
                return
            if not settled and self._rewritten(signature) and signature != self._unsettled:
                self._unsettled = signature
                return
            content = self._read(descriptor)
            if _signature_of(os.fstat(descriptor)) != signature:
                self._unsettled = None  # it is being written: the next look begins anew
                return
        finally:
            os.close(descriptor)
        self._adopt(signature, content)

    def _rewritten(self, signature: _Signature) -> bool:
        """Whether it is the file that was there before, with another content."""
        known = self._unsettled or self._signature
        return known is not None and known[:2] == signature[:2]

    def _adopt(self, signature: _Signature | None, content: _ContentT) -> None:
        self._unsettled = None
        self._signature, self._content = signature, content

    def _read(self, descriptor: int) -> _ContentT:
        try:
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return self._parse(file.read(_MAX_BYTES + 1).decode())
        except ConfigurationError as exc:
            return self._faults.broken(exc.message)
        except UnicodeDecodeError:
            return self._closed("is not UTF-8 text.")
        except OSError as exc:
            return self._closed(f"cannot be read: {exc.strerror}.")

    def _closed(self, problem: str) -> _ContentT:
        return self._faults.broken(f"{self._path.name} {problem}")

    def _fault(self, facts: os.stat_result) -> str | None:
        if not stat.S_ISREG(facts.st_mode):
            return "is not a regular file."
        if facts.st_size > _MAX_BYTES:
            return f"is larger than {_MAX_BYTES} bytes."
        return self._fault_on_windows() if _ON_WINDOWS else self._fault_of_modes(facts)

    def _fault_of_modes(self, facts: os.stat_result) -> str | None:
        if facts.st_mode & 0o022:
            return (
                "can be changed by other accounts; "
                f"run `chmod go-w {self._path.name}` after checking its content."
            )
        if facts.st_uid not in {0, own_uid()}:
            return "belongs neither to root nor to the account that runs the agent."
        if self._administered and facts.st_uid != 0:
            return (
                "belongs to the account that runs the service; as an administrator, check its "
                f"content and run `chown root {self._path.name}`."
            )
        if self._administered and _replaceable(self._path.parent):
            return (
                "lies in a folder in which the service's account can put another file in its "
                f"place; run `chown root {self._path.parent} && chmod +t {self._path.parent}`."
            )
        return None

    def _fault_on_windows(self) -> str | None:
        from cloud_connect_agent.hosting.windows_folders import changeable

        if self._administered and changeable(self._path):
            return (
                "can be changed by the account that runs the service; as an administrator, check "
                "its content and run `cloud-connect service install`, which sets who may."
            )
        return None


def ownership_warning(path: Path) -> str | None:
    """Say who besides an administrator could change the file, ``None`` if nobody could."""
    try:
        facts = path.stat()
        folder = path.parent.stat()
    except OSError:
        return None
    if os.name != "posix" or (facts.st_uid == 0 and folder.st_uid == 0):
        return None
    return (
        f"{path.name} can be changed by the account that runs the agent. For a service, give it "
        'and its folder to root and set `[policy] owner = "administrator"`.'
    )


def _replaceable(folder: Path) -> bool:
    """Whether this account can put another file in the place of root's in *folder*."""
    facts = folder.stat()
    if own_uid() == 0 or (facts.st_uid == 0 and facts.st_mode & stat.S_ISVTX):
        return False  # root may do everything anyway; a sticky folder keeps each one's files
    return os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _signature_of(facts: os.stat_result) -> _Signature:
    return (
        facts.st_dev,
        facts.st_ino,
        facts.st_mtime_ns,
        facts.st_ctime_ns,  # moves with owner and mode, too
        facts.st_size,
    )
