"""A Procore that is hostile or broken: redirects, bombs, headers."""

import asyncio
import gzip
import itertools
import socket
import ssl
import subprocess
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from cloud_connect.errors import CloudConnectError, DeadlineExceededError
from cloud_connect_agent.procore.messages import ApiRequest
from cloud_connect_agent.settings import EnvironmentSettings
from doubles.agent_bench import Bench, bench
from doubles.canary_server import CanaryServer
from doubles.certificates import Authority
from doubles.fake_procore import SANDBOX, SOURCE, FakeHost, FakeProcore, Reply, Seen
from doubles.namespaces import private_network

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

MIB: Final = 1024 * 1024
MAX_GROWTH: Final = 32 * MIB
MAX_LAG: Final = 0.1  # seconds
API: Final = "api.procore.com"
STORAGE: Final = "storage.procore.com"
PUBLIC: Final = "44.4.4.4"  # an address of the internet, here one of a network without any

Resolve = Callable[[str], list[str]]


@pytest.fixture
def _own_network() -> Iterator[None]:
    """A network that has the address of the internet, and no way out."""
    with private_network():
        subprocess.run(
            ["ip", "address", "add", f"{PUBLIC}/32", "dev", "lo"], check=True, timeout=10
        )
        yield


def context_for(folder: Path, authority: Authority, host: str) -> ssl.SSLContext:
    certificate, key = authority.issue(folder, host)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


@asynccontextmanager
async def at_procore(folder: Path) -> AsyncIterator[tuple[Bench, FakeProcore, Path, Authority]]:
    """An agent whose API is one of the internet, by its name and with TLS."""
    authority = Authority.make()
    ca_file = authority.trusted(folder)
    procore = FakeProcore()
    async with (
        procore.login.serve(),
        procore.api.serve(ssl=context_for(folder, authority, API)),
    ):
        port = procore.api.url.rpartition(":")[2]
        section = EnvironmentSettings(
            api_url=f"https://{API}:{port}", login_url=procore.login.url, ca_file=ca_file
        )
        async with bench(folder, settings={"environments": {SANDBOX.flag: section}}) as agent:
            yield agent, procore, ca_file, authority


class Names:
    """A resolver that a test scripts; it answers each question anew."""

    def __init__(self) -> None:
        self.known: dict[str, Resolve] = {
            API: lambda _: ["127.0.0.1"],
            "127.0.0.1": lambda _: ["127.0.0.1"],
        }
        self.asked: list[str] = []

    async def __call__(self, host: Any, port: Any, **_: Any) -> list[Any]:
        self.asked.append(host)
        if host not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in self.known[host](host)
        ]


@pytest.mark.usefixtures("_own_network")
@pytest.mark.catalogue("T106")
async def test_no_redirect_carries_the_token_away_or_leads_into_the_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", names)
    async with (
        CanaryServer.open() as canary,
        at_procore(tmp_path) as (agent, procore, _, authority),
    ):
        inside = f"127.0.0.1:{canary.port}"
        own = f"https://{API}:{procore.api.url.rpartition(':')[2]}"
        names.known["evil.example"] = lambda _: ["127.0.0.1"]
        names.known["localhost"] = lambda _: ["127.0.0.1"]

        async def follow(location: str) -> int:
            procore.api.then(Reply(status=302, headers={"location": location}))
            answer = await agent.raw("GET", "rest/v1.0/files/1")
            return answer.head.status

        for location in (
            f"https://evil.example:{canary.port}/steal",
            "https://evil.example/steal",
            f"http://evil.example:{canary.port}/steal",
            f"http://{API}:{canary.port}/rest/v1.0/me",
            f"http://{inside}/",
            f"https://{inside}/",
            f"https://localhost:{canary.port}/",
            f"https://[::1]:{canary.port}/",
            f"http://[::ffff:127.0.0.1]:{canary.port}/",
            f"http://0:{canary.port}/",
            f"http://2130706433:{canary.port}/",
            f"//{inside}/",
            f"\\\\{inside}/",
            f"https://{API}@{inside}/",
            f"https://{API}:{canary.port}/",
            f"https://{STORAGE}:{canary.port}/",
            "http://169.254.169.254/latest/meta-data/",
            "https://169.254.169.254/latest/meta-data/",
            "file:///etc/passwd",
            "javascript:fetch('/')",
        ):
            assert await follow(location) in {403, 502}, location
        # Ten hops at the API itself: given up on the way.
        procore.api.seen.clear()
        hops = itertools.count(2)
        procore.api.default = lambda _: Reply(
            status=302, headers={"location": f"{own}/rest/v1.0/files/{next(hops)}"}
        )
        answer = await agent.raw("GET", "rest/v1.0/files/1")
        assert answer.head.status == 502
        assert len(procore.api.seen) <= 7
        procore.api.default = lambda _: Reply(body={"id": 1})
        # A name whose address is a private one, from the first look or from the second on.
        names.known[STORAGE] = lambda _: ["127.0.0.1"]
        assert await follow(f"https://{STORAGE}/f") == 403
        names.known[STORAGE] = lambda _: ["10.0.0.1", "127.0.0.1"]
        assert await follow(f"https://{STORAGE}/f") == 403
        turning = itertools.chain([[PUBLIC]], itertools.repeat(["127.0.0.1"]))
        names.known[STORAGE] = lambda _: next(turning)
        storage = await _storage(tmp_path, authority)
        async with storage[0], await asyncio.start_server(_count(canary), "127.0.0.1", 443):
            assert await follow(f"https://{STORAGE}/f") == 200
        assert names.asked.count(STORAGE) == 3
        assert canary.heard == []
        # Procore itself asks for its token at hosts of its own domain; nobody else saw it.
        assert [seen.headers.get("authorization", "")[:7] for seen in storage[1]] == ["Bearer "]


