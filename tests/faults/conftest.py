"""What fault tests share."""

from collections.abc import Iterator

import pytest

from doubles.namespaces import PrivateNetwork, private_network
from doubles.tools import as_root, tool
from doubles.untraced import untraced_processes


@pytest.fixture(scope="module", autouse=True)
def _processes_without_tracer() -> Iterator[None]:
    """What these processes execute is counted elsewhere; here it takes time."""
    with untraced_processes():
        yield


@pytest.fixture
def network() -> Iterator[PrivateNetwork]:
    """A network that nobody else shares; the test and all that it starts are in it."""
    yield from _own_network()


@pytest.fixture(scope="module")
def module_network() -> Iterator[PrivateNetwork]:
    """The same for a whole module."""
    yield from _own_network()


def _own_network() -> Iterator[PrivateNetwork]:
    as_root("a network of its own")
    for name in ("ip", "nft", "tc"):
        tool(name)
    with private_network() as network:
        yield network
