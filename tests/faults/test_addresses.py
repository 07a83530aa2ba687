"""DNS that is not there when the PC boots, and hosts that have IPv6 addresses only."""

from pathlib import Path
from typing import Final

import pytest

from cloud_connect_agent.procore.transport import Origin, Timeouts
from cloud_connect_agent.proxies import Proxies, ProxySettings
from cloud_connect_agent.tls import client_context
from cloud_connect_relay.gateway.certificates import server_context
from doubles.certificates import Authority
from doubles.company_proxies import tinyproxy
from doubles.fake_procore import FakeHost, Reply
from doubles.name_server import NameServer
from doubles.namespaces import PrivateNetwork, with_resolver
from doubles.observing import until
from doubles.secure_pair import open_pair

RELAY: Final = "relay.test"
SERVER: Final = "127.0.0.1"
SIX: Final = "::1"
NOBODY: Final = "127.0.0.9"  # no name server is there
OPTIONS: Final = "options timeout:1 attempts:1\n"

pytestmark = pytest.mark.timeout(90)


async def test_agent_that_starts_before_dns_connects_when_it_is_there_and_then_over_ipv6_alone(
    network: PrivateNetwork,  # noqa: ARG001 - the test and its processes are in it
    tmp_path: Path,
) -> None:
    resolver = tmp_path / "resolv.conf"
    resolver.write_text(f"nameserver {SERVER}\n{OPTIONS}")
    settings = {
        "CLOUD_CONNECT_TUNNEL__BACKOFF_BASE": "0.2",
        "CLOUD_CONNECT_TUNNEL__BACKOFF_CAP": "1",
    }
    async with (
        NameServer.serve(RELAY, SERVER) as names,
        open_pair(tmp_path, host=RELAY, prefix=with_resolver(resolver), settings=settings) as pair,
    ):
        agent = pair.agent.program
        # The network comes up after the agent: no name server at first, then the site's.
        resolver.write_text(f"nameserver {NOBODY}\n{OPTIONS}")
        await agent.start()
        try:

            async def told() -> bool:
                found = await pair.agent.state()
                return found is not None and f"The name {RELAY}" in (found["error"] or "")

            await until(told, within=30, what="the reason in status")
            assert agent.alive
            resolver.write_text(f"nameserver {SERVER}\n{OPTIONS}")
            await pair.until_listed(within=15, status="online")
            # The relay moves to where only IPv6 leads.
            await pair.relay.crash()
            names.address = SIX
            pair.relay.arguments = (*pair.relay.arguments, "--host", SIX)
            await pair.relay.start()
            await pair.until_listed(within=15, status="online")
        finally:
            await agent.stop()


async def test_procore_and_the_companys_proxy_may_have_ipv6_addresses_alone(
    tmp_path: Path,
) -> None:
    authority = Authority.make()
    context = server_context(*authority.issue(tmp_path, SIX))
    six = client_context(authority.trusted(tmp_path))
    async with (
        FakeHost(lambda _: Reply(body=b"six")).serve(ssl=context, at=SIX) as procore,
        FakeHost(lambda _: Reply(body=b"four")).serve() as other,
        tinyproxy(at=SIX) as proxy,
    ):
        through = Proxies(ProxySettings(url=proxy.url, loopback=True))
        asked = [
            Origin(procore.url, six, timeouts=Timeouts()),
            Origin(other.url, six, timeouts=Timeouts(), proxies=through),
        ]
        for origin, body in zip(asked, (b"six", b"four"), strict=True):
            for method in ("GET", "POST"):
                answer = await origin.send(method, b"/x", headers=(), reuse=method == "GET")
                assert await answer.aread() == body
            await origin.aclose()