def _count(
    canary: CanaryServer,
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
    def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        canary.heard.append(b"at 443")
        writer.close()

    return connected


async def _storage(folder: Path, authority: Authority) -> tuple[asyncio.Server, list[Seen]]:
    """Serve a file at Procore's storage, at an address of the internet."""
    host = FakeHost(lambda _: Reply(body=b"the file"))
    server = await asyncio.start_server(
        host._connected, PUBLIC, 443, ssl=context_for(folder, authority, STORAGE)
    )
    return server, host.seen


@contextmanager
def resident() -> Iterator[list[int]]:
    """Note by how many bytes this process grows while the block runs, at its peak."""
    page = 4096

    def rss() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * page

    before, grown, stop = rss(), [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.005):
            grown[0] = max(grown[0], rss() - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield grown
    finally:
        stop.set()
        thread.join()


@asynccontextmanager
async def loop_lag() -> AsyncIterator[list[float]]:
    """Note for how long the loop was kept from other tasks at most.

    Counted in this thread's own CPU time: what other processes of the machine do is not ours.
    """
    worst = [0.0]

    async def tick() -> None:
        while True:
            at = time.thread_time()
            await asyncio.sleep(0.001)
            worst[0] = max(worst[0], time.thread_time() - at)

    async with asyncio.TaskGroup() as tasks:
        ticking = tasks.create_task(tick())
        try:
            yield worst
        finally:
            ticking.cancel()


def endless(pattern: bytes) -> Callable[[Seen], Reply]:
    """Answer with a body that has no end, as far as memory goes."""

    class Endless(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            return itertools.repeat(pattern, 4096)  # 256 MiB

        def __bool__(self) -> bool:
            return True

    return lambda _: Reply(chunks=Endless(), headers={"content-type": "application/json"})


def packed(body: bytes, encoding: str) -> Callable[[Seen], Reply]:
    reply = Reply(body=body, headers={"content-encoding": encoding})
    return lambda _: reply


def deflated(data: bytes, *, wbits: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return packer.compress(data) + packer.flush()


@pytest.mark.catalogue("T107")
async def test_no_bomb_of_procore_fills_the_memory_or_holds_up_the_loop(tmp_path: Path) -> None:
    zeros = bytes(64 * MIB)
    once = gzip.compress(zeros)
    bombs: list[tuple[str, Callable[[Seen], Reply], str]] = [
        ("gzip", packed(once, "gzip"), "100 times"),
        ("nested gzip", packed(gzip.compress(once), "gzip"), "not JSON|JSON|web page|100 times"),
        ("gzip, gzip", packed(gzip.compress(once), "gzip, gzip"), "packed its answer as"),
        ("deflate", packed(deflated(zeros, wbits=15), "deflate"), "100 times"),
        ("raw deflate", packed(deflated(zeros, wbits=-15), "deflate"), "100 times|damaged"),
        ("brotli", packed(b"\x5b\xff\xff\x03" + bytes(64), "br"), "packed its answer as 'br'"),
        ("zstd", packed(b"\x28\xb5\x2f\xfd" + bytes(64), "zstd"), "packed its answer as 'zstd'"),
        ("endless", endless(b"[" * 65_536), "over the limit of 16777216 bytes"),
        ("endless blanks", endless(b" " * 65_536), "over the limit of 16777216 bytes"),
    ]
    del zeros
    async with bench(tmp_path) as agent:

        async def ask(deadline: float = 20.0) -> None:
            await agent.client.request(
                ApiRequest(method="GET", path="/rest/v1.0/rfis"),
                source=SOURCE,
                deadline=time.monotonic() + deadline,
            )

        await ask()  # warm: code is loaded
        with resident() as grown:  # all of them together: what one leaves, the next may use
            for name, bomb, reason in bombs:
                agent.procore.api.default = bomb
                async with loop_lag() as lag:
                    with pytest.raises(CloudConnectError, match=reason):
                        await ask()
                print(f"T107 {name}: +{grown[0] / MIB:.1f} MiB, {lag[0] * 1000:.0f} ms")  # noqa: T201
                assert grown[0] <= MAX_GROWTH, name
                assert lag[0] < MAX_LAG, name
        agent.procore.api.default = dripping
        with pytest.raises(DeadlineExceededError, match="deadline"):
            await ask(2.0)
        agent.procore.api.default = lambda _: Reply(body={"id": 1})
        await ask()


async def dripping(_: Seen) -> Reply:
    """Answer a byte, and another a second later, without an end in sight."""
    return Reply(
        headers={"content-length": "1000000", "content-type": "application/json"},
        body=b"[",
        cut=1,
        hang=True,
    )


@pytest.mark.catalogue("T108")
async def test_only_listed_headers_of_procore_reach_the_caller(tmp_path: Path) -> None:
    async with bench(tmp_path) as agent:
        hostile = {
            "Set-Cookie": "session=stolen; Domain=.example.com",
            "Location": "https://evil.example/",
            "Content-Location": "https://evil.example/",
            "Connection": "X-Secret, keep-alive",
            "Keep-Alive": "timeout=5",
            "Proxy-Authenticate": "Basic",
            "Trailer": "X-Late",
            "Upgrade": "h2c",
            "Refresh": "0; url=https://evil.example/",
            "Strict-Transport-Security": "max-age=0",
            "Access-Control-Allow-Origin": "*",
            "Content-Security-Policy": "default-src *",
            "Clear-Site-Data": '"*"',
            "Authorization": "Bearer reflected",
            "Procore-Company-Id": "8089",
            "Server": "x",
            "X-Powered-By": "x",
            "X-Secret": "1",
            "WWW-Authenticate": "Basic realm=x",
            "Link": f"<https://x/?{'a' * 9000}>; rel=next",
            "Content-Type": "application/json",
            "ETag": '"1"',
            "Total": "5",
            "Per-Page": "50",
            "X-Request-Id": "r",
            "X-Rate-Limit-Remaining": "9",
        }
        agent.procore.api.default = lambda _: Reply(body=b"{}", headers=dict(hostile))
        answer = await agent.raw("GET", "rest/v1.0/me")
        assert answer.head.status == 200
        names = {name.lower() for name, _ in answer.head.headers}
        wanted = {"content-type", "etag", "total", "per-page", "x-request-id"}
        assert names == wanted | {"x-rate-limit-remaining", "content-length"}
        written = await agent.raw("POST", "rest/v1.0/rfis", b"{}")
        assert {name.lower() for name, _ in written.head.headers} <= names
        # A whole head that is too large, or too many of them: no answer at all.
        for headers in (
            {f"x-{number}": "1" for number in range(10_000)},
            {"x-long": "1" * 200_000},
        ):
            agent.procore.api.then(*(Reply(body=b"{}", headers=headers) for _ in range(3)))
            with resident() as grown:
                refused = await agent.raw("GET", "rest/v1.0/me")
            assert refused.head.status == 502, refused.problem
            assert grown[0] <= 5 * MIB
