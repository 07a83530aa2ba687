"""Tests of ``cloud_connect.crumbs``: what comes byte by byte is parsed in few goes."""

import asyncio

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection, serve
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from cloud_connect.crumbs import PatientConnection

MESSAGE = bytes(range(250)) * 4


class Counting(Connection):
    """What a link takes in, one go after the other."""

    goes: list[int]

    def data_received(self, data: bytes) -> None:
        self.goes = [*getattr(self, "goes", []), len(data)]
        super().data_received(data)


class Server(PatientConnection, Counting, ServerConnection):
    pass


class Client(ClientConnection):
    """A link whose bytes leave one by one, each when the one before has been read."""

    async def crumble(self, data: bytes) -> None:
        self.protocol.send_binary(data)
        for byte in b"".join(self.protocol.data_to_send()):
            self.transport.write(bytes([byte]))
            await asyncio.sleep(0)


async def test_message_in_single_bytes_is_whole_and_taken_in_by_few_goes() -> None:
    heard: asyncio.Queue[tuple[object, list[int]]] = asyncio.Queue()

    async def listen(link: ServerConnection) -> None:
        assert isinstance(link, Server)
        link.goes = []
        async for message in link:
            heard.put_nowait((message, link.goes))
            link.goes = []

    async with serve(listen, "127.0.0.1", 0, create_connection=Server, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        _, link = await asyncio.get_running_loop().create_connection(
            lambda: Client(ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}")), ping_interval=None),
            "127.0.0.1",
            port,
        )
        await link.handshake()
        async with asyncio.timeout(20):
            await link.crumble(MESSAGE)
            message, goes = await heard.get()
            assert message == MESSAGE
            assert sum(goes) == len(MESSAGE) + 8  # with the head of its frame
            assert len(goes) < len(MESSAGE) / 4
            await link.send(MESSAGE)
            assert await heard.get() == (MESSAGE, [len(MESSAGE) + 8])
            await link.crumble(b"last")  # the end comes while nothing is read
            await link.close()
            message, _ = await heard.get()
            assert message == b"last"


async def test_pause_for_crumbs_neither_opens_a_full_queue_nor_outlives_its_link() -> None:
    heard: list[object] = []
    ended = asyncio.Event()

    async def listen(link: ServerConnection) -> None:
        async with asyncio.timeout(20):
            while not link.recv_messages.paused:
                await asyncio.sleep(0.001)
        crumbs(link)
        await asyncio.sleep(0.02)
        assert not link.transport.is_reading()
        while len(heard) < 8:
            heard.append(await link.recv())
        assert link.transport.is_reading()
        crumbs(link)
        assert not link.transport.is_reading()
        link.transport.abort()
        await link.wait_closed()
        ended.set()

    def crumbs(link: ServerConnection) -> None:
        for _ in range(8):
            link.data_received(b"")

    async with (
        serve(listen, "127.0.0.1", 0, create_connection=Server, max_queue=2) as server,
        connect(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}") as link,
    ):
        for number in range(8):
            await link.send(str(number))
        async with asyncio.timeout(20):
            await ended.wait()
    assert heard == [str(number) for number in range(8)]
