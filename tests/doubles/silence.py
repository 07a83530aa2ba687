"""Servers that take a connection and leave their part unsaid."""

import asyncio

from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

__all__ = ["answers_upgrade_only", "silent"]


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take everything and say nothing."""
    del writer
    while await reader.read(4096):
        pass


async def answers_upgrade_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be a WebSocket, and never challenge."""
    protocol = ServerProtocol(subprotocols=[Subprotocol("cloud-connect.v1")])
    while not (events := protocol.events_received()):
        protocol.receive_data(await reader.read(4096))
    protocol.send_response(protocol.accept(events[0]))  # type: ignore[arg-type]  # a request
    for data in protocol.data_to_send():
        writer.write(data)
    await reader.read()
