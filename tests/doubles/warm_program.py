"""A program of ours whose modules are imported already, and which forks into what is asked for.

To start one of our programs costs seconds of a processor, nearly all of it for imports; thousands
are started by the tests. See :mod:`doubles.warm_start`, which asks.
"""

import array
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, TextIO

__all__ = ["REQUEST_LIMIT", "answer"]

REQUEST_LIMIT: Final = 256 * 1024  # bytes: arguments and environment
_STREAMS: Final = 3


def _modules(package: str) -> Iterator[str]:
    found = importlib.import_module(package)
    yield package
    for module in pkgutil.walk_packages(getattr(found, "__path__", ()), f"{package}."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            yield module.name


def _import_all(*packages: str) -> None:
    for package in packages:
        for name in _modules(package):
            with suppress(ImportError):  # what is for another platform only
                importlib.import_module(name)


def _received(asking: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    descriptors = array.array("i")
    room = socket.CMSG_SPACE(_STREAMS * descriptors.itemsize)
    message, ancillary, *_ = asking.recvmsg(REQUEST_LIMIT, room)
    for _, _, data in ancillary:
        descriptors.frombytes(data)
    return (json.loads(message), list(descriptors)) if message else None


def answer(asking: socket.socket) -> dict[str, Any] | None:
    """Fork for each request; return it in the process that becomes the program, else ``None``.

    That process is nobody's child here: whoever asks is the reaper of its descendants meanwhile,
    and so becomes its parent.
    """
    while received := _received(asking):
        request, descriptors = received
        reading, writing = os.pipe()
        between = os.fork()
        if between == 0:
            child = os.fork()
            if child == 0:
                for number, descriptor in enumerate(descriptors):
                    os.dup2(descriptor, number)
                os.closerange(_STREAMS, max(*descriptors, reading, writing, asking.fileno()) + 1)
                return request
            os.write(writing, str(child).encode())
            os._exit(0)
        for descriptor in (*descriptors, writing):
            os.close(descriptor)
        os.waitpid(between, 0)
        asking.send(os.read(reading, 64))
        os.close(reading)
    return None


def _stream(number: int, like: TextIO, *, unbuffered: bool) -> TextIO:
    """Open a standard stream as the interpreter does when it starts (``create_stdio`` there)."""
    writes = number > 0
    raw = open(  # noqa: SIM115 - it stays open
        number, "wb" if writes else "rb", 0 if writes and unbuffered else -1, closefd=False
    )
    return io.TextIOWrapper(
        raw,
        encoding=like.encoding,
        errors=like.errors,
        newline="\n",
        line_buffering=not unbuffered and (number == 2 or os.isatty(number)),
        write_through=unbuffered,
    )


def _become(request: dict[str, Any]) -> None:
    """Be what the request says, as if it had been executed."""
    if request["new_session"]:
        os.setsid()
    os.chdir(request["cwd"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = sys.__stdin__ = _stream(0, sys.stdin, unbuffered=unbuffered)  # type: ignore[misc, assignment]
    sys.stdout = sys.__stdout__ = _stream(1, sys.stdout, unbuffered=unbuffered)  # type: ignore[misc, assignment]
    sys.stderr = sys.__stderr__ = _stream(2, sys.stderr, unbuffered=unbuffered)  # type: ignore[misc, assignment]
    module, *arguments = request["command"]
    sys.path[0] = request["cwd"]
    sys.orig_argv = [sys.executable, "-m", module, *arguments]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    asked = socket.socket(fileno=int(sys.argv[1]))
    _import_all(*sys.argv[2:])
    gc.collect()
    gc.freeze()  # so that children need not copy pages to count references
    asked.send(b"ready")
    to_be = answer(asked)
    if to_be is not None:
        asked.detach()
        _become(to_be)
