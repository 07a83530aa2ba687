"""A proxy reads along in TLS, and the PC trusts its authority: seen by both ends, and refused."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.client import CloudConnect, Environment, Pin
from cloud_connect.errors import PolicyDeniedError, SignInRequiredError
from cloud_connect_agent.relay_api import RelayRefusedError
from cloud_connect_agent.tls import client_context
from doubles.certificates import Authority
from doubles.enrolling_pc import MACHINE, Pc
from doubles.inspecting_proxy import COMPANY, inspecting_proxy
from doubles.link_bench import serve_enrolment, serve_relay
from doubles.observing import until
from doubles.program import said
from doubles.secure_pair import SecurePair, open_pair

pytestmark = pytest.mark.timeout(120)


async def status_of(pair: SecurePair, state: str) -> dict[str, Any]:
    """Wait until the PC's own status says *state*."""

    async def reached() -> bool:
        found = await pair.agent.state()
        return found is not None and found["state"] == state

    await until(reached, within=30, what=f"state {state}")
    return await pair.agent.status()


@pytest.mark.catalogue("T30")
async def test_reading_along_is_refused_and_shown_until_the_administrator_allows_it(
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
        # IT has installed the proxy's authority beside the one that the relay's is of.
        pair.ca_file.write_bytes(pair.ca_file.read_bytes() + company.pem)
        agent = pair.agent.program
        direct = agent.environment["CLOUD_CONNECT_RELAY__TUNNEL_URL"]
        agent.environment["CLOUD_CONNECT_RELAY__TUNNEL_URL"] = direct.replace(
            str(pair.tunnel_port), str(proxy.port)
        )
        await agent.start()
        try:
            shown = await status_of(pair, "intercepted")
            assert not shown["connected"]
            assert "a proxy in between reads the traffic" in shown["error"]
            listed = await pair.connector()
            assert (listed["status"], listed["certificate"]) == ("offline", "intercepted")
            assert listed["intercepted_at"]
            assert b"hello" not in proxy.seen, "WebSocket masks what clients send"
            assert b"welcome" not in proxy.seen, "the relay never let it in"

            await agent.stop()
            agent.environment["CLOUD_CONNECT_RELAY__ALLOW_INTERCEPTED"] = "true"
            await agent.start()
            shown = await status_of(pair, "connected")
            assert shown["certificate"] == "intercepted"
            assert any("reads the traffic" in problem for problem in shown["problems"])
            listed = await pair.connector()
            assert (listed["status"], listed["certificate"]) == ("online", "intercepted")
            assert listed["intercepted_at"] is None
            assert b"welcome" in proxy.seen

            # Without the proxy in between nothing is marked any longer.
            await agent.stop()
            agent.environment["CLOUD_CONNECT_RELAY__TUNNEL_URL"] = direct
            await agent.start()
            shown = await status_of(pair, "connected")
            assert shown["certificate"] == "verified"
            assert not any("reads the traffic" in problem for problem in shown["problems"])
            assert (await pair.connector())["certificate"] == "verified"
        finally:
            await agent.stop()


@pytest.mark.catalogue("T30")
async def test_who_reads_along_sees_nothing_of_sealed_calls_where_all_must_be_sealed(
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
        policy = pair.agent.home / "policy.toml"
        policy.write_text(policy.read_text() + '\n[sealing]\nrequire = "all"\n')
        agent = pair.agent.program
        direct = agent.environment["CLOUD_CONNECT_RELAY__TUNNEL_URL"]
        agent.environment["CLOUD_CONNECT_RELAY__TUNNEL_URL"] = direct.replace(
            str(pair.tunnel_port), str(proxy.port)
        )
        agent.environment["CLOUD_CONNECT_RELAY__ALLOW_INTERCEPTED"] = "true"
        await agent.start()
        try:
            await status_of(pair, "connected")
            _, printed, _ = await said(
                "cloud_connect_agent", "keys", "--home", str(pair.agent.home)
            )
            pin = Pin(
                connector_id=printed["connector_id"],
                sealing_key=printed["sealing_key"],
                company_id=4242,
                environment=Environment.LIVE,
            )
            trust = ssl.create_default_context(cafile=str(pair.ca_file))
            trust.check_hostname = False  # the test asks by address
            datasource_id = await pair.datasource(company_id=4242)
            url = pair.relay.ready["api_url"]
            async with CloudConnect.open(url, pair.api_key, tls=trust) as client:
                sealed = client.data_source(datasource_id, pin=pin)
                with pytest.raises(SignInRequiredError):  # what it would have answered is no secret
                    await anext(sealed.list("vendors", filters={"name": "canary_of_a_sealed_call"}))
                plain = client.data_source(datasource_id)
                with pytest.raises(PolicyDeniedError, match="not sealed"):
                    await anext(plain.list("vendors", filters={"name": "canary_in_the_clear"}))
        finally:
            await agent.stop()
        assert b"canary_in_the_clear" in proxy.seen, "the proxy did read along"
        assert b"canary_of_a_sealed_call" not in proxy.seen


@pytest.mark.catalogue("T30")
async def test_join_token_is_not_shown_to_who_reads_along_unless_the_administrator_allows_it(
    tmp_path: Path,
) -> None:
    company, authority = Authority.make(COMPANY), Authority.make()
    (tmp_path / "proxy").mkdir()
    certificate, key = authority.issue(tmp_path, "localhost")
    trusted = authority.trusted(tmp_path)
    trusted.write_bytes(trusted.read_bytes() + company.pem)
    tls: dict[str, Any] = {"tls_cert": certificate, "tls_key": key}
    async with (
        serve_relay(tmp_path, **tls) as relay,
        serve_enrolment(relay, ssl_certfile=certificate, ssl_keyfile=key) as url,
        inspecting_proxy(
            tmp_path / "proxy", company, host="localhost", port=int(url.rpartition(":")[2])
        ) as proxy,
    ):
        token = await relay.token()
        pc = Pc(tmp_path / "proxy")
        between = f"https://localhost:{proxy.port}"
        trust = client_context(trusted)
        with pytest.raises(RelayRefusedError, match="reads the traffic; the token was not sent"):
            await pc.enroller(between, tls=trust).enrol(token.reveal(), MACHINE)
        assert b"/api/enrol/certificates" in proxy.seen
        assert token.secret.encode() not in proxy.seen
        with pytest.raises(RelayRefusedError, match="the password was not sent"):
            await pc.enroller(between, tls=trust).request_token("anna", "s3cret-word", group=None)
        assert b"s3cret-word" not in proxy.seen
        direct = await pc.enroller(url, tls=trust).enrol(token.reveal(), MACHINE)
        assert await relay.connector(direct.connector_id)

        other = await relay.token()
        allowing = pc.enroller(between, tls=trust, allow_intercepted=True)
        await allowing.enrol(other.reveal(), MACHINE)
        assert other.secret.encode() in proxy.seen, "that is what was allowed"
