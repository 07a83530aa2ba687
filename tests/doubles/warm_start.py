"""Start our programs from processes that have imported them: a tenth of the time, the same rest.

Whatever runs ``python -m cloud_connect_agent ...`` gets a fork of a process that has imported the
agent and done nothing else, with the arguments, environment, folder and streams that were asked
for; it is a child of the one who asks, as an executed one would be. Where that would make a
difference, it is executed: in other namespaces, with another interpreter's settings, under a tool.
Only several workers of pytest do it (``-n 0`` executes each program), on Linux.
"""

import array
import ctypes
import functools
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from doubles.warm_program import REQUEST_LIMIT

__all__ = ["cold_starts", "start_warmly", "warm_starts"]

_PROGRAMS: Final = {
    "cloud_connect_agent": ("cloud_connect", "cloud_connect_agent"),
    "cloud_connect_relay": ("cloud_connect", "cloud_connect_relay"),
    "procore_simulator": ("cloud_connect", "procore_simulator"),
    "doubles.surroundings": (),
}
_WRAPPED: Final = {
    "doubles.faulty_agent": "cloud_connect_agent",
    "doubles.sleepy_agent": "cloud_connect_agent",
}
_TESTS: Final = Path(__file__).parent.parent
_PR_SET_CHILD_SUBREAPER: Final = 36
_INTERPRETERS: Final = ("COVERAGE_", "FAKETIME", "LC_", "LANG", "LD_", "PYTHON")
"""How the names of variables begin that take effect before the first line of Python."""
_TRACED: Final = "COVERAGE_"
_HARMLESS: Final = frozenset({"PYTHONUNBUFFERED", "PYTHONPATH"})
_REQUEST_ROOM: Final = REQUEST_LIMIT // 4  # bytes; what is larger is executed


class _Warm:
    """A program that is imported, once it is needed."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = packages
        # Both ends from the start: a test may count descriptors when the first program starts.
        self._asking, self._asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def start(self, request: bytes, streams: Sequence[int]) -> int:
        """Return the process id of what was asked for."""
        with self._lock:
            if self._process is None:
                self._begin()
            descriptors = array.array("i", streams)
            _reap_descendants(True)
            try:
                self._asking.sendmsg(
                    [request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
                )
                return int(self._asking.recv(64))
            finally:
                _reap_descendants(False)

    def close(self) -> None:
        """End it."""
        self._asking.close()
        self._asked.close()
        if self._process is not None:
            self._process.wait()

    def _begin(self) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "doubles.warm_program"),
                *(str(self._asked.fileno()), *self._packages),
            ],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(_TESTS)},
            pass_fds=(self._asked.fileno(),),
            start_new_session=True,
        )
        self._asked.close()
        assert self._asking.recv(64) == b"ready", "a warm program did not start"


def _reap_descendants(whether: bool) -> None:  # noqa: FBT001 - the kernel's own argument
    """Become the parent of descendants that lose theirs, or no longer."""
    assert _libc().prctl(_PR_SET_CHILD_SUBREAPER, int(whether), 0, 0, 0) == 0


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _namespaces() -> tuple[str, ...]:
    """Which network and files the calling thread sees."""
    return tuple(str(Path(f"/proc/thread-self/ns/{name}").readlink()) for name in ("net", "mnt"))


def _program(command: Sequence[str]) -> str:
    """Return which program runs, be it in a test's wrapping; empty: none of ours."""
    match command:
        case [_, "-m", "doubles.watched", _, module, *_]:
            return module
        case [_, "-m", module, *_]:
            return _WRAPPED.get(module, module)
        case _:
            return ""


def _umask() -> int:
    """Return the mask for new files, which the system tells without a change only here."""
    lines = Path("/proc/thread-self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("Umask:")), 8)


def _of_interpreter(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(_INTERPRETERS) and name not in _HARMLESS
    }


class _Starting:
    """What stands where :mod:`subprocess` forks and executes."""

    def __init__(self) -> None:
        self.suspended = 0
        self._execute = subprocess._fork_exec  # type: ignore[attr-defined]
        self._programs = {name: _Warm(packages) for name, packages in _PROGRAMS.items()}
        self._settings = _of_interpreter(os.environ)
        self._namespaces = _namespaces()

    def __call__(self, *details: Any) -> int:
        """Return the process id; the details are those of ``_posixsubprocess.fork_exec``."""
        words, executables, _, kept, folder, variables = details[:6]
        environment = (
            dict(os.environ)
            if variables is None
            else dict(os.fsdecode(one).split("=", 1) for one in variables)
        )
        command = [os.fsdecode(word) for word in words]
        program = self._programs.get(_program(command))
        settings = _of_interpreter(environment)
        new_session, group, gid, gids, uid, umask, prepare, _ = details[15:]
        if (
            program is None
            or self.suspended
            or executables != (os.fsencode(sys.executable),)
            or len(kept) > 1  # a pipe for errors is always
            or prepare is not None
            or (group, gid, gids, uid, umask) != (-1, None, None, None, -1)
            or settings != self._settings
            or any(name.startswith(_TRACED) for name in settings)
            or _namespaces() != self._namespaces
        ):
            return int(self._execute(*details))
        request = json.dumps(
            {
                "command": command[2:],
                "cwd": os.fsdecode(folder or os.getcwd()),  # noqa: PTH109 - bytes or text
                "environment": environment,
                "new_session": bool(new_session),
                "umask": _umask(),
            }
        ).encode()
        if len(request) > _REQUEST_ROOM:
            return int(self._execute(*details))
        streams = (details[6], details[9], details[11])
        return program.start(
            request, [number if one == -1 else one for number, one in enumerate(streams)]
        )

    def close(self) -> None:
        """Execute again, and end the warm programs; what they became goes on."""
        subprocess._fork_exec = self._execute  # type: ignore[attr-defined]
        for program in self._programs.values():
            program.close()


_starting: list[_Starting] = []


def start_warmly() -> None:
    """Start our programs warmly in this process from now on."""
    if sys.platform == "linux" and not _starting:
        _starting.append(_Starting())
        subprocess._fork_exec = _starting[0]  # type: ignore[attr-defined]


@contextmanager
def warm_starts() -> Iterator[None]:
    """Start our programs warmly meanwhile, if they are not anyway."""
    if _starting:
        yield
        return
    start_warmly()
    try:
        yield
    finally:
        while _starting:
            _starting.pop().close()


@contextmanager
def cold_starts() -> Iterator[None]:
    """Execute each program meanwhile, as users do."""
    for starting in _starting:
        starting.suspended += 1
    try:
        yield
    finally:
        for starting in _starting:
            starting.suspended -= 1
