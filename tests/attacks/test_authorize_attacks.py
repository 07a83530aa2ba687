"""Who wants the authorization code: programs on the PC, pages in the browser, the relay."""

import asyncio
import base64
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from cloud_connect.errors import ConfigurationError, SignInRequiredError
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.procore.grants import loopback
from cloud_connect_agent.procore.grants.authorization import Authorization
from cloud_connect_agent.procore.grants.loopback import Loopback, listen
from cloud_connect_agent.vault import open_vault
from doubles.chaos_proxy import ChaosProxy
from doubles.fake_procore import SANDBOX, FakeProcore, MemoryVault
from doubles.rotating_login import RotatingLogin
from doubles.signing_in import Clocks, opened
from doubles.tools import tool
from doubles.world import ENVIRONMENT, World, open_world
from system.test_authorize import approve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

NOBODY = "65534"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Desk:
    """Somebody signs in on this PC."""

    def __init__(self, authorization: Authorization, waiting: Loopback, port: int) -> None:
        self.authorization = authorization
        self.waiting = waiting
        self.port = port

    async def visit(
        self, query: str, *, method: str = "GET", path: str = "/callback", host: str | None = None
    ) -> str:
        """Do what a browser, or a program that plays one, does; return the first line."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = f"{method} {path}?{query} HTTP/1.1\r\nHost: {host or f'localhost:{self.port}'}"
        writer.write(f"{head}\r\nContent-Length: 0\r\n\r\n".encode())
        answer = (await reader.read()).decode()
        writer.close()
        return answer.partition("\r\n")[0]


@asynccontextmanager
async def signing_in() -> AsyncIterator[tuple[Desk, RotatingLogin]]:
    clocks, vault = Clocks(), MemoryVault()
    vault.store_app()
    async with FakeProcore().serve() as procore, opened(procore, vault, clocks) as authenticator:
        login, port = RotatingLogin().on(procore), free_port()
        authorization = await authenticator.authorize(
            authenticator.accounts.named(SANDBOX, "default"),
            redirect_uri=f"http://localhost:{port}/callback",
        )
        async with listen(authorization) as waiting:
            yield Desk(authorization, waiting, port), login


@pytest.mark.catalogue("T117")
async def test_seven_ways_to_abuse_the_callback_are_refused_and_no_code_is_exchanged() -> None:
    async with signing_in() as (desk, login):
        state = desk.authorization.state
        for query, more, status in (
            (f"code=code-1&state={'x' * 43}", {}, 403),
            ("code=code-1", {}, 403),
            (f"code=code-1&state={state}&state={state}", {}, 403),
            (f"code=code-1&state={state}", {"host": "evil.example"}, 403),
            (f"code=code-1&state={state}", {"method": "POST"}, 405),
            (f"code=code-1&state={state}", {"path": "/elsewhere"}, 404),
        ):
            assert (await desk.visit(query, **more)).startswith(f"HTTP/1.1 {status}"), query
        assert not login.presented
        # The true one comes, and whoever repeats it, state and all, is too late.
        first = asyncio.create_task(desk.visit(f"code=code-2&state={state}"))
        callback = await desk.waiting.callback()
        assert (await desk.visit(f"code=code-1&state={state}")).startswith("HTTP/1.1 410")
        assert callback.code == "code-2"
        await callback.answer("Signed in")
        assert (await first).startswith("HTTP/1.1 200")
    async with signing_in() as (desk, login):
        assert loopback._CALLBACK_SECONDS == 300
        with pytest.raises(SignInRequiredError, match="in time"):
            await desk.waiting.callback(within=0.05)
    with pytest.raises(ConnectionRefusedError):  # nobody listens when the five minutes are over
        await desk.visit(f"code=code-1&state={desk.authorization.state}")
    assert not login.presented


SQUAT = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
taken = socket.socket(family)
taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
if family == socket.AF_INET6:
    taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
try:
    taken.bind((sys.argv[1], int(sys.argv[2])))
    taken.listen()
except OSError as exc:
    print("refused", exc.errno, flush=True)
else:
    print("taken", flush=True)
    sys.stdin.read()
"""


