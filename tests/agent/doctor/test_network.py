"""What may be wrong between the PC and its relay, caused for real."""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from cloud_connect_agent.doctor import Case, Code, Finding, Status
from cloud_connect_agent.proxies import Proxies
from doubles.answering import answering, saying
from doubles.certificates import Authority
from doubles.company_proxies import USER, CompanyProxy, squid, tinyproxy
from doubles.examined import examined, home_by_hand
from doubles.inspecting_proxy import COMPANY, inspecting_proxy
from doubles.name_server import NameServer
from doubles.namespaces import PrivateNetwork, private_network, with_resolver
from doubles.program import said
from doubles.secure_pair import open_pair
from doubles.silence import silent
from doubles.tools import as_root, tool

RELAY = "relay.test"


@pytest.fixture
def network() -> Iterator[PrivateNetwork]:
    """A network that nobody else shares: no route leads out of it."""
    as_root("a network of its own")
    tool("ip")
    with private_network() as network:
        yield network


def listening(context: ssl.SSLContext | None = None) -> AbstractAsyncContextManager[int]:
    """Take connections on a port, and say nothing beyond TLS."""
    return answering(silent, context)


class Scripted:
    """What Windows keeps where a person's settings name a proxy script."""

    SCRIPT = "http://wpad.test/wpad.dat"

    def machine_proxies(self) -> tuple[dict[str, str], list[str]]:
        return {}, []

    def script_url(self) -> str:
        return self.SCRIPT


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def shown_by(authority: Authority, folder: Path, host: str, **more: Any) -> ssl.SSLContext:
    """What a server shows whose certificate the authority issued."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(folder, host, **more))
    return context


async def by_command(
    home: Path, resolver: Path, *only: str
) -> tuple[dict[str, dict[str, str]], float]:
    """Run the command where *resolver* is the system's; its checks, and the seconds it took."""
    began = time.monotonic()
    names = [word for name in only for word in ("--only", name)]
    status, document, errors = await said(
        "cloud_connect_agent",
        *("doctor", "--home", str(home), *names),
        prefix=with_resolver(resolver),
    )
    assert status in {0, 1}, errors
    checks = {one["name"]: one for one in document["checks"]}
    assert status == any(one["status"] == "FAIL" for one in checks.values())
    return checks, time.monotonic() - began


@pytest.mark.timeout(90)
async def test_name_that_is_unknown_and_name_servers_that_do_not_answer_are_told_apart(
    network: PrivateNetwork,  # noqa: ARG001 - the test and its processes are in it
    tmp_path: Path,
) -> None:
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    home = home_by_hand(tmp_path / "home", tunnel_url=f"wss://{RELAY}:443/tunnel")
    async with NameServer.serve(RELAY, "127.0.0.1") as names:
        found, _ = await by_command(home, resolver, "dns", "connection")
        assert found["dns"]["status"] == "PASS"
        assert found["dns"]["cause"] == f"{RELAY} is 127.0.0.1."
        assert found["connection"]["code"] == "CC-CONNECT-01"

        unknown = home_by_hand(tmp_path / "other", tunnel_url="wss://nobody.test/tunnel")
        found, _ = await by_command(unknown, resolver, "dns", "connection")
        assert found["dns"]["code"] == "CC-DNS-01"
        assert "nobody.test" in found["dns"]["cause"]
        assert found["connection"]["code"] == "CC-SKIP-01"

        names.silent = True
        resolver.write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
        found, took = await by_command(home, resolver, "dns")
        assert found["dns"]["code"] == "CC-DNS-02"
        assert took < 20, "a look-up that hangs is left behind"


async def test_port_that_refuses_and_one_that_cannot_be_reached_are_told_apart(
    network: PrivateNetwork,  # noqa: ARG001 - the test is in it
    tmp_path: Path,
) -> None:
    port = free_port()
    home = home_by_hand(tmp_path / "home", tunnel_url=f"wss://127.0.0.1:{port}/tunnel")
    found = await examined(home, "connection", "tls")
    assert found["connection"].code is Code.CONNECTION_REFUSED
    assert str(port) in found["connection"].cause
    assert found["tls"].code is Code.NOT_CHECKED

    beyond = home_by_hand(tmp_path / "beyond", tunnel_url="wss://192.0.2.1/tunnel")
    found = await examined(beyond, "connection")
    assert found["connection"].code is Code.CONNECTION_SILENT
    assert "unreachable" in found["connection"].cause


