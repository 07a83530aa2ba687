"""API and tunnel under one origin: the example proxies do to neither what it could not bear."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from doubles.caller import Caller
from doubles.canaries import remember_document
from doubles.certificates import Authority
from doubles.front_proxies import free_port
from doubles.observing import until
from doubles.one_origin import FRONTS, front
from doubles.program import Program, running, running_relay, told

LARGE = 48 * 1024 * 1024
pytestmark = pytest.mark.timeout(90)

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@dataclass(frozen=True)
class Origin:
    """A proxy that runs, with whom to trust."""

    port: int
    tls: ssl.SSLContext

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"


@asynccontextmanager
async def behind(
    name: str, folder: Path, *, api: Handler, tunnel: Any = None
) -> AsyncIterator[Origin]:
    """One of the proxies, in front of servers that a test wrote."""
    authority = Authority.make()
    certificate = authority.issue(folder, "localhost")
    tls = ssl.create_default_context(cafile=authority.trusted(folder))

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await api(reader, writer)
        finally:
            writer.close()

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            await asyncio.start_server(serve_one, "127.0.0.1", 0)
        )
        other = await stack.enter_async_context(
            serve(tunnel or _refuse, "127.0.0.1", 0, compression=None, ping_interval=None)
        )
        ports = [one.sockets[0].getsockname()[1] for one in (server, other.server)]
        port = await stack.enter_async_context(
            front(name, folder / name, api=ports[0], tunnel=ports[1], certificate=certificate)
        )
        yield Origin(port, tls)


async def _nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _refuse(link: ServerConnection) -> None:
    await link.close()


async def head_of(reader: asyncio.StreamReader) -> dict[str, str]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    return {"": lines[0], **{name.lower(): value for name, value in fields.items()}}


@pytest.mark.parametrize("name", FRONTS)
async def test_rows_arrive_while_the_answer_goes_on(name: str, tmp_path: Path) -> None:
    seen = asyncio.Event()
    asked: list[dict[str, str]] = []  # judged below: here it would only end in a log

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await head_of(reader))
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nfirst\n\r\n")
        await seen.wait()  # a proxy that collects would wait for ever
        writer.write(b"7\r\nsecond\n\r\n0\r\n\r\n")

    async with (
        behind(name, tmp_path, api=answer) as origin,
        httpx.AsyncClient(verify=origin.tls, trust_env=False, timeout=10) as client,
        client.stream("GET", origin.url, headers={"x-forwarded-for": "10.9.9.9"}) as streamed,
    ):
        rows = streamed.aiter_lines()
        assert await anext(rows) == "first"
        seen.set()
        assert await anext(rows) == "second"
    (head,) = asked
    assert head["x-forwarded-for"] == "127.0.0.1", "and nothing that the caller claims"
    assert head["host"].startswith("localhost")


@pytest.mark.parametrize("name", FRONTS)
async def test_uploads_pass_as_they_come_however_large(name: str, tmp_path: Path) -> None:
    begun, sizes = asyncio.Event(), []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int((await head_of(reader))["content-length"])
        size = len(await reader.read(1024))
        begun.set()
        while size < length:
            size += len(await reader.read(256 * 1024))
        sizes.append(size)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async def body() -> AsyncIterator[bytes]:
        yield bytes(1024 * 1024)
        await begun.wait()  # a proxy that collects would wait for ever
        for _ in range(LARGE // 2**20 - 1):
            yield bytes(1024 * 1024)

    async with (
        behind(name, tmp_path, api=answer) as origin,
        httpx.AsyncClient(verify=origin.tls, trust_env=False, timeout=30) as client,
    ):
        told_size = {"content-length": str(LARGE)}
        answered = await client.put(f"{origin.url}/file", content=body(), headers=told_size)
    assert (answered.status_code, sizes) == (204, [LARGE])


@pytest.mark.parametrize("name", FRONTS)
async def test_write_that_broke_off_is_not_sent_again(name: str, tmp_path: Path) -> None:
    requests = []

    async def vanish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append((await head_of(reader))[""])
        writer.transport.abort()

    async with (
        behind(name, tmp_path, api=vanish) as origin,
        httpx.AsyncClient(verify=origin.tls, trust_env=False, timeout=10) as client,
    ):
        answered = [
            (await client.request(method, f"{origin.url}/records")).status_code
            for method in ("POST", "DELETE", "GET")
        ]
    assert answered == [502, 502, 502]
    assert len(requests) == 3


@pytest.mark.parametrize("name", FRONTS)
async def test_write_that_broke_off_on_a_kept_connection_is_not_sent_again(
    name: str, tmp_path: Path
) -> None:
    """What breaks off there looks to a proxy like a connection that had ended before."""
    writes = []

    async def vanish_later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while (line := (await head_of(reader))[""]).startswith("GET"):
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            writes.append(line.partition(" ")[0])
            writer.transport.abort()

    methods = ["POST", "PUT", "PATCH", "DELETE"]
    async with (
        behind(name, tmp_path, api=vanish_later) as origin,
        httpx.AsyncClient(verify=origin.tls, trust_env=False, timeout=10) as client,
    ):
        for method in methods:
            assert (await client.get(f"{origin.url}/records")).status_code == 204
            assert (await client.request(method, f"{origin.url}/records")).status_code == 502
    assert writes == methods


@pytest.mark.nightly
@pytest.mark.timeout(200)
@pytest.mark.parametrize("name", FRONTS)
async def test_tunnel_in_which_nothing_is_said_stays(name: str, tmp_path: Path) -> None:
    async def echo(link: ServerConnection) -> None:
        async for message in link:
            await link.send(message)

    async with (
        behind(name, tmp_path, api=_nothing, tunnel=echo) as origin,
        connect(
            f"wss://localhost:{origin.port}/tunnel", ssl=origin.tls, proxy=None, ping_interval=None
        ) as link,
    ):
        await link.send("one")
        assert await link.recv() == "one"
        await asyncio.sleep(100)  # longer than any proxy waits by itself: nginx 60 seconds
        await link.send("two")
        assert await link.recv() == "two"


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.timeout(240)  # it starts a dozen processes, one after the other
@pytest.mark.parametrize("name", ["nginx", pytest.param("caddy", marks=pytest.mark.nightly)])
async def test_relay_and_agent_meet_behind_the_proxy(name: str, tmp_path: Path) -> None:
    authority = Authority.make()
    certificate = authority.issue(tmp_path, "localhost")
    trusted, port, data_dir = authority.trusted(tmp_path), free_port(), tmp_path / "relay"
    url, home = f"https://localhost:{port}", tmp_path / "agent"
    made = await told("cloud_connect_relay", "init", "--data-dir", str(data_dir))
    (data_dir / "relay.toml").write_text(
        f'public_url = "{url}"\n[tunnel]\nedge_certs = ["{certificate[0]}"]\n'
    )
    (data_dir / "relay.toml").chmod(0o600)
    simulator = Program(
        "procore_simulator",
        *("--json", "--port", "0", "--login-port", "0", "--admin-port", "0", "--storage-port", "0"),
        log=tmp_path / "simulator.log",
    )
    agent = Program(
        *("cloud_connect_agent", "run", "--home", str(home)),
        log=tmp_path / "agent.log",
        says_ready=False,
    )
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(running_relay(data_dir, log=tmp_path / "relay.log"))
        await stack.enter_async_context(
            front(
                *(name, tmp_path / name),
                api=relay.ready["port"],
                tunnel=relay.ready["tunnel_port"],
                certificate=certificate,
                port=port,
            )
        )
        await stack.enter_async_context(running(simulator))
        api = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=url,
                headers={"Authorization": f"Bearer {made['api_key']}"},
                verify=ssl.create_default_context(cafile=trusted),
                trust_env=False,
                timeout=30,
            )
        )
        token = (await api.post("/api/enrolment-tokens", json={})).json()
        remember_document("join-token", token)
        connector = await enrolled(home, url, trusted, token["token"], simulator.ready)
        await stack.enter_async_context(running(agent))

        async def listed() -> dict[str, Any]:
            found: dict[str, Any] = (await api.get(f"/api/connectors/{connector}")).json()
            return found

        async def online() -> bool:
            return str((await listed())["status"]) == "online"

        await until(online, within=30)
        assert (await listed())["certificate"] == "verified", "the proxy's, and it is ours"
        company = next(one for one in simulator.ready["companies"] if one.get("connected"))
        project = next(
            one for one in simulator.ready["projects"] if one["company_id"] == company["id"]
        )
        source = await api.post(
            "/api/datasources",
            json={
                "title": "Procore",
                "type": "procore",
                "settings": {
                    "companyId": str(company["id"]),
                    "environment": "developer_sandbox",
                },
                "useConnector": True,
                "connectorId": [connector],
            },
        )
        caller = Caller(api, source.json()["id"], project["id"])
        assert (await caller.create("behind a proxy")).status == 201
        assert (await caller.read()).status == 200


async def enrolled(
    home: Path, url: str, trusted: Path, token: str, simulator: dict[str, Any]
) -> str:
    """Enrol an agent at the proxy and sign it in; return the connector's id."""
    at_home = ("--home", str(home))
    given = ("--relay", url, "--ca", str(trusted), "--policy", "read-write")
    made = await told("cloud_connect_agent", "enrol", *at_home, *given, stdin=token)
    app = simulator["environments"]["developer_sandbox"]
    named = ("--environment", "developer-sandbox")
    places = ("--api-url", simulator["api_url"], "--login-url", simulator["login_url"])
    await told(
        "cloud_connect_agent",
        *("procore", "app", *at_home, *named, *places),
        *("--client-id", app["client_id"], "--secret-stdin"),
        stdin=app["client_secret"],
    )
    grant = ("--grant", "client-credentials")
    await told("cloud_connect_agent", "procore", "login", *at_home, *named, *grant)
    connector: str = made["connector_id"]
    return connector
