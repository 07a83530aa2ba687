"""Peers that break RFC 6455: their own session ends with the right code, and no other."""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.typing import Subprotocol

from cloud_connect.tunnel import Frame, FrameType
from cloud_connect_agent.dialling import DialError, allow_frames, dial
from cloud_connect_agent.settings import TunnelSettings
from doubles.link_bench import Relay, run_agent, serve_relay
from doubles.raw_agent import SUBPROTOCOLS, closed_with, session_at, socket_to
from doubles.raw_frames import BINARY, CLOSE, CONT, PING, PONG, TEXT, ws_frame

Make = Callable[[bool], bytes]
PATIENCE: Final = 15.0  # seconds: the machine may be busy with other tests


class Case(NamedTuple):
    """What a peer sends, given whether it has to mask, and the code that ends its session."""

    name: str
    code: int
    make: Make


def case(name: str, code: int, *frames: tuple[int, bytes], **details: Any) -> Case:
    def make(mask: bool) -> bytes:  # noqa: FBT001 - as the table's
        return b"".join(ws_frame(op, data, mask=mask, **details) for op, data in frames)

    return Case(name, code, make)


def close(code: int, reason: bytes = b"") -> tuple[int, bytes]:
    return CLOSE, struct.pack("!H", code) + reason


def begun(then: Make) -> Make:
    """Begin a message, then do something."""
    return lambda mask: ws_frame(TEXT, b"x" * 1024, mask=mask, fin=False) + then(mask)


CASES: Final = [
    Case("wrong masking", 1002, lambda mask: ws_frame(TEXT, b"{}", mask=not mask)),
    *(case(f"reserved bit {bit}", 1002, (TEXT, b"{}"), reserved=bit) for bit in (1, 2, 4)),
    case("compressed without agreement", 1002, (BINARY, b"\xaaV*\xcaL\x07\x00"), reserved=4),
    *(case(f"reserved opcode {op}", 1002, (op, b"")) for op in (3, 4, 5, 6, 7, 11, 12, 15)),
    *(case(f"fragmented control {op}", 1002, (op, b""), fin=False) for op in (CLOSE, PING, PONG)),
    *(case(f"long control {op}", 1002, (op, b"\x03\xe8" + b"x" * 124)) for op in (CLOSE, PING)),
    case("invalid UTF-8", 1007, (TEXT, b'{"a":"\xc3\x28"}')),
    case("surrogate in UTF-8", 1007, (TEXT, b"\xed\xa0\x80")),
    case("continuation of nothing", 1002, (CONT, b"x")),
    Case("message within a message", 1002, begun(lambda mask: ws_frame(TEXT, b"", mask=mask))),
    Case("end within a message", 1002, begun(lambda mask: ws_frame(*close(1000), mask=mask))),
    *(
        case(f"length of {name}", 1009, (BINARY, b""), length=length)
        for name, length in (("2^63", 2**63), ("2^64-1", 2**64 - 1), ("2^62", 2**62))
    ),
    *(
        case(f"close code {code}", 1002, close(code))
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
    ),
    case("half a close code", 1002, (CLOSE, b"\x03")),
    case("close reason without UTF-8", 1007, close(1000, b"\xff")),
]


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    many = {"max_pending_per_source": 1000, "handshakes_per_second": 1000}
    async with serve_relay(tmp_path, tunnel=many) as relay:
        yield relay


async def end_of(connection: ClientConnection | ServerConnection, sent: bytes) -> int | None:
    """Send bytes past the library; with which code the other end says farewell."""
    connection.transport.write(sent)
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await connection.recv()
        await connection.wait_closed()
    return connection.close_code


@contextlib.asynccontextmanager
async def dialled(**options: Any) -> AsyncIterator[tuple[ClientConnection, ServerConnection]]:
    """An agent's end of a tunnel, and the other end of it."""
    met: asyncio.Future[ServerConnection] = asyncio.get_running_loop().create_future()

    async def hold(connection: ServerConnection) -> None:
        met.set_result(connection)
        await connection.wait_closed()

    options.setdefault("compression", None)
    async with serve(hold, "127.0.0.1", 0, subprotocols=SUBPROTOCOLS, **options) as server:
        port = server.sockets[0].getsockname()[1]
        async with dial(
            f"ws://127.0.0.1:{port}/tunnel",
            tls=ssl.create_default_context(),
            settings=TunnelSettings(),
        ) as link:
            yield link, await met


