"""A program that tells what it was started with, and ends as it is told to."""

import json
import os
import signal
import sys
from pathlib import Path

__all__: list[str] = []


def _main() -> None:
    how = sys.argv[1]
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "hurt":
        raise RuntimeError("as it was told to")
    if how == "said":
        sys.exit("a last word")
    if how == "hung up on":
        sys.stdout.write("nobody reads it")
        sys.exit(0)
    told = {
        "arguments": [sys.orig_argv[1:], sys.argv[1:], Path(sys.argv[0]).name],
        "environment": {name: value for name, value in os.environ.items() if name != "_"},
        "folder": [str(Path.cwd()), sys.path[0]],
        "input": sys.stdin.read(),
        "leader": os.getsid(0) == os.getpid(),
        "mask": os.umask(0),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "parent": os.getppid(),
        "streams": [
            (
                one.encoding,
                one.errors,
                one.line_buffering,
                one.newlines,
                getattr(one, "write_through", None),
            )
            for one in (sys.stdin, sys.stdout, sys.stderr)
        ],
        "signals": [str(signal.getsignal(one)) for one in (signal.SIGINT, signal.SIGPIPE)],
        "name": __name__,
    }
    sys.stdout.write(json.dumps(told))
    sys.stderr.write("heard")
    sys.exit(int(how))


_main()
