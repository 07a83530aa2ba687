"""How many sockets the system lets this process hold."""

import contextlib
import sys

__all__ = ["allow_open_files"]

_WANTED = 65_536  # agents, callers, and the strangers that both listeners bear


def allow_open_files() -> None:
    """Raise the limit of open files as far as the system lets anybody.

    A shell's usual 1,024 would be used up by strangers alone, before their own limit.
    """
    if sys.platform != "win32":  # Windows has no such limit
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _WANTED if hard == resource.RLIM_INFINITY else min(_WANTED, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            with contextlib.suppress(OSError, ValueError):  # a sandbox may forbid it
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
