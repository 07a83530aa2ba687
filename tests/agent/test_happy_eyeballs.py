"""Tests of ``cloud_connect_agent.happy_eyeballs``."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from cloud_connect_agent.happy_eyeballs import connect_first, interleaved

Resolve = Callable[..., None]


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def silent() -> Iterator[int]:
    """A port whose backlog is full: nobody answers there, as behind a firewall that drops."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        number = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", number))
        yield number
        for sock in waiting:
            sock.close()


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    def settle(*ports: int) -> None:
        async def getaddrinfo(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(socket.AF_INET, 1, 6, "", ("127.0.0.1", number)) for number in ports]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)

    return settle


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_families_take_turns() -> None:
    six, four = socket.AF_INET6, socket.AF_INET
    found = [(six, "a"), (six, "b"), (six, "a"), (four, "c"), (six, "d"), (four, "e")]
    assert [address for _, address in interleaved(found)] == ["a", "c", "b", "e", "d"]


async def test_a_name_is_connected_to(port: int) -> None:
    with await connect_first("127.0.0.1", port) as sock:
        assert sock.getpeername() == ("127.0.0.1", port)


async def test_an_address_that_refuses_does_not_keep_the_next_one_waiting(
    port: int, resolve: Resolve
) -> None:
    resolve(free_port(), port)
    start = asyncio.get_running_loop().time()
    with await connect_first("name", 443) as sock:
        assert sock.getpeername()[1] == port
    assert asyncio.get_running_loop().time() - start < 0.2


async def test_an_address_that_says_nothing_is_overtaken(
    port: int, silent: int, resolve: Resolve
) -> None:
    resolve(silent, port)
    with await connect_first("name", 443) as sock:
        assert sock.getpeername()[1] == port


async def test_the_last_refusal_is_told(resolve: Resolve) -> None:
    resolve(free_port(), free_port())
    with pytest.raises(ConnectionRefusedError):
        await connect_first("name", 443)


async def test_a_name_without_addresses_is_told(resolve: Resolve) -> None:
    resolve()
    with pytest.raises(OSError, match="no address"):
        await connect_first("name", 443)


async def test_giving_up_leaves_no_socket_behind(silent: int, resolve: Resolve) -> None:
    resolve(silent)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await connect_first("name", 443)
