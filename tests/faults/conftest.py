"""What fault tests share."""

import os
import shutil
from collections.abc import Iterator

import pytest

from doubles.namespaces import PrivateNetwork, private_network


@pytest.fixture
def network() -> Iterator[PrivateNetwork]:
    """A network that nobody else shares; the test and all that it starts are in it."""
    yield from _own_network()


@pytest.fixture(scope="module")
def module_network() -> Iterator[PrivateNetwork]:
    """The same for a whole module."""
    yield from _own_network()


def _own_network() -> Iterator[PrivateNetwork]:
    missing = [tool for tool in ("ip", "nft", "tc") if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"a network of its own takes root and {', '.join(missing) or 'ip, nft, tc'}")
    with private_network() as network:
        yield network
