"""Tests of ``cloud_connect_agent.procore.files.hosts``."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect.calls import Environment
from cloud_connect_agent.procore.environments import Endpoints, endpoints_of
from cloud_connect_agent.procore.files.hosts import FileUrl, HostRefusedError, HostRules
from cloud_connect_agent.settings import EnvironmentSettings

LIVE = HostRules.of(endpoints_of(Environment.LIVE))
SIMULATOR = HostRules(api="http://127.0.0.1:9000", public=False)
ON_PREMISE = HostRules(
    api="https://procore.corp.example/gateway",
    public=False,
    extra=("files.corp.example", "*.cdn.example"),
)


@pytest.mark.parametrize(
    "url",
    [
        "https://storage.procore.com/api/v5/files/1?sig=a%2Fb",
        "https://us02.procore.com/x",
        "https://s3.amazonaws.com/pro-core.com/companies/1",
        "https://s3.us-east-1.amazonaws.com/b/k",
        "https://pro-core.s3.amazonaws.com/k",
        "https://pro-core.s3-accelerate.amazonaws.com/k",
        "https://pro.core.s3.dualstack.us-west-2.amazonaws.com/k",
    ],
)
def test_storage_of_procore_is_known(url: str) -> None:
    found = LIVE.check(url)
    assert str(found) == url
    assert (found.api, found.private) == (False, False)


def test_hosts_of_the_apis_own_domain_are_procores() -> None:
    assert LIVE.check("https://storage.procore.com/x").procore
    assert not LIVE.check("https://storage.procoregov.com/x").procore
    assert not LIVE.check("https://s3.amazonaws.com/x").procore
    federal = HostRules(api="https://api.procoregov.com", public=False)
    assert federal.check("https://storage.procoregov.com/x").procore
    assert not federal.check("https://storage.procore.com/x").procore
    assert not SIMULATOR.check("http://127.0.0.1:9001/x").procore
    assert not ON_PREMISE.check("https://storage.procore.com/x").procore


def test_a_relative_link_stays_below_the_apis_address() -> None:
    base = ON_PREMISE.check("https://procore.corp.example/gateway/rest/v1.0/files/1/link?a=1")
    assert base.target == "/rest/v1.0/files/1/link?a=1"
    found = ON_PREMISE.check("download", base=base)
    assert (found.api, found.target) == (True, "/rest/v1.0/files/1/download")
    assert str(found) == "https://procore.corp.example/gateway/rest/v1.0/files/1/download"
    with pytest.raises(HostRefusedError, match="not below its address"):
        ON_PREMISE.check("/rest/v1.0/files/1/download", base=base)


def test_the_api_is_its_origin_and_nothing_else() -> None:
    assert LIVE.check("https://api.procore.com/rest/v1.0/x?a=1").api
    assert LIVE.check("https://API.procore.com:443/rest/v1.0/x").api
    assert not LIVE.check("https://app.procore.com/rest/v1.0/x").api
    assert not SIMULATOR.check("http://127.0.0.1:9001/rest/v1.0/x").api
    assert SIMULATOR.check("http://127.0.0.1:9000/rest/v1.0/x").api


@pytest.mark.parametrize(
    "url",
    [
        "http://storage.procore.com/x",
        "https://storage.procore.com.evil.example/x",
        "https://evilprocore.com/x",
        "https://s3.amazonaws.com.evil.example/x",
        "https://ec2.amazonaws.com/x",
        "https://evil.example/?storage.procore.com",
        "https://user@storage.procore.com/x",
        "https://user:secret@storage.procore.com/x",
        "https://storage.procore.com:8443/x",
        "https://storage.procore.com:0/x",
        "https://storage.procore.com:99999/x",
        "https://169.254.169.254/latest/meta-data/",
        "http://169.254.169.254/latest/meta-data/",
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://[::1]/x",
        "https://10.0.0.1/x",
        "https://8.8.8.8/x",
        "https://2130706433/x",
        "https://0x7f000001/x",
        "file:///etc/passwd",
        "ftp://storage.procore.com/x",
        "gopher://storage.procore.com/x",
        "//storage.procore.com/x",
        "/etc/passwd",
        "https:///x",
        "https://storage.procore.com\\@evil.example/x",
        "https://storage.procore.com/a b",
        "https://storage.procore.com/a\r\nx: y",
        "https://störage.procore.com/x",
        "https://[storage.procore.com/x",
        "https://storage.procore.com/" + "a" * 9000,
        "",
    ],
)
def test_anywhere_else_is_refused(url: str) -> None:
    with pytest.raises(HostRefusedError, match="storage-hosts"):
        LIVE.check(url)


def test_settings_add_hosts_by_name_and_by_domain() -> None:
    assert ON_PREMISE.check("https://files.corp.example:8443/x").private
    assert not ON_PREMISE.check("https://a.b.cdn.example/x").private
    for url in ("https://cdn.example/x", "https://a.cdn.example:8443/x", "https://other.example/"):
        with pytest.raises(HostRefusedError):
            ON_PREMISE.check(url)


def test_settings_reach_the_rules() -> None:
    section = EnvironmentSettings(storage_hosts=("Files.Example", "*.cdn.example"))
    rules = HostRules.of(endpoints_of(Environment.LIVE, {"live": section}))
    assert rules.check("https://files.example/x").private is False
    assert rules.check("https://a.cdn.example/x").host == "a.cdn.example"
    assert rules.public


def test_the_api_behind_a_path_keeps_its_path_out_of_the_target() -> None:
    found = ON_PREMISE.check("https://procore.corp.example/gateway/rest/v1.0/x?a=1")
    assert (found.api, found.target) == (True, "/rest/v1.0/x?a=1")
    with pytest.raises(HostRefusedError):
        ON_PREMISE.check("https://procore.corp.example/elsewhere")


def test_relative_links_are_of_the_host_that_gave_them() -> None:
    base = LIVE.check("https://storage.procore.com/a/b?c=1")
    assert str(LIVE.check("d?e=2", base=base)) == "https://storage.procore.com/a/d?e=2"
    assert str(LIVE.check("/f", base=base)) == "https://storage.procore.com/f"
    with pytest.raises(HostRefusedError):
        LIVE.check("//evil.example/f", base=base)


def test_loopback_is_for_rehearsals_only() -> None:
    assert str(SIMULATOR.check("http://127.0.0.1:9005/x")) == "http://127.0.0.1:9005/x"
    assert str(SIMULATOR.check("http://[::1]:9005/x")) == "http://[::1]:9005/x"
    for url in ("http://169.254.169.254/", "http://10.0.0.1/", "http://example.com/"):
        with pytest.raises(HostRefusedError):
            SIMULATOR.check(url)


PUBLIC = FileUrl(scheme="https", host="storage.procore.com", port=443, target="/")
INTERNAL = FileUrl(scheme="https", host="files.corp.example", port=443, target="/", private=True)
LOOPBACK = FileUrl(scheme="http", host="localhost", port=9005, target="/", private=True)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1", "64:ff9b::808:808"])
def test_addresses_of_the_internet_are_connected_to(address: str) -> None:
    LIVE.check_address(PUBLIC, address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::a00:1",  # a site's own NAT64
        "::10.0.0.1",
        "::ffff:0:10.0.0.1",
        "fec0::1",
        "2002:a00:1::1",
    ],
)
def test_addresses_of_the_site_are_not(address: str) -> None:
    with pytest.raises(HostRefusedError, match="not on the internet"):
        LIVE.check_address(PUBLIC, address)


def test_host_of_the_site_that_settings_name_may_have_a_private_address() -> None:
    ON_PREMISE.check_address(INTERNAL, "10.1.2.3")
    ON_PREMISE.check_address(INTERNAL, "8.8.8.8")
    for address in ("127.0.0.1", "169.254.169.254", "::1", "224.0.0.1", "0.0.0.0"):
        with pytest.raises(HostRefusedError):
            ON_PREMISE.check_address(INTERNAL, address)


def test_name_of_this_machine_must_lead_to_it() -> None:
    SIMULATOR.check_address(LOOPBACK, "127.0.0.1")
    for address in ("10.0.0.1", "8.8.8.8"):
        with pytest.raises(HostRefusedError):
            SIMULATOR.check_address(LOOPBACK, address)


@given(st.text(max_size=60))
def test_no_text_leads_outside(text: str) -> None:
    for candidate in (text, f"https://{text}", f"https://{text}.procore.com/"):
        try:
            found = LIVE.check(candidate)
        except HostRefusedError:
            continue
        assert found.scheme == "https"
        assert found.port == 443
        assert found.host.endswith((".procore.com", ".procoregov.com", ".amazonaws.com"))


def test_endpoints_know_whether_they_are_procores_own() -> None:
    assert endpoints_of(Environment.LIVE).public
    assert not Endpoints(
        environment=Environment.LIVE, api_url="https://gw.example", login_url="https://x.example"
    ).public