def through(proxy: CompanyProxy, *more: str) -> str:
    return "\n".join(["[proxy]", f'url = "{proxy.url}"', "loopback = true", *more])


async def proxy_finding(home: Path, **environ: str) -> Finding:
    return (await examined(home, "proxy", environ=environ))["proxy"]


@pytest.mark.timeout(60)
async def test_proxy_that_is_gone_wants_a_sign_in_or_fails_is_told_apart(tmp_path: Path) -> None:
    async with (
        listening() as port,
        tinyproxy(password=True) as small,
        squid(password=True) as large,
    ):
        url = f"wss://127.0.0.1:{port}/tunnel"
        password = {"CLOUD_CONNECT_PROXY__PASSWORD": "not-the-password"}

        direct = home_by_hand(tmp_path / "direct", tunnel_url=url)
        assert (await proxy_finding(direct)).status is Status.PASS

        gone = home_by_hand(tmp_path / "gone", tunnel_url=url, more=through(small))
        settings = gone / "agent.toml"
        settings.write_text(settings.read_text().replace(str(small.port), str(free_port())))
        found = await proxy_finding(gone)
        assert (found.code, "proxy.url" in found.cause) == (Code.PROXY_UNREACHABLE, True)

        for number, proxy in enumerate((small, large)):
            home = home_by_hand(
                tmp_path / f"wrong-{number}",
                tunnel_url=url,
                more=through(proxy, f'username = "{USER}"'),
            )
            found = await proxy_finding(home, **password)
            assert found.code is Code.PROXY_SIGN_IN, "401 and 407 alike"
            assert "not-the-password" not in f"{found.cause} {found.fix}"
            bare = home_by_hand(tmp_path / f"bare-{number}", tunnel_url=url, more=through(proxy))
            found = await proxy_finding(bare)
            assert (found.code, "wants a user name" in found.cause) == (Code.PROXY_SIGN_IN, True)

        found = await proxy_finding(
            home_by_hand(
                tmp_path / "file", tunnel_url=url, more='[proxy]\npassword_file = "/nowhere/at/all"'
            )
        )
        assert found.code is Code.PROXY_SETTINGS


