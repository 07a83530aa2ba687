"""Which version this is."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

__all__ = ["VERSION"]


def _version() -> str:
    try:
        return version("cloud-connect")
    except PackageNotFoundError:  # run from a copy of the sources
        return "0.0.0"


VERSION: Final = _version()
