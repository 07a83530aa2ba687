"""Tests of ``cloud_connect_agent.proxy_presence``."""

import asyncio
import socket

from cloud_connect_agent.proxy_presence import ProxyPresence
from doubles.link_bench import serve_raw


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_what_was_found_is_believed_for_a_while_unless_somebody_wants_it_afresh() -> None:
    clock, came = Clock(), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(writer)
        await reader.read()

    presence = ProxyPresence(holds=15.0, clock=clock)
    async with serve_raw(serve) as port:
        assert await presence.look("127.0.0.1", port)
        clock.now = 10.0
        assert await presence.look("127.0.0.1", port)
    assert await presence.look("127.0.0.1", port), "that was found 10 s ago"
    assert not presence.away("127.0.0.1", port)
    assert not await presence.look("127.0.0.1", port, afresh=True)
    assert presence.away("127.0.0.1", port)
    assert len(came) == 1
    presence.forget()
    assert not presence.away("127.0.0.1", port)


async def test_proxy_that_drops_packets_is_away_soon() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        presence = ProxyPresence(seconds=0.1)
        async with asyncio.timeout(2):
            assert not await presence.look("127.0.0.1", port)
        for sock in waiting:
            sock.close()


async def test_many_that_ask_at_once_look_once() -> None:
    came = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(writer)
        await reader.read()

    presence = ProxyPresence()
    async with serve_raw(serve) as port, asyncio.TaskGroup() as tasks:
        looks = [tasks.create_task(presence.look("127.0.0.1", port)) for _ in range(20)]
    assert all(look.result() for look in looks)
    assert len(came) == 1
