"""A PC moves between the company's network and others: its way out is chosen at each attempt."""

from pathlib import Path
from typing import Final

import httpx
import pytest

from cloud_connect_agent.procore.transport import Origin, Timeouts
from cloud_connect_agent.proxies import Proxies, ProxySettings
from cloud_connect_agent.tls import client_context
from cloud_connect_relay.gateway.certificates import server_context
from doubles.company_proxies import tinyproxy
from doubles.fake_procore import FakeHost, Reply
from doubles.link_bench import run_agent
from doubles.name_server import NameServer
from doubles.namespaces import PrivateNetwork, with_resolver
from doubles.observing import until
from doubles.secure_pair import open_pair
from doubles.secure_relay import PATIENT, secure_relay

PROXY: Final = "proxy.test"
OFFICE: Final = "127.0.0.1"
OTHER_OFFICE: Final = "127.0.0.2"

pytestmark = pytest.mark.timeout(90)


@pytest.mark.parametrize("fallback", [True, False], ids=["fallback", "default"])
async def test_proxy_that_is_gone_is_passed_by_only_where_the_settings_say_so(
    tmp_path: Path, *, fallback: bool
) -> None:
    async with tinyproxy() as proxy, secure_relay(tmp_path) as (relay, url, ca):
        proxies = Proxies(ProxySettings(url=proxy.url, loopback=True, fallback_direct=fallback))
        certificate = server_context(tmp_path / "localhost.pem", tmp_path / "localhost.key")
        async with (
            run_agent(
                relay, tmp_path / "a", url=url, ca_file=ca, proxies=proxies, settings=PATIENT
            ) as agent,
            FakeHost(lambda _: Reply(body=b"fine")).serve(ssl=certificate) as procore,
        ):
            origin = Origin(procore.url, client_context(ca), timeouts=Timeouts(), proxies=proxies)

            async def works(method: str) -> bool:
                """Ask Procore, as whoever retries would after a first failure."""
                for _ in range(2):
                    try:
                        answer = await origin.send(method, b"/x", headers=(), reuse=method == "GET")
                    except httpx.TransportError:
                        continue
                    return await answer.aread() == b"fine"
                return False

            await agent.health.until("connected")
            assert await works("GET")
            assert proxies.describe(url) == {"url": proxy.url, "source": "proxy.url"}
            await proxy.kill()
            await agent.health.until("offline")
            if not fallback:
                await agent.health.until("offline", times=3)
                assert agent.health.told.count("connected") == 1
                assert "It is the proxy that proxy.url names." in agent.health.reasons[-1]
                assert not await works("GET")
                assert not await works("POST")
                await origin.aclose()
                return
            await agent.health.until("connected", times=2)
            assert await works("GET")
            assert await works("POST")
            described = {"url": proxy.url, "source": "proxy.url", "bypassed": True}
            assert proxies.describe(url) == described
            # Back in the office the next attempt goes through the proxy again.
            await proxy.start()
            live = await relay.session_of(agent.connector_id)
            await live.link.close()
            await agent.health.until("connected", times=3)
            assert "bypassed" not in (proxies.describe(url) or {})
            before = agent.health.told.count("offline")
            await proxy.kill()
            await agent.health.until("offline", times=before + 1)
            await origin.aclose()


async def test_laptop_goes_home_and_to_another_office_and_stays_connected(
    network: PrivateNetwork,
    tmp_path: Path,
) -> None:
    resolver = tmp_path / "resolv.conf"
    resolver.write_text(f"nameserver {OFFICE}\noptions timeout:1 attempts:1\n")
    async with NameServer.serve(PROXY, OFFICE) as names, tinyproxy(at=OFFICE) as office:
        settings = {
            "CLOUD_CONNECT_PROXY__URL": f"http://{PROXY}:{office.port}",
            "CLOUD_CONNECT_PROXY__LOOPBACK": "true",
            "CLOUD_CONNECT_PROXY__FALLBACK_DIRECT": "true",
            "CLOUD_CONNECT_TUNNEL__BACKOFF_BASE": "0.2",
            "CLOUD_CONNECT_TUNNEL__BACKOFF_CAP": "1",
            "CLOUD_CONNECT_TUNNEL__ROUND_TRIP_INTERVAL": "0.5",
        }
        async with open_pair(tmp_path, prefix=with_resolver(resolver), settings=settings) as pair:
            agent = pair.agent.program
            await agent.start()
            try:
                await pair.until_listed(within=30, status="online")
                assert "bypassed" not in (await pair.agent.status())["proxy"]
                # At home nobody knows the proxy's name, and its tunnel is dead.
                names.address = None
                await office.kill()

                async def direct() -> bool:
                    found = await pair.agent.state()
                    return bool(
                        found and found["connected"] and (found["proxy"] or {}).get("bypassed")
                    )

                await until(direct, within=20, what="connected without the proxy")
                # In another office the name stands for another proxy.
                async with tinyproxy(at=OTHER_OFFICE, port=office.port) as other:
                    names.address = OTHER_OFFICE
                    network.reset(pair.tunnel_port)

                    async def through() -> bool:
                        found = await pair.agent.state()
                        return bool(found and not found["connected"])

                    await until(through, within=30, what="the link is cut")
                    network.heal()

                    async def proxied() -> bool:
                        found = await pair.agent.state()
                        return bool(
                            found
                            and found["connected"]
                            and "bypassed" not in (found["proxy"] or {})
                        )

                    await until(proxied, within=20, what="connected through the other proxy")
                    await other.kill()
                    await until(direct, within=20, what="it was this proxy that it went through")
            finally:
                await agent.stop()


async def test_settings_that_name_another_proxy_hold_from_the_next_attempt_on(
    tmp_path: Path,
) -> None:
    async with (
        tinyproxy() as first,
        tinyproxy() as second,
        secure_relay(tmp_path) as (relay, url, ca),
    ):
        proxies = Proxies(ProxySettings(url=first.url, loopback=True))
        async with run_agent(
            relay, tmp_path / "a", url=url, ca_file=ca, proxies=proxies, settings=PATIENT
        ) as agent:
            await agent.health.until("connected")
            proxies.follow(ProxySettings(url=second.url, loopback=True))
            await first.kill()
            await agent.health.until("connected", times=2)
            before = agent.health.told.count("offline")
            await second.kill()
            await agent.health.until("offline", times=before + 1)
