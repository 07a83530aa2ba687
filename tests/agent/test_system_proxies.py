"""Tests of ``cloud_connect_agent.system_proxies`` and of what it reads on Windows."""

import pytest

from cloud_connect_agent.proxies import Proxies, ProxySettings
from cloud_connect_agent.system_proxies import named_by_system, proxy_script
from cloud_connect_agent.windows_proxies import WinHttp, WinHttpAnswer, proxies_in

RELAY = "wss://relay.example.com/tunnel"
SCRIPT = "http://wpad.example/proxy.pac"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def windows(**answer: str) -> WinHttp:
    return WinHttp(lambda: WinHttpAnswer(**answer))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("proxy:8080", {"all": "proxy:8080"}),
        ("http=a:80;https=b:8080", {"http": "a:80", "https": "b:8080"}),
        ("https=b:8080 ftp=c:21 socks=d:1080", {"https": "b:8080"}),
        ("https=", {}),
        ("", {}),
    ],
)
def test_windows_list_of_proxies_is_read(text: str, found: dict[str, str]) -> None:
    assert proxies_in(text) == found


@pytest.mark.parametrize(
    ("host", "direct"),
    [
        ("relay.example.com", False),
        ("intern.example.org", True),
        ("intranet", True),
        ("10.1.2.3", True),
        ("11.1.2.3", False),
    ],
)
def test_what_netsh_made_for_the_machine_is_used_but_for_its_exceptions(
    host: str, *, direct: bool
) -> None:
    machine = windows(proxies="https=proxy:8080", bypass="<local>;*.EXAMPLE.org;10.*")
    found = named_by_system("https", host, machine=machine)
    assert (found is None) is direct
    if found is not None:
        assert (found.text, found.source) == ("proxy:8080", "Windows' own (netsh winhttp)")
    assert named_by_system("http", "relay.example.com", machine=machine) is None
    assert named_by_system("https", host, machine=windows()) is None


def test_variables_are_before_what_windows_says(environment: pytest.MonkeyPatch) -> None:
    machine = windows(proxies="proxy:8080", script=SCRIPT)
    environment.setenv("HTTPS_PROXY", "http://variable:3128")
    found = named_by_system("https", "relay.example.com", machine=machine)
    assert found is not None
    assert found.source == "HTTPS_PROXY"
    assert proxy_script(machine=machine) is None


def test_proxy_script_is_named_with_what_to_do_where_nothing_else_names_a_proxy() -> None:
    scripted = windows(script=SCRIPT)
    told = Proxies(machine=scripted).advice(RELAY)
    assert told is not None
    assert f"(PAC, {SCRIPT})" in told
    assert "set that as proxy.url" in told
    assert "relay.example.com" in told
    for settings in (ProxySettings(url="none"), ProxySettings(url="http://proxy:3128")):
        assert Proxies(settings, machine=scripted).advice(RELAY) is None
    assert Proxies(machine=scripted).advice(None) is None
    assert Proxies(machine=windows(proxies="proxy:1", script=SCRIPT)).advice(RELAY) is None
    assert Proxies(machine=windows()).advice(RELAY) is None
    assert Proxies().advice(RELAY) is None
