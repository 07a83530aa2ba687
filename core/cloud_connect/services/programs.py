"""Which installation of ours runs this process: a service is made of the same one."""

import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from cloud_connect.services.trust import Program

__all__ = ["this_program"]


def this_program(name: str, *packages: str | None) -> Program:
    """Return the program *name* of the environment that runs now, and all that it loads.

    Args:
        packages: Packages whose folders count, too, wherever they are.
    """
    folders = [Path(sys.prefix)]
    for package in ("cloud_connect", *packages):
        spec = find_spec(package) if package else None
        for place in (spec.submodule_search_locations or ()) if spec is not None else ():
            folder = Path(place).absolute()
            if not any(folder.is_relative_to(known) for known in folders):
                folders.append(folder)
    return Program(
        file=Path(sysconfig.get_path("scripts")) / name,
        folders=tuple(folders),
        interpreter=Path(sys.executable).resolve(),
    )
