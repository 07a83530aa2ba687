"""A program of ours that can be asked what it holds: its tasks, and its blocks of memory.

``python -m doubles.watched FILE MODULE ARGUMENTS…`` runs the module as it is; at SIGUSR2 it
writes the names of the asyncio tasks that run in its loop, and how many blocks Python has
allocated without its garbage, to the file. So a leak shows from outside, and the product needs
no door for it.
"""

import asyncio
import gc
import json
import runpy
import signal
import sys
from pathlib import Path


def _tell(file: Path) -> None:
    loop = asyncio._get_running_loop()
    names = [] if loop is None else [task.get_name() for task in asyncio.all_tasks(loop)]
    draft = file.with_suffix(".new")
    gc.collect()
    draft.write_text(json.dumps({"tasks": sorted(names), "blocks": sys.getallocatedblocks()}))
    draft.rename(file)


if __name__ == "__main__":
    _, told, module, *arguments = sys.argv
    signal.signal(signal.SIGUSR2, lambda *_: _tell(Path(told)))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
