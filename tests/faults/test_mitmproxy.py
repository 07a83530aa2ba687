"""mitmproxy stands between, with an authority of its own: the tunnel and Procore's traffic."""

import re
from functools import partial
from pathlib import Path

import httpx
import pytest

from cloud_connect_agent.procore.transport import Origin, Timeouts, describe_failure
from cloud_connect_agent.proxies import Proxies, ProxySettings
from cloud_connect_agent.relay_api import RelayRefusedError, RelayUnreachableError
from cloud_connect_agent.tls import client_context
from cloud_connect_relay.gateway.certificates import server_context
from doubles.certificates import Authority
from doubles.company_proxies import CompanyProxy, mitmproxy
from doubles.enrolling_pc import MACHINE, Pc
from doubles.fake_procore import FakeHost, Reply
from doubles.link_bench import run_agent, serve_enrolment
from doubles.secure_relay import PATIENT, secure_relay

pytestmark = pytest.mark.timeout(90)

BODY = b"canary-of-a-record"


def both(folder: Path, ca: Path, proxy: CompanyProxy) -> Path:
    """What a PC trusts whose IT has installed the proxy's authority beside the relay's."""
    file = folder / "both.pem"
    file.write_bytes(ca.read_bytes() + proxy.ca_file.read_bytes())
    return file


async def test_company_that_inspects_all_tls_is_refused_and_told_or_allowed_by_its_own_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.make()
    async with (
        secure_relay(tmp_path, authority) as (relay, url, ca),
        mitmproxy(trusts=ca) as proxy,
    ):
        proxies = Proxies(ProxySettings(url=proxy.url, loopback=True))
        certificate, key = tmp_path / "localhost.pem", tmp_path / "localhost.key"

        # Without the company's authority nothing is trusted, and nothing sent.
        plain = run_agent(
            relay, tmp_path / "a", url=url, ca_file=ca, proxies=proxies, settings=PATIENT
        )
        async with plain as agent:
            await agent.health.until("offline")
            assert "is not trusted" in agent.health.reasons[0]
            assert "relay.ca_file" in agent.health.reasons[0]

        # With it, both ends know: refused, unless IT allows it.
        trusted = both(tmp_path, ca, proxy)
        inspected = partial(
            run_agent, relay, url=url, ca_file=trusted, proxies=proxies, settings=PATIENT
        )
        async with inspected(tmp_path / "b") as agent:
            await agent.health.until("intercepted")
            assert "connected" not in agent.health.told
        async with inspected(tmp_path / "c", allow_intercepted=True) as agent:
            await agent.health.until("connected")
            assert (await relay.session_of(agent.connector_id)).certificate == "intercepted"

        async with serve_enrolment(relay, ssl_certfile=certificate, ssl_keyfile=key) as api_url:
            token = (await relay.token()).reveal()
            untrusting = Pc(tmp_path).enroller(api_url, tls=client_context(ca), proxies=proxies)
            with pytest.raises(RelayUnreachableError, match="--ca FILE"):
                await untrusting.enrol(token, MACHINE)
            pc = Pc(tmp_path).enroller(api_url, tls=client_context(trusted), proxies=proxies)
            with pytest.raises(RelayRefusedError, match="the token was not sent"):
                await pc.enrol(token, MACHINE)

        context = server_context(certificate, key)
        async with FakeHost(lambda _: Reply(body=BODY)).serve(ssl=context) as procore:
            for method in ("GET", "POST"):
                origin = Origin(
                    procore.url, client_context(ca), timeouts=Timeouts(), proxies=proxies
                )
                with pytest.raises(httpx.ConnectError) as failed:
                    await origin.send(method, b"/x", headers=(), reuse=method == "GET")
                said = describe_failure(failed.value, origin.host)
                assert "If a proxy inspects traffic here, its authority belongs in" in said
                await origin.aclose()
                assert not procore.seen
            # By a file that is named, or by what IT put into the system's store.
            monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
            for trusting in (client_context(trusted), client_context()):
                origin = Origin(procore.url, trusting, timeouts=Timeouts(), proxies=proxies)
                for method in ("GET", "POST"):
                    answer = await origin.send(method, b"/x", headers=(), reuse=method == "GET")
                    assert await answer.aread() == BODY
                await origin.aclose()


async def test_company_that_spares_the_relay_connects_as_if_nothing_were_between(
    tmp_path: Path,
) -> None:
    async with secure_relay(tmp_path) as (relay, url, ca):
        assert relay.gateway is not None
        spared = re.escape(f"127.0.0.1:{relay.gateway.port}")
        async with mitmproxy(trusts=ca, spares=spared) as proxy:
            proxies = Proxies(ProxySettings(url=proxy.url, loopback=True))
            trusted = both(tmp_path, ca, proxy)
            running = run_agent(
                relay, tmp_path / "a", url=url, ca_file=trusted, proxies=proxies, settings=PATIENT
            )
            async with running as agent:
                live = await relay.session_of(agent.connector_id)
                assert live.certificate == "verified"
                await agent.health.until("connected")
                await proxy.kill()
                await agent.health.until("offline", times=2)