@contextmanager
def squatter(address: str, port: int) -> Iterator[str]:
    """Another account tries to take a port; yields how that went."""
    as_nobody = (tool("setpriv"), "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups")
    with subprocess.Popen(
        [*as_nobody, "/usr/bin/python3", "-c", SQUAT, address, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[0]
        finally:
            process.kill()


@pytest.mark.catalogue("T118")
async def test_a_port_that_another_account_has_on_either_address_begins_no_sign_in() -> None:
    if sys.platform != "linux":
        pytest.skip("accounts are switched with setpriv")
    for address in ("127.0.0.1", "::1", "0.0.0.0", "::"):
        async with signing_in() as (desk, _):
            port, authorization = desk.port, desk.authorization
            # While we wait, the other account gets neither address.
            with squatter(address, port) as outcome:
                assert outcome == "refused", address
        with squatter(address, port) as outcome:
            assert outcome == "taken", address
            with pytest.raises(ConfigurationError, match="is taken"):
                async with listen(authorization):
                    pass


class Recording:
    """All bytes that pass a proxy."""

    def __init__(self) -> None:
        self.bytes = bytearray()


def record(monkeypatch: pytest.MonkeyPatch) -> Recording:
    """Note what every proxy of the test passes on, both ways."""
    recording = Recording()
    original = asyncio.StreamWriter.write

    def write(self: asyncio.StreamWriter, data: bytes) -> None:
        recording.bytes += data
        original(self, data)

    monkeypatch.setattr(asyncio.StreamWriter, "write", write)
    return recording


def spellings(secret: str) -> list[bytes]:
    raw = secret.encode()
    found = {raw, quote(secret, safe="").encode(), raw.hex().encode(), raw.hex().upper().encode()}
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw)
        found.add(encoded[4 if before else 0 : len(encoded) - 4])
        found.add(base64.urlsafe_b64encode(bytes(before) + raw)[4 if before else 0 : -4])
    return sorted(found)


def places(world: World, captured: bytes) -> dict[str, bytes]:
    """Everything that the relay sees, keeps or says, and what the agent says."""
    found = {
        str(path.relative_to(world.folder)): path.read_bytes()
        for folder in (world.data_dir, world.agent.home / "logs")
        for path in folder.rglob("*")
        if path.is_file()
    }
    for log in world.folder.glob("*.log"):
        if log.name != "simulator.log":  # it has issued the tokens
            found[log.name] = log.read_bytes()
    return {**found, "traffic": captured}


@pytest.mark.catalogue("T119")
async def test_a_whole_sign_in_shows_the_relay_nothing_that_it_could_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"CLOUD_CONNECT_LOG__LEVEL": "debug"}
    async with open_world(tmp_path, agent_settings=settings) as world:
        recording = record(monkeypatch)
        assert world.agent.tunnel is not None
        world.agent.tunnel.reset_all()  # from the handshake on
        await world.until_status("online", within=30)
        callback_uri = f"{world.relay.ready['api_url']}/oauth/callback"
        await world.admin("POST", "/state", json={"redirect_uris": [callback_uri]})
        # The platform, too, reaches the relay through a proxy that notes all.
        url = httpx.URL(world.relay.ready["api_url"])
        async with ChaosProxy.open("127.0.0.1", url.port or 80, seed=1) as front:
            base = (await world.caller("a")).base
            headers = {"Authorization": f"Bearer {world.api_key}"}
            async with httpx.AsyncClient(
                base_url=front.url, headers=headers, trust_env=False, timeout=30
            ) as platform:
                begun = (await platform.post(f"{base}/authorize")).json()
                page, visited = await approve(begun["authorize_url"])
                assert page.status_code == 200, page.text
                assert (await platform.post(f"{base}/test")).json()["success"]
                listed = (await platform.get("/api/connectors")).text
                metrics = (await platform.get("/metrics")).text
        flag = ENVIRONMENT.replace("_", "-")
        async with open_vault(AgentPaths.of(world.agent.home)) as vault:
            app = json.loads(await vault.get(f"procore-app/{flag}") or b"{}")
            grant = json.loads(await vault.get(f"procore-token/{flag}") or b"{}")
        secrets = [app["client_secret"], grant["access_token"], grant["refresh_token"]]
        assert all(len(secret) > 12 for secret in secrets)
        assert len(recording.bytes) > 5000
        browsed = "".join((*visited, page.text, listed, metrics)).encode()
        seen = places(world, bytes(recording.bytes) + browsed)
        found = [
            (place, secret[:4])
            for place, content in seen.items()
            for secret in secrets
            if any(spelled in content for spelled in spellings(secret))
        ]
        assert found == []
        # The relay holds the code. It is spent, and an unspent one would not have been enough.
        (callback,) = [address for address in visited if "/oauth/callback" in address]
        code = httpx.URL(callback).params["code"]
        assert code.encode() not in b"".join(
            content for place, content in seen.items() if place != "traffic"
        )
        redirect = callback.partition("?")[0]
        fresh = (await _begin_and_keep(world, base))[0]
        for stolen in (code, fresh):
            for secret in ("", "guessed", world.api_key):
                answer = await _redeem(world, stolen, secret=secret, redirect=redirect)
                assert answer.status_code in {400, 401}, answer.text


async def _begin_and_keep(world: World, base: str) -> tuple[str, str]:
    """Have a person approve, and keep the code from the relay: what a hostile relay would."""
    begun = (await world.api.post(f"{base}/authorize")).json()
    address = httpx.URL(begun["authorize_url"])
    async with httpx.AsyncClient(trust_env=False, timeout=30) as browser:
        moved = await browser.get(str(address.copy_merge_params({"auto_approve": "true"})))
    found = httpx.URL(moved.headers["location"]).params
    return found["code"], found["state"]


async def _redeem(world: World, code: str, *, secret: str, redirect: str) -> httpx.Response:
    app = world.simulator["environments"][ENVIRONMENT]
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": app["client_id"],
        "client_secret": secret,
        "redirect_uri": redirect,
    }
    async with httpx.AsyncClient(trust_env=False) as thief:
        return await thief.post(f"{world.simulator['login_url']}/oauth/token", data=form)