@pytest.mark.catalogue("T88")
async def test_each_broken_rule_ends_the_strangers_and_the_agents_own_session_only(
    relay: Relay, tmp_path: Path
) -> None:
    wrong: dict[str, object] = {}

    async def try_it(case: Case, *, stranger: bool) -> None:
        opened = socket_to(relay) if stranger else session_at(relay)
        async with opened as socket:
            code = await end_of(socket, case.make(True))
        if code != case.code:
            wrong[f"{case.name}, stranger: {stranger}"] = code

    async with run_agent(relay, tmp_path / "good") as good:
        live = await relay.session_of(good.connector_id)
        for at in range(0, len(CASES), 8):
            async with asyncio.TaskGroup() as tasks:
                for one in CASES[at : at + 8]:
                    tasks.create_task(try_it(one, stranger=True))
                    tasks.create_task(try_it(one, stranger=False))
        assert not wrong
        assert relay.registry.get(good.connector_id) is live
        assert await live.session.ping() < 5
    assert relay.gateway is not None
    assert relay.gateway.admission.pending == 0


@pytest.mark.catalogue("T88")
async def test_each_broken_rule_of_a_relay_ends_the_agents_link() -> None:
    wrong: dict[str, object] = {}

    async def try_it(case: Case) -> None:
        async with dialled() as (link, far):

            async def read() -> None:
                with contextlib.suppress(ConnectionClosed):
                    while True:
                        await link.recv()

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(read())
                code = await end_of(far, case.make(False))
        if code != case.code:
            wrong[case.name] = code

    for at in range(0, len(CASES), 8):
        async with asyncio.TaskGroup() as tasks:
            for one in CASES[at : at + 8]:
                tasks.create_task(try_it(one))
    assert not wrong


@pytest.mark.catalogue("T88")
async def test_peer_that_does_not_hang_up_after_its_farewell_is_cut_off(relay: Relay) -> None:
    async with session_at(relay) as socket:
        tcp = socket.transport.get_extra_info("socket").dup()
        socket.transport.write(ws_frame(3, mask=True))
        socket.transport.pause_reading()
        async with asyncio.timeout(5):
            while relay.gateway is None or len(relay.registry):
                await relay.registry.changed()
        tcp.close()
        socket.transport.resume_reading()


@pytest.mark.catalogue("T89")
async def test_agent_leaves_a_relay_that_floods_it() -> None:
    floods = {
        "pings": ws_frame(PING, mask=False) * 2000,
        "empty fragments": ws_frame(BINARY, mask=False, fin=False)
        + ws_frame(CONT, mask=False, fin=False) * 2000,
    }
    for name, sent in floods.items():
        async with dialled() as (_, far):
            assert await end_of(far, sent) == 1002, name
            assert (far.close_reason or "").startswith("rate_abuse"), name


@pytest.mark.catalogue("T90")
async def test_message_over_its_limit_is_refused_by_the_length_it_declares(relay: Relay) -> None:
    async with socket_to(relay) as stranger:
        await stranger.recv()
        assert await end_of(stranger, ws_frame(TEXT, mask=True, length=4097)) == 1009
    async with session_at(relay) as agent:
        most = 128 * 1024 + 1024
        assert await end_of(agent, ws_frame(BINARY, mask=True, length=most + 1)) == 1009
    async with dialled() as (link, far):
        allow_frames(link)
        assert await end_of(far, ws_frame(BINARY, mask=False, length=most + 1)) == 1009
    async with dialled() as (_, far):
        assert await end_of(far, ws_frame(TEXT, mask=False, length=4097)) == 1009