@pytest.mark.timeout(60)
async def test_proxy_that_forbids_or_cannot_get_through_is_told_apart(tmp_path: Path) -> None:
    nothing = answering(saying(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"))
    async with listening() as port, squid() as proxy, nothing as other_port:
        url = f"wss://127.0.0.1:{port}/tunnel"
        home = home_by_hand(tmp_path / "home", tunnel_url=url, more=through(proxy))
        found = await examined(home, "dns", "proxy", "connection")
        assert found["proxy"].status is Status.PASS
        assert f"{proxy.url} (proxy.url)" in found["proxy"].cause
        assert found["connection"].status is Status.PASS

        dead = f"wss://127.0.0.1:{free_port()}/tunnel"
        home = home_by_hand(tmp_path / "dead", tunnel_url=dead, more=through(proxy))
        assert (await proxy_finding(home)).code is Code.PROXY_FAILS

        more = through(proxy).replace(str(proxy.port), str(other_port))
        home = home_by_hand(tmp_path / "no-proxy", tunnel_url=url, more=more)
        found = await examined(home, "proxy")
        assert found["proxy"].code is Code.PROXY_FAILS, "it takes connections and is no proxy"


async def test_proxy_that_may_be_left_out_and_a_script_that_nobody_runs_are_told(
    tmp_path: Path,
) -> None:
    async with listening() as port:
        url = f"wss://127.0.0.1:{port}/tunnel"
        more = f'[proxy]\nurl = "http://127.0.0.1:{free_port()}"\nloopback = true'
        home = home_by_hand(
            tmp_path / "laptop", tunnel_url=url, more=f"{more}\nfallback_direct = true"
        )
        found = await examined(home, "proxy", "connection")
        assert {one.status for one in found.values()} == {Status.PASS}
        assert "fallback_direct" in found["proxy"].cause
        assert "takes connections" in found["connection"].cause

    def on_windows(case: Case) -> None:
        case.proxies = Proxies(machine=Scripted())

    home = home_by_hand(tmp_path / "script", tunnel_url="wss://192.0.2.1/tunnel")
    found = await examined(home, "proxy", prepare=on_windows)
    assert found["proxy"].code is Code.PROXY_SCRIPT
    assert Scripted.SCRIPT in found["proxy"].cause


@pytest.mark.timeout(60)
async def test_proxy_that_refuses_the_host_is_told(tmp_path: Path) -> None:
    async with answering(saying(b"HTTP/1.1 403 Forbidden\r\n\r\n")) as port:
        more = f'[proxy]\nurl = "http://127.0.0.1:{port}"\nloopback = true'
        home = home_by_hand(tmp_path / "home", tunnel_url="wss://127.0.0.1:9/tunnel", more=more)
        found = await proxy_finding(home)
        assert found.code is Code.PROXY_FORBIDS
        assert "firewall-sheet" in found.fix


async def test_certificates_that_are_not_good_are_told_apart_and_their_issuer_is_named(
    tmp_path: Path,
) -> None:
    authority = Authority.make(COMPANY)
    ca_file = authority.trusted(tmp_path)

    async def tls_finding(name: str, context: ssl.SSLContext | None, **relay: str) -> Finding:
        async with listening(context) as port:
            home = home_by_hand(
                tmp_path / name, tunnel_url=f"wss://localhost:{port}/tunnel", **relay
            )
            return (await examined(home, "tls"))["tls"]

    good = shown_by(authority, tmp_path, "localhost", issuer=COMPANY)
    found = await tls_finding("good", good, ca_file=str(ca_file))
    assert found.status is Status.PASS
    assert COMPANY in found.cause

    found = await tls_finding("stranger", good)
    assert found.code is Code.CERTIFICATE_UNTRUSTED
    assert f"It was issued by {COMPANY}." in found.cause

    expired = shown_by(authority, tmp_path, "localhost", issuer=COMPANY, expired=True)
    found = await tls_finding("expired", expired, ca_file=str(ca_file))
    assert found.code is Code.CERTIFICATE_DATES
    assert "this PC's clock says" in found.cause

    elsewhere = shown_by(authority, tmp_path, "portal.test", issuer=COMPANY)
    found = await tls_finding("elsewhere", elsewhere, ca_file=str(ca_file))
    assert found.code is Code.CERTIFICATE_NAME

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with answering(babble) as port:
        home = home_by_hand(tmp_path / "plain", tunnel_url=f"wss://127.0.0.1:{port}/tunnel")
        found = (await examined(home, "tls"))["tls"]
    assert found.code is Code.TLS_FAILS

    found = await tls_finding("no-file", good, ca_file=str(tmp_path / "nowhere.pem"))
    assert found.code is Code.AUTHORITY_FILE


@pytest.mark.timeout(90)
async def test_proxy_that_reads_along_is_named_and_so_is_a_relay_that_is_another(
    tmp_path: Path,
) -> None:
    company = Authority.make(COMPANY)
    (tmp_path / "proxy").mkdir()
    async with (
        open_pair(tmp_path) as pair,
        inspecting_proxy(
            tmp_path / "proxy", company, host="localhost", port=pair.tunnel_port
        ) as proxy,
    ):
        pair.ca_file.write_bytes(pair.ca_file.read_bytes() + company.pem)
        home, environ = pair.agent.home, dict(pair.agent.program.environment)
        found = await examined(home, "tls", "relay", "key", environ=environ)
        assert {one.status for one in found.values()} == {Status.PASS}, found
        assert "it is the relay's own" in found["tls"].cause

        name = "CLOUD_CONNECT_RELAY__TUNNEL_URL"
        along = {**environ, name: environ[name].replace(str(pair.tunnel_port), str(proxy.port))}
        found = await examined(home, "tls", "relay", environ=along)
        assert found["tls"].code is Code.INTERCEPTED
        assert f"A proxy of {COMPANY} reads" in found["tls"].cause
        assert found["relay"].code is Code.NOT_CHECKED

        allowed = {**along, "CLOUD_CONNECT_RELAY__ALLOW_INTERCEPTED": "true"}
        found = await examined(home, "tls", "relay", environ=allowed)
        assert found["tls"].code is Code.INTERCEPTION_ALLOWED
        assert found["relay"].status is Status.PASS
