"""A company's proxy says no, for other reasons than a password: told alike wherever it is met."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import httpx
import pytest

from cloud_connect_agent.procore.transport import Origin, Sent, Timeouts, describe_failure
from cloud_connect_agent.proxies import Proxies, ProxySettings
from cloud_connect_agent.relay_api import RelayUnreachableError
from cloud_connect_agent.tls import client_context
from doubles.company_proxies import CompanyProxy, squid, tinyproxy
from doubles.enrolling_pc import MACHINE, Pc
from doubles.link_bench import run_agent
from doubles.secure_relay import PATIENT, secure_relay

pytestmark = pytest.mark.timeout(90)

Serving = Callable[[], AbstractAsyncContextManager[CompanyProxy]]


@pytest.mark.parametrize(
    ("serving", "says"),
    [
        (partial(squid, ntlm=True), "offers only NTLM to sign in (status 407)"),
        (partial(squid, only="elsewhere.example"), "(status 403)"),
        (partial(tinyproxy, to_port=443), "(status 403)"),
    ],
    ids=["squid-ntlm", "squid-list", "tinyproxy-ports"],
)
async def test_refusal_of_a_proxy_is_told_with_what_to_do_and_nothing_passes(
    tmp_path: Path, serving: Serving, says: str
) -> None:
    async with serving() as proxy, secure_relay(tmp_path) as (relay, url, ca):
        proxies = Proxies(ProxySettings(url=proxy.url, loopback=True))
        told = []
        async with run_agent(
            relay, tmp_path / "a", url=url, ca_file=ca, proxies=proxies, settings=PATIENT
        ) as agent:
            await agent.health.until("offline")
            told.append(agent.health.reasons[0])
            assert "connected" not in agent.health.told
        api_url = url.replace("wss", "https").removesuffix("/tunnel")
        enroller = Pc(tmp_path).enroller(api_url, tls=client_context(ca), proxies=proxies)
        with pytest.raises(RelayUnreachableError) as refused:
            await enroller.enrol((await relay.token()).reveal(), MACHINE)
        told.append(refused.value.message)
        origin = Origin(api_url, client_context(ca), timeouts=Timeouts(), proxies=proxies)
        for method in ("GET", "POST"):
            sent = Sent()
            reuse = method == "GET"
            with pytest.raises(httpx.ProxyError) as failed:
                await origin.send(
                    method, b"/rest/x", headers=(), reuse=reuse, sent=None if reuse else sent
                )
            told.append(describe_failure(failed.value, origin.host))
            assert not sent.started
        await origin.aclose()
        remedy = "proxy.url" if "407" in says else "`cloud-connect firewall-sheet`"
        for sentence in told:
            assert says in sentence
            assert f"The proxy {proxy.url} " in sentence
            assert remedy in sentence
