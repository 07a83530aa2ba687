"""Ten thousand headers or trailers, from whoever: refused, and hardly any memory."""

import asyncio
import contextlib
import ssl
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest
from websockets.asyncio.server import ServerConnection, serve

from cloud_connect.errors import CloudConnectError, Outcome, SourceUnavailableError
from cloud_connect.tunnel import FrameType
from cloud_connect_agent.dialling import DialError, dial
from cloud_connect_agent.procore.client import ApiRequest, ProcoreClient
from cloud_connect_agent.relay_api import RelayApi, RelayUnreachableError
from cloud_connect_agent.settings import TunnelSettings
from doubles.fake_procore import SANDBOX, SOURCE, FakeHost, FakeProcore, MemoryVault, Reply
from doubles.fleet import Fleet, fleet
from doubles.link_bench import run_agent, serve_relay
from doubles.raw_agent import INTRODUCTION, SUBPROTOCOLS, closed_with, session_at

COUNT: Final = 10_000
MORE_BYTES: Final = 5 * 1024 * 1024
TIMES: Final = 20
LINES: Final = b"".join(b"X-%d: y\r\n" % number for number in range(COUNT))
LINES_OF_ONE_NAME: Final = b"X: y\r\n" * COUNT
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
ME: Final = ApiRequest(method="GET", path="/rest/v1.0/me")
CREATE: Final = ApiRequest(method="POST", path="/rest/v1.0/rfis", json={"rfi": {"subject": "x"}})


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet(tmp_path, settings="[tunnel]\nhandshakes_per_second = 10000\n") as made:
        yield made


async def refused(port: int, sent: bytes) -> bytes:
    """Send bytes and return the first line of the answer; the connection must be closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        writer.write(sent)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                while piece := await reader.read(65_536):
                    answer += piece
    finally:
        writer.transport.abort()
    return answer.split(b"\r\n")[0]


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """Hold the block to the memory that headers may cost in this process."""
    tracemalloc.start()
    try:
        yield
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most <= MORE_BYTES


@pytest.mark.catalogue("T99")
async def test_callers_and_strangers_headers_and_trailers_are_refused_early(relay: Fleet) -> None:
    ready = relay.relay.ready
    start = b"POST /Token HTTP/1.1\r\nHost: relay\r\n"
    usual = start + b"Connection: close\r\nContent-Length: 0\r\n\r\n"
    assert (await refused(ready["port"], usual)).startswith(b"HTTP/1.1 4")
    before = relay.relay.usage.rss_bytes
    for _ in range(TIMES):
        for lines in (LINES, LINES_OF_ONE_NAME):
            head = await refused(ready["port"], start + lines + b"\r\n")
            assert head == b"" or head.startswith(b"HTTP/1.1 431 ")
            trailers = await refused(ready["port"], start + CHUNKED + lines + b"\r\n")
            assert trailers == b"" or trailers.startswith(b"HTTP/1.1 400 ")
            upgrade = await refused(ready["tunnel_port"], b"GET /tunnel HTTP/1.1\r\n" + lines)
            assert b" 101 " not in upgrade
    assert relay.relay.usage.rss_bytes - before <= MORE_BYTES
    assert (await relay.api.get("/healthz")).status_code == 200


@pytest.mark.catalogue("T99")
async def test_agents_heads_with_too_many_headers_end_its_session(tmp_path: Path) -> None:
    some = ",".join('["x","y"]' for _ in range(257))
    many = ",".join('["x","y"]' for _ in range(COUNT))
    async with serve_relay(tmp_path) as relay, run_agent(relay, tmp_path / "good") as good:
        live = await relay.session_of(good.connector_id)
        for headers in (some, many):
            async with session_at(relay) as socket:
                head = (
                    f'{{"operation":"report","call_id":"c","deadline_ms":1,"headers":[{headers}]}}'
                )
                with little_memory():
                    await socket.send(INTRODUCTION)
                    payload = head.encode()
                    frame = (len(payload) << 8 | FrameType.HEADERS).to_bytes(4) + b"\0\0\0\0\2"
                    await socket.send(frame + payload)
                    assert await closed_with(socket) in {1002, 1009}
        assert relay.registry.get(good.connector_id) is live


@pytest.mark.catalogue("T99")
async def test_procores_headers_and_trailers_end_the_call_and_not_the_agent() -> None:
    vault = MemoryVault()
    vault.store_app()
    ok = b"HTTP/1.1 200 OK\r\n"
    async with (
        FakeProcore().serve() as procore,
        ProcoreClient.open(procore.settings, vault, spread=lambda: 0.0) as client,
    ):
        await client.authenticator.sign_in(SANDBOX)

        async def ask(request: ApiRequest, raw: bytes) -> CloudConnectError | None:
            procore.api.default = lambda _: Reply(raw=raw)
            try:
                await client.request(request, source=SOURCE, deadline=time.monotonic() + 2)
            except CloudConnectError as error:
                return error
            return None

        await ask(ME, ok + b"Content-Length: 2\r\n\r\n[]")
        with little_memory():
            for lines in (LINES, LINES_OF_ONE_NAME):
                answer = ok + lines + b"Content-Length: 2\r\n\r\n{}"
                assert isinstance(await ask(ME, answer), SourceUnavailableError)
                write = await ask(CREATE, answer)
                assert write is not None
                assert write.outcome is Outcome.UNKNOWN
                trailed = await ask(ME, ok + CHUNKED + lines + b"\r\n")
                assert isinstance(trailed, SourceUnavailableError)
        procore.api.default = lambda _: Reply(body=[{"id": 1}])
        answered = await client.request(ME, source=SOURCE, deadline=time.monotonic() + 5)
        assert answered.json == [{"id": 1}]


@pytest.mark.catalogue("T99")
async def test_relays_headers_are_refused_by_the_agent() -> None:
    def many(_: ServerConnection, __: object, response: object) -> None:
        for number in range(COUNT):
            response.headers[f"X-{number}"] = "y"  # type: ignore[attr-defined]

    async def hold(connection: ServerConnection) -> None:
        await connection.wait_closed()

    tls = ssl.create_default_context()
    async with serve(
        hold, "127.0.0.1", 0, subprotocols=SUBPROTOCOLS, process_response=many
    ) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/tunnel"
        with little_memory(), pytest.raises(DialError):
            async with dial(url, tls=tls, settings=TunnelSettings()):
                pass
    answer = b"HTTP/1.1 200 OK\r\n" + LINES + b"Content-Length: 2\r\n\r\n{}"
    async with (
        FakeHost(lambda _: Reply(raw=answer)).serve() as host,
        RelayApi.open(host.url, tls=tls) as api,
    ):
        with little_memory(), pytest.raises(RelayUnreachableError):
            await api.challenge("token")
