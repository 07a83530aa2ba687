"""Agents of the oldest version that is spoken, of a later one, and of one that is too new.

What they say is written here byte by byte: today's code might change both ends alike.
"""

import asyncio
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from cloud_connect.closing import CloseCode
from cloud_connect.tunnel.limits import PROTOCOL_VERSION, PROTOCOL_VERSION_MIN
from doubles.link_bench import serve_relay
from doubles.raw_agent import closed_with, session_at

HEADERS, SETTINGS, END_STREAM = 1, 4, 1
REPORT = {"machine": "pc-1", "os": "Windows 11", "version": "0.0.1"}  # of the first version


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + struct.pack(">BBI", kind, flags, stream) + payload


def settings(newest: int, oldest: int, *more: tuple[int, int]) -> bytes:
    entries = ((1, newest), (2, oldest), (3, 1024), (4, 262_144), (5, 4_194_304), *more)
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *entry) for entry in entries))


def asking(operation: str, stream: int, body: bytes, **more: Any) -> bytes:
    head = {"operation": operation, "call_id": f"own-{stream}", "deadline_ms": 10_000, **more}
    return frame(HEADERS, 0, stream, json.dumps(head).encode()) + frame(0, END_STREAM, stream, body)


async def status_of(socket: ClientConnection, stream: int) -> int:
    """Wait for the head that answers a stream of ours."""
    async with asyncio.timeout(5):
        while True:
            message = await socket.recv()
            assert isinstance(message, bytes)
            while message:
                size, (kind, _, at) = (
                    int.from_bytes(message[:3]),
                    struct.unpack(">BBI", message[3:9]),
                )
                payload, message = message[9 : 9 + size], message[9 + size :]
                if (kind, at) == (HEADERS, stream):
                    return int(json.loads(payload)["status"])


def test_program_speaks_its_version_and_the_one_before() -> None:
    assert max(1, PROTOCOL_VERSION - 1) == PROTOCOL_VERSION_MIN


async def test_agent_of_the_oldest_version_is_understood(tmp_path: Path) -> None:
    async with serve_relay(tmp_path) as relay, session_at(relay) as socket:
        await socket.send(settings(PROTOCOL_VERSION_MIN, PROTOCOL_VERSION_MIN))
        await socket.send(asking("report", 2, json.dumps(REPORT).encode()))
        assert await status_of(socket, 2) == 204
        (listed,) = await relay.tenant.connectors.list()
        assert (listed.machine, listed.version) == ("pc-1", "0.0.1")


async def test_agent_of_the_next_version_is_understood_as_far_as_both_go(tmp_path: Path) -> None:
    unknown = frame(42, 0xF0, 0, b"what comes later")
    report = json.dumps({**REPORT, "later": {"more": 1}}).encode()
    async with serve_relay(tmp_path) as relay, session_at(relay) as socket:
        await socket.send(settings(PROTOCOL_VERSION + 1, PROTOCOL_VERSION, (99, 7)) + unknown)
        await socket.send(asking("report", 2, report, later=True))
        assert await status_of(socket, 2) == 204
        await socket.send(asking("a.later.operation", 4, b""))
        assert await status_of(socket, 4) == 405, "and the session goes on"
        await socket.send(asking("report", 6, report))
        assert await status_of(socket, 6) == 204


@pytest.mark.parametrize("newest", [PROTOCOL_VERSION + 2, PROTOCOL_VERSION + 1])
async def test_agent_that_speaks_no_version_of_ours_is_told(tmp_path: Path, newest: int) -> None:
    async with serve_relay(tmp_path) as relay, session_at(relay) as socket:
        await socket.send(settings(newest, PROTOCOL_VERSION + 1))
        assert await closed_with(socket) == CloseCode.PROTOCOL_ERROR
        assert "version" in (socket.close_reason or "")
