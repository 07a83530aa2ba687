"""Tests of ``cloud_connect_agent.procore.files.storage``: who is connected to, and how."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.calls import Environment
from cloud_connect.errors import DeadlineExceededError, SourceUnavailableError
from cloud_connect_agent.procore.environments import Endpoints
from cloud_connect_agent.procore.files.storage import Storage
from cloud_connect_agent.procore.transport import Timeouts
from cloud_connect_agent.proxies import Proxies, ProxySettings
from cloud_connect_agent.tls import client_context
from doubles.certificates import Authority
from doubles.fake_procore import FakeHost, Reply

SANDBOX = Environment.DEVELOPER_SANDBOX


class Hosts:
    """A rehearsal: the API is on this machine."""

    def __init__(self, ca_file: Path | None = None) -> None:
        self.ca_file = ca_file

    def endpoints(self, environment: Environment) -> Endpoints:
        return Endpoints(
            environment=environment,
            api_url="http://127.0.0.1:9000",
            login_url="http://127.0.0.1:9001",
            ca_file=self.ca_file,
        )

    def trust(self, ca_file: Path | None) -> ssl.SSLContext:
        return client_context(ca_file)


def storage(ca_file: Path | None = None) -> Storage:
    return Storage(Hosts(ca_file), timeouts=Timeouts(connect_timeout=1.0, stall_timeout=1.0))


async def fetch(made: Storage, link: str) -> bytes:
    url = made.check(SANDBOX, link)
    opening = made.open("GET", url, environment=SANDBOX, headers=(), deadline=None)
    async with opening as answer:
        return b"".join([chunk async for chunk in answer.chunks()])


@pytest.fixture
async def host() -> AsyncIterator[FakeHost]:
    made = FakeHost(lambda _: Reply(body=b"file"))
    async with made.serve():
        yield made


async def test_the_certificate_must_be_of_the_name_and_not_of_the_address(tmp_path: Path) -> None:
    authority, asked = Authority.make(), []
    for name, works in (("localhost", True), ("other.example", False)):
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(*authority.issue(tmp_path, name))
        server.sni_callback = lambda _, sni, __: asked.append(sni)
        made = FakeHost(lambda _: Reply(body=b"file"))
        async with made.serve(server):
            link = made.url.replace("127.0.0.1", "localhost")
            trusting = storage(authority.trusted(tmp_path))
            if works:
                assert await fetch(trusting, link) == b"file"
                assert made.seen[0].headers["host"] == link.removeprefix("https://")
            else:
                with pytest.raises(SourceUnavailableError, match="another name's certificate"):
                    await fetch(trusting, link)
            with pytest.raises(SourceUnavailableError, match="not trusted"):
                await fetch(storage(), link)
    assert set(asked) == {"localhost"}


async def test_the_next_address_is_tried_where_one_is_dead(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def two(_: str, port: int, **__: Any) -> list[Any]:
        places = [("127.0.0.2", port), ("127.0.0.1", port)]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", two)
    assert await fetch(storage(), host.url.replace("127.0.0.1", "localhost")) == b"file"


async def test_a_name_that_is_not_known_is_told(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unknown(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    with pytest.raises(SourceUnavailableError, match="cannot be resolved"):
        await fetch(storage(), host.url)


async def test_a_proxy_of_the_site_is_used(host: FakeHost) -> None:
    settings = ProxySettings(url=host.url, loopback=True)
    made = Storage(Hosts(), timeouts=Timeouts(), proxies=Proxies(settings))
    assert await fetch(made, "http://localhost:9005/file?sig=1") == b"file"
    assert host.seen[0].target == "http://localhost:9005/file?sig=1"


async def test_a_transfer_waits_for_its_turn_and_not_forever(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_connect_agent.procore.files.storage._TURN_SECONDS", 0.05)
    made = storage()
    for _ in range(64):
        await made._transfers.acquire()
    with pytest.raises(DeadlineExceededError, match="on their way already"):
        await fetch(made, host.url)
    made._transfers.release()
    assert await fetch(made, host.url) == b"file"
