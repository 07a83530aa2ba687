import asyncio
import resource
import socket
from collections.abc import Iterator

import pytest

from cloud_connect_agent.network import ANYWHERE, Endpoints, Network, Reach, reach_of


@pytest.fixture
def link() -> Iterator[Endpoints]:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        found = Endpoints.of(client)
        assert found is not None
        yield found


def test_link_on_this_machine_is_as_it_was(link: Endpoints) -> None:
    assert reach_of(link) is Reach.SAME
    assert Network().leads_to(link)


def test_address_that_is_not_ours_is_gone(link: Endpoints) -> None:
    foreign = Endpoints(family=link.family, local=("192.0.2.7", 1), remote=link.remote)
    assert reach_of(foreign) is Reach.ADDRESS_GONE


def test_way_that_starts_elsewhere_is_another_one(link: Endpoints) -> None:
    moved = Endpoints(family=link.family, local=("127.0.0.2", 1), remote=link.remote)
    assert reach_of(moved) is Reach.MOVED


def test_address_without_any_route_is_out_of_reach(link: Endpoints) -> None:
    nowhere = Endpoints(family=link.family, local=link.local, remote=("255.255.255.255", 9))
    assert reach_of(nowhere) in {Reach.SAME, Reach.MOVED, Reach.NO_ROUTE}
    assert reach_of(ANYWHERE) in {Reach.MOVED, Reach.NO_ROUTE}  # as this machine is connected


def test_machine_without_a_socket_to_spare_says_nothing_against_the_link(link: Endpoints) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, most[1]))
    try:
        assert reach_of(link) is Reach.SAME
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)


def test_socket_that_is_closed_has_no_ends() -> None:
    sock = socket.socket()
    sock.close()
    assert Endpoints.of(sock) is None
    assert Endpoints.of(None) is None


async def test_route_that_is_missing_for_a_moment_is_no_change(link: Endpoints) -> None:
    answers = iter([Reach.NO_ROUTE, Reach.SAME, Reach.NO_ROUTE, Reach.NO_ROUTE])
    network = Network(reach=lambda _: next(answers), tick=0.0)
    assert await network.changed(link, known=Reach.SAME) is Reach.NO_ROUTE
    with pytest.raises(StopIteration):
        next(answers)


async def test_what_is_known_is_no_change(link: Endpoints) -> None:
    answers = iter([Reach.MOVED, Reach.MOVED, Reach.SAME])
    network = Network(reach=lambda _: next(answers), tick=0.0)
    assert await network.changed(link, known=Reach.MOVED) is Reach.SAME


async def test_network_that_comes_back_is_noticed(link: Endpoints) -> None:
    answers = iter([Reach.NO_ROUTE, Reach.NO_ROUTE, Reach.MOVED])
    async with asyncio.timeout(5):
        await Network(reach=lambda _: next(answers), tick=0.0).back(link)
