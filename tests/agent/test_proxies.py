"""Tests of ``cloud_connect_agent.proxies``."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.foreign_answers import explain_refusal
from cloud_connect_agent.proxies import Proxies, ProxySettings
from cloud_connect_agent.settings import load_settings

RELAY = "wss://relay.example.com/tunnel"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def chosen(url: str, proxies: Proxies | None = None) -> str | None:
    proxy = (proxies or Proxies()).choose(url)
    return None if proxy is None else f"{proxy.host}:{proxy.port} of {proxy.source}"


def test_without_settings_and_variables_there_is_none() -> None:
    assert chosen(RELAY) is None


def test_the_variable_of_the_scheme_decides_and_then_the_one_for_all(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("ALL_PROXY", "http://everything:1080")
    assert chosen(RELAY) == "everything:1080 of ALL_PROXY"
    environment.setenv("HTTPS_PROXY", "secure.example:3128")
    assert chosen(RELAY) == "secure.example:3128 of HTTPS_PROXY"
    assert chosen("https://api.procore.com") == "secure.example:3128 of HTTPS_PROXY"


def test_the_setting_is_before_the_variables_and_may_be_none(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("HTTPS_PROXY", "http://variable:3128")
    environment.setenv("NO_PROXY", "*")
    assert chosen(RELAY) is None
    setting = Proxies(ProxySettings(url="http://setting:8080/"))
    assert chosen(RELAY, setting) == "setting:8080 of proxy.url"
    environment.delenv("NO_PROXY")
    assert chosen(RELAY, Proxies(ProxySettings(url="none"))) is None


@pytest.mark.parametrize(
    ("rules", "host", "direct"),
    [
        ("*", "relay.example.com", True),
        ("example.com", "relay.example.com", True),
        (".example.com", "relay.example.com", True),
        (".example.com", "example.com", True),
        ("EXAMPLE.com.", "relay.Example.COM", True),
        ("ample.com", "relay.example.com", False),
        ("other.org relay.example.com", "relay.example.com", True),
        ("other.org, example.com", "relay.example.com", True),
        ("relay.example.com", "example.com", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("2.3", "10.1.2.3", False),
        ("fd00::/8", "[fd00::1]", True),
        ("[fd00::1]", "[fd00::1]", True),
        ("10.0.0.0/99", "10.1.2.3", False),
        ("", "relay.example.com", False),
    ],
)
def test_hosts_are_left_out_by_curls_rules(
    environment: pytest.MonkeyPatch, rules: str, host: str, *, direct: bool
) -> None:
    url = f"wss://{host}/tunnel"
    environment.setenv("HTTPS_PROXY", "http://proxy:3128")
    environment.setenv("NO_PROXY", rules)
    assert (chosen(url) is None) is direct
    setting = ProxySettings.model_validate({"url": "http://proxy:3128", "no_proxy": rules})
    assert (chosen(url, Proxies(setting)) is None) is direct


def test_this_pcs_own_addresses_have_no_proxy_unless_it_is_said(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("ALL_PROXY", "http://proxy:3128")
    for host in ("localhost", "127.0.0.1", "127.9.9.9", "[::1]"):
        assert chosen(f"https://{host}:8443") is None
        assert chosen(f"https://{host}", Proxies(ProxySettings(url="http://p:1"))) is None
        said = Proxies(ProxySettings(url="http://p:1", loopback=True))
        assert chosen(f"https://{host}", said) == "p:1 of proxy.url"


def test_user_and_password_of_a_variable_are_kept_out_of_what_people_see(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("HTTPS_PROXY", "http://a%40b:can%3Aary@proxy:3128")
    proxy = Proxies().choose(RELAY)
    assert proxy is not None
    assert proxy.sign_in == ("a@b", "can:ary")
    assert proxy.authorization == "Basic YUBiOmNhbjphcnk="
    described = Proxies().describe(RELAY)
    assert described == {"url": "http://proxy:3128", "source": "HTTPS_PROXY"}
    assert Proxies().describe(None) is None
    assert "ary" not in f"{proxy!r} {proxy} {described} {explain_refusal(407, proxy)}"


def test_password_comes_from_a_private_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret\n")
    file.chmod(0o600)
    settings = ProxySettings(url="http://proxy:3128", username="pc", password_file=file)
    proxy = Proxies.of(settings).choose(RELAY)
    assert proxy is not None
    assert proxy.sign_in == ("pc", "secret")
    toml = tmp_path / "agent.toml"
    toml.write_text('[proxy]\nurl = "http://proxy:3128"\nusername = "pc"\n')
    variables = {"CLOUD_CONNECT_PROXY__PASSWORD": "canary", "CLOUD_CONNECT_PROXY__NO_PROXY": "a,b"}
    loaded = load_settings(toml, environ=variables)
    assert loaded.proxy.no_proxy == ("a", "b")
    assert "canary" not in f"{loaded!r} {loaded.model_dump_json()}"
    found = Proxies.of(loaded.proxy).choose(RELAY)
    assert found is not None
    assert found.sign_in == ("pc", "canary")


@pytest.mark.parametrize(
    ("mode", "content", "says"),
    [(0o644, b"secret", "chmod 600"), (0o600, b"\xff", "UTF-8"), (None, b"", "cannot be read")],
)
def test_password_file_that_cannot_be_used_is_named(
    tmp_path: Path, mode: int | None, content: bytes, says: str
) -> None:
    file = tmp_path / "password"
    if mode is not None:
        file.write_bytes(content)
        file.chmod(mode)
    with pytest.raises(ConfigurationError, match=says):
        Proxies.of(ProxySettings(password_file=file))


def test_password_in_the_settings_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('[proxy]\npassword = "canary"\n')
    with pytest.raises(ConfigurationError, match="no place for") as caught:
        load_settings(file)
    assert "canary" not in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "proxy:3128",
        "socks5://proxy:1080",
        "https://proxy:3128",
        "http://user:canary@proxy:3128",
        "http://proxy:99999",
        "http://proxy/path",
        "http://",
    ],
)
def test_setting_that_is_no_proxy_is_refused(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ProxySettings(url=url)
    assert "canary" not in caught.value.errors(include_input=False)[0]["msg"]


def test_user_name_with_a_colon_is_refused() -> None:
    with pytest.raises(ValidationError, match="colon"):
        ProxySettings(username="a:b")


@pytest.mark.parametrize(
    "value",
    ["socks5://user:canary@proxy:1080", "http://user:canary@h:x", "http://user:canary@[h"],
)
def test_variable_that_is_no_proxy_is_refused_without_its_password(
    environment: pytest.MonkeyPatch, value: str
) -> None:
    environment.setenv("HTTPS_PROXY", value)
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY") as caught:
        Proxies().choose(RELAY)
    assert "canary" not in caught.value.message


def test_system_without_variables_may_name_a_proxy(environment: pytest.MonkeyPatch) -> None:
    module = "cloud_connect_agent.system_proxies"
    environment.setattr(f"{module}.getproxies", lambda: {"https": "http://registry:8080"})
    environment.setattr(f"{module}.proxy_bypass", lambda host: host == "intern.example")
    assert chosen(RELAY) == "registry:8080 of the system's settings"
    assert chosen("https://intern.example") is None


@pytest.mark.parametrize("host", ["proxy..corp", "büro.corp", "a" * 64])
def test_proxy_whose_name_nobody_can_look_up_is_refused_by_name(
    environment: pytest.MonkeyPatch, host: str
) -> None:
    with pytest.raises(ValidationError, match="can be no host's name"):
        ProxySettings(url=f"http://{host}:3128")
    environment.setenv("HTTPS_PROXY", f"http://me:s3cret@{host}:3128")
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY") as caught:
        Proxies().choose(RELAY)
    assert host in caught.value.message
    assert "s3cret" not in caught.value.message
