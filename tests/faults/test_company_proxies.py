"""Between the PC and the internet stands the company's proxy: tinyproxy and squid, as they are."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest

from cloud_connect_agent.procore.transport import Origin, Sent, Timeouts, describe_failure
from cloud_connect_agent.proxies import Proxies, ProxySettings
from cloud_connect_agent.relay_api import RelayUnreachableError
from cloud_connect_agent.tls import client_context
from cloud_connect_relay.gateway.certificates import server_context
from doubles.company_proxies import PASSWORD, USER, CompanyProxy, squid, tinyproxy
from doubles.enrolling_pc import MACHINE, Pc
from doubles.fake_procore import FakeHost, Reply
from doubles.link_bench import run_agent, serve_enrolment
from doubles.secure_relay import secure_relay
from doubles.world import open_world, until

pytestmark = pytest.mark.timeout(120)

Serving = Callable[..., AbstractAsyncContextManager[CompanyProxy]]


def proxies_of(proxy: CompanyProxy, *, password: str = "") -> Proxies:
    username = USER if password else ""
    settings = ProxySettings(url=proxy.url, username=username, loopback=True)
    return Proxies(settings, password=password)


@pytest.mark.catalogue("T29")
@pytest.mark.parametrize("serving", [tinyproxy, squid])
@pytest.mark.parametrize("password", ["", PASSWORD], ids=["open", "basic"])
async def test_tunnel_enrolment_and_procore_go_through_the_proxy(
    tmp_path: Path, serving: Serving, password: str
) -> None:
    async with (
        serving(password=bool(password)) as proxy,
        secure_relay(tmp_path) as (relay, url, ca),
    ):
        proxies = proxies_of(proxy, password=password)
        async with run_agent(relay, tmp_path / "a", url=url, ca_file=ca, proxies=proxies) as agent:
            live = await relay.session_of(agent.connector_id)
            assert live.certificate == "verified"
            await agent.health.until("connected")
            # The proxy dies with the session in it, and comes back.
            await proxy.kill()
            await agent.health.until("offline", times=2)
            assert "The proxy at 127.0.0.1 cannot be reached" in agent.health.reasons[-1]
            await proxy.start()
            await agent.health.until("connected", times=2)

        certificate, key = tmp_path / "localhost.pem", tmp_path / "localhost.key"
        async with serve_enrolment(relay, ssl_certfile=certificate, ssl_keyfile=key) as api_url:
            (tmp_path / "pc").mkdir()
            pc = Pc(tmp_path / "pc")
            enroller = pc.enroller(api_url, tls=client_context(ca), proxies=proxies)
            enrolled = await enroller.enrol((await relay.token()).reveal(), MACHINE)
            assert await relay.connector(enrolled.connector_id)

        context = server_context(certificate, key)
        async with FakeHost(lambda _: Reply(body=b"fine")).serve(ssl=context) as procore:
            origin = Origin(procore.url, client_context(ca), timeouts=Timeouts(), proxies=proxies)
            for method, reuse in (("GET", True), ("POST", False)):
                answer = await origin.send(method, b"/rest/x", headers=(), reuse=reuse)
                assert await answer.aread() == b"fine"
            await origin.aclose()


@pytest.mark.catalogue("T29")
@pytest.mark.parametrize(("serving", "status"), [(tinyproxy, 401), (squid, 407)])
async def test_proxy_that_wants_another_password_is_told_everywhere_and_nothing_passes(
    tmp_path: Path, serving: Serving, status: int
) -> None:
    wrong = "does not accept the user name or password (status"
    async with serving(password=True) as proxy, secure_relay(tmp_path) as (relay, url, ca):
        for password, says in (("", "wants a user name and password (status 407)"), ("no", wrong)):
            proxies = proxies_of(proxy, password=password)
            folder = tmp_path / f"a{password}"
            async with run_agent(relay, folder, url=url, ca_file=ca, proxies=proxies) as agent:
                await agent.health.until("offline")
                assert says in agent.health.reasons[0]
                assert "connected" not in agent.health.told
            api_url = url.replace("wss", "https").removesuffix("/tunnel")
            enroller = Pc(tmp_path).enroller(api_url, tls=client_context(ca), proxies=proxies)
            with pytest.raises(RelayUnreachableError) as refused:
                await enroller.enrol((await relay.token()).reveal(), MACHINE)
            assert says in refused.value.message
            origin = Origin(api_url, client_context(ca), timeouts=Timeouts(), proxies=proxies)
            sent = Sent()
            with pytest.raises(httpx.ProxyError) as failed:
                await origin.send("POST", b"/rest/x", headers=(), reuse=False, sent=sent)
            assert f"status {status if password else 407}" in describe_failure(
                failed.value, origin.host
            )
            assert not sent.started
            await origin.aclose()


@pytest.mark.catalogue("T29")
async def test_whole_agent_works_through_a_proxy_and_tells_of_one_that_refuses(
    tmp_path: Path,
) -> None:
    async with tinyproxy(password=True) as proxy:
        settings = {
            "CLOUD_CONNECT_PROXY__URL": proxy.url,
            "CLOUD_CONNECT_PROXY__LOOPBACK": "true",
            "CLOUD_CONNECT_PROXY__USERNAME": USER,
            "CLOUD_CONNECT_PROXY__PASSWORD": PASSWORD,
        }
        async with open_world(tmp_path, agent_settings=settings, seed=29) as world:
            caller = await world.caller()
            assert (await caller.create("through")).outcome == "completed"
            assert (await caller.read()).status == 200
            status = await world.agent.status()
            assert status["proxy"] == {"url": proxy.url, "source": "proxy.url"}
            await proxy.kill()
            await world.until_status("offline", within=5)
            await proxy.start()
            assert await world.until_status("online", within=10) <= 10
            assert (await caller.create("after")).outcome == "completed"
            assert len(await world.ledger(marker="after")) == 1

            agent = world.agent.program
            await agent.stop()
            agent.environment["CLOUD_CONNECT_PROXY__PASSWORD"] = "wrong-canary"
            await agent.start()

            async def refused() -> bool:
                found = await world.agent.state()
                words = "does not accept the user name or password"
                return found is not None and words in (found["error"] or "")

            await until(refused, within=20, what="the reason in status")
            assert (await world.agent.status())["state"] in {"offline", "connecting"}
            words = f"{await world.agent.status()}{world.agent.log_text}"
            assert "agent_started" in words
            assert PASSWORD not in words
            assert "wrong-canary" not in words