@pytest.mark.catalogue("T90")
async def test_tunnel_message_one_byte_over_the_protocols_limit_breaks_it(relay: Relay) -> None:
    async with session_at(relay) as agent:
        much = Frame(kind=FrameType.DATA, payload=bytes(64 * 1024 - 9)).encode() * 2
        assert await end_of(agent, ws_frame(BINARY, much + b"x", mask=True)) == 1002


@pytest.mark.catalogue("T91")
async def test_compression_is_neither_agreed_to_nor_taken_unagreed(relay: Relay) -> None:
    async with connect(relay.tunnel_url, subprotocols=SUBPROTOCOLS, proxy=None) as socket:
        assert socket.response is not None
        assert "Sec-WebSocket-Extensions" not in socket.response.headers
        assert socket.protocol.extensions == []
    async with dialled(extensions=[ServerPerMessageDeflateFactory()], compression="deflate") as (
        link,
        _,
    ):
        assert link.protocol.extensions == []
    with pytest.raises(DialError, match="no relay's tunnel"):
        async with dialled(process_response=_agree_to_compress):
            pass


def _agree_to_compress(_: ServerConnection, __: object, response: Any) -> None:
    response.headers["Sec-WebSocket-Extensions"] = "permessage-deflate"


@pytest.mark.catalogue("T97")
async def test_web_pages_other_protocols_and_other_paths_find_no_tunnel(relay: Relay) -> None:
    assert relay.gateway is not None
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    usual = {
        "Host": "Host: relay",
        "Upgrade": "Upgrade: websocket",
        "Connection": "Connection: Upgrade",
        "Version": "Sec-WebSocket-Version: 13",
        "Key": key,
        "Protocol": "Sec-WebSocket-Protocol: cloud-connect.v1",
    }
    attempts = {
        "of a web page": ("/tunnel", {**usual, "Origin": "Origin: https://evil.example"}),
        "of a page of the relay's own": ("/tunnel", {**usual, "Origin": "Origin: http://relay"}),
        "of a sandboxed page": ("/tunnel", {**usual, "Origin": "Origin: null"}),
        "of a nameless page": ("/tunnel", {**usual, "Origin": "Origin:"}),
        "with another subprotocol": (
            "/tunnel",
            {**usual, "Protocol": "Sec-WebSocket-Protocol: cloud-connect.v0, chat"},
        ),
        "without a subprotocol": ("/tunnel", {**usual, "Protocol": "X-Nothing: 1"}),
        "elsewhere": ("/", usual),
        "elsewhere, by a query": ("/tunnel?x=1", usual),
        "of another version": ("/tunnel", {**usual, "Version": "Sec-WebSocket-Version: 8"}),
        "with two keys": ("/tunnel", {**usual, "Again": key}),
        "with a short key": ("/tunnel", {**usual, "Key": "Sec-WebSocket-Key: AAAA"}),
        "by POST": ("POST", usual),
    }
    taken = []
    for name, (path, headers) in attempts.items():
        start = "POST /tunnel" if path == "POST" else f"GET {path}"
        request = "\r\n".join([f"{start} HTTP/1.1", *headers.values(), "", ""])
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.gateway.port)
        writer.write(request.encode())
        async with asyncio.timeout(5):
            answer = await reader.read(4096)
            while not reader.at_eof():
                await reader.read(4096)
        writer.close()
        if b" 101 " in answer.split(b"\r\n")[0]:
            taken.append(name)
    assert not taken
    assert Subprotocol("cloud-connect.v1") in SUBPROTOCOLS


@pytest.mark.catalogue("T97")
async def test_stranger_is_read_no_further_than_its_handshake_needs(relay: Relay) -> None:
    async with socket_to(relay) as socket:
        await socket.recv()
        hello = b'{"type":"hello","filler":"' + b"x" * 3000
        pings = b"".join(ws_frame(PING, b"x" * 100, mask=True) for _ in range(30))
        code = await end_of(socket, ws_frame(TEXT, hello, mask=True, fin=False) + pings)
        assert code == 1009
    assert await closed_with(socket) == 1009
