"""Networks that go, change and come back under a link, as the kernel itself tells of them."""

import socket
import subprocess

import pytest

from cloud_connect_agent.network import ANYWHERE, Endpoints, Reach, reach_of
from doubles.namespaces import PrivateNetwork

LINK = Endpoints(family=socket.AF_INET, local=("10.9.0.2", 40000), remote=("10.9.1.7", 443))


def ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True, timeout=10)


def plug(name: str, address: str, *, metric: int) -> None:
    """Put in a network card that leads to the relay."""
    ip("link", "add", name, "type", "veth", "peer", "name", f"{name}-far")
    ip("link", "set", f"{name}-far", "up")
    ip("addr", "add", f"{address}/24", "dev", name)
    ip("link", "set", name, "up")
    ip("route", "add", "10.9.1.0/24", "dev", name, "src", address, "metric", str(metric))


@pytest.mark.usefixtures("network")
class TestKernel:
    def test_link_whose_address_is_taken_away_is_lost(self) -> None:
        plug("wlan0", "10.9.0.2", metric=600)
        assert reach_of(LINK) is Reach.SAME
        plug("eth0", "10.9.2.2", metric=700)
        ip("addr", "del", "10.9.0.2/24", "dev", "wlan0")
        assert reach_of(LINK) is Reach.ADDRESS_GONE

    def test_cable_that_is_pulled_leaves_no_way_until_it_is_back(self) -> None:
        plug("eth0", "10.9.0.2", metric=100)
        ip("link", "set", "eth0", "down")
        assert reach_of(LINK) is Reach.NO_ROUTE
        ip("link", "set", "eth0", "up")
        ip("route", "add", "10.9.1.0/24", "dev", "eth0", "src", "10.9.0.2")
        assert reach_of(LINK) is Reach.SAME

    def test_better_way_is_another_one_while_the_old_address_stays(self) -> None:
        plug("wlan0", "10.9.0.2", metric=600)
        plug("tun0", "10.9.2.2", metric=50)
        assert reach_of(LINK) is Reach.MOVED

    def test_machine_without_any_card_reaches_nothing(self, network: PrivateNetwork) -> None:
        assert network
        assert reach_of(LINK) is Reach.NO_ROUTE
        assert reach_of(ANYWHERE) is Reach.NO_ROUTE
