"""Which installation of ours runs this process: a service is made of the same one."""

import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from cloud_connect.services.trust import Program

__all__ = ["this_program"]


def this_program(name: str, *packages: str) -> Program:
    """Return the program *name* of the environment that runs now, and all that it loads.

    Args:
        packages: Packages whose folders count, too, wherever they are.
    """
    environment = Path(sys.prefix)
    specs = [find_spec(package) for package in ("cloud_connect", *packages)]
    places = [place for spec in specs if spec for place in spec.submodule_search_locations or ()]
    elsewhere = [Path(place) for place in places if not Path(place).is_relative_to(environment)]
    return Program(
        file=Path(sysconfig.get_path("scripts")) / name,
        folders=(environment, *elsewhere),
        interpreter=Path(sys.executable).resolve(),
    )
