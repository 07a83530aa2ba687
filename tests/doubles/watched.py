"""A program of ours that can be asked for its tasks: the names of those that run in its loop.

``python -m doubles.watched FILE MODULE ARGUMENTS…`` runs the module as it is; at SIGUSR2 it
writes the names of its asyncio tasks to the file. So a leak shows from outside, and the
product needs no door for it.
"""

import asyncio
import json
import runpy
import signal
import sys
from pathlib import Path


def _tell(file: Path) -> None:
    loop = asyncio._get_running_loop()
    names = [] if loop is None else [task.get_name() for task in asyncio.all_tasks(loop)]
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps(sorted(names)))
    draft.rename(file)


if __name__ == "__main__":
    _, told, module, *arguments = sys.argv
    signal.signal(signal.SIGUSR2, lambda *_: _tell(Path(told)))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
