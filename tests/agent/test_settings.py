"""Tests of ``cloud_connect_agent.settings``."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cloud_connect.calls import Environment
from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.settings import (
    DEFAULT_REDIRECT_URI,
    AgentSettings,
    check_redirect_uri,
    check_url,
    load_settings,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agent.toml"


def test_without_a_file_there_are_defaults(file: Path) -> None:
    settings = load_settings(file)
    assert settings == AgentSettings()
    assert not settings.relay.enrolled
    assert settings.procore.read_concurrency == 32


def test_a_file_is_read_as_the_documents_show_it(file: Path) -> None:
    file.write_text(
        'name = "pc"\n'
        '[relay]\nurl = "https://relay.example.com/"\nconnector_id = "con_1"\n'
        'tunnel_url = "wss://relay.example.com/tunnel"\n'
        "[procore.environments.developer-sandbox]\n"
        'api_url = "http://127.0.0.1:9000"\nlogin_url = "http://[::1]:9001"\n'
    )
    settings = load_settings(file)
    assert settings.relay.enrolled
    assert settings.relay.url == "https://relay.example.com"
    sandbox = settings.procore.environment(Environment.DEVELOPER_SANDBOX)
    assert sandbox.api_url == "http://127.0.0.1:9000"
    assert settings.procore.environment(Environment.LIVE).api_url is None


def test_flags_beat_variables_and_variables_beat_the_file(file: Path) -> None:
    file.write_text('name = "file"\n[log]\nlevel = "error"\nfiles = 2\n')
    environ = {"CLOUD_CONNECT_NAME": "variable", "CLOUD_CONNECT_LOG__LEVEL": "warning"}
    settings = load_settings(file, environ=environ, flags={"name": "flag", "tunnel": {}})
    assert (settings.name, settings.log.level, settings.log.files) == ("flag", "warning", 2)


def test_storage_hosts_are_names_and_domains(file: Path) -> None:
    file.write_text(
        '[procore.environments.live]\nstorage_hosts = ["files.example.com", "*.cdn.example.com"]\n'
    )
    hosts = ("files.example.com", "*.cdn.example.com")
    assert load_settings(file).procore.environment(Environment.LIVE).storage_hosts == hosts
    variable = "CLOUD_CONNECT_PROCORE__ENVIRONMENTS__LIVE__STORAGE_HOSTS"
    settings = load_settings(file, environ={variable: "a.example, *.b.example"})
    assert settings.procore.environment(Environment.LIVE).storage_hosts == (
        "a.example",
        "*.b.example",
    )
    for wrong in ("https://a.example", "*", "a.*.example", "", "a.example/x", "a:1"):
        with pytest.raises(ConfigurationError, match=r"storage_hosts|STORAGE_HOSTS"):
            load_settings(file, environ={variable: wrong})


def test_variables_reach_every_level(file: Path) -> None:
    environ = {
        "CLOUD_CONNECT_RELAY__URL": "http://127.0.0.1:8080",
        "CLOUD_CONNECT_TUNNEL__DRAIN_TIMEOUT": "3",
        "CLOUD_CONNECT_PROCORE__ENVIRONMENTS__DEVELOPER_SANDBOX__API_URL": "http://127.0.0.1:9",
    }
    settings = load_settings(file, environ=environ)
    assert settings.relay.url == "http://127.0.0.1:8080"
    assert settings.tunnel.drain_timeout == 3.0
    assert settings.procore.environments["developer-sandbox"].api_url == "http://127.0.0.1:9"


def test_variables_of_the_relay_and_of_others_are_not_ours(file: Path) -> None:
    environ = {
        "CLOUD_CONNECT_RELAY_PORT": "1",
        "CLOUD_CONNECT_HOME": "/x",
        "CLOUD_CONNECT_SOMETHING": "1",
        "PATH": "/bin",
    }
    assert load_settings(file, environ=environ) == AgentSettings()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('nmae = "typo"', "nmae in agent.toml"),
        ("[relay]\nadress = 1", "relay.adress"),
        ("[procore.environments.sandbox]\n", "'sandbox' is no environment"),
        ("procore.environments = 1", "procore.environments"),
        ('[procore.environments.live]\napi_url = "http://10.0.0.1"', "loopback"),
        ('[procore.environments.live]\nredirect_uri = "https://localhost"', "redirect_uri"),
        ('[procore.environments.live]\nredirect_uri = "http://localhost:x"', "is not a URI"),
        ('[procore.environments.live]\nredirect_uri = "http://localhost/?a"', "port and a path"),
        ("[procore.environments.live.accounts.Acme]", "accounts.Acme"),
        (
            "[procore.environments.live.accounts]\na.companies = [1]\nb.companies = [2, 1]",
            "company 1 is bound to 'a' and 'b'",
        ),
        ('[relay]\nurl = "ftp://x"', "relay.url"),
        ('[relay]\ntunnel_url = "https://x"', "relay.tunnel_url"),
        ('[log]\nlevel = "loud"', "log.level"),
        ("[tunnel]\nconnect_timeout = 0", "tunnel.connect_timeout"),
        ("name =", "TOML"),
        ("\udcff", "TOML"),
    ],
)
def test_a_mistake_in_the_file_is_named(file: Path, text: str, named: str) -> None:
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigurationError) as caught:
        load_settings(file)
    assert named in caught.value.message


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"CLOUD_CONNECT_LOG__LVEL": "info"}, "CLOUD_CONNECT_LOG__LVEL"),
        ({"CLOUD_CONNECT_LOG__LEVEL": "loud"}, "CLOUD_CONNECT_LOG__LEVEL"),
        ({"CLOUD_CONNECT_NAME": "a", "CLOUD_CONNECT_NAME__X": "b"}, "CLOUD_CONNECT_NAME__X"),
    ],
)
def test_a_mistake_in_a_variable_is_named(file: Path, environ: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(file, environ=environ)
    assert named in caught.value.message


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_other_accounts_can_change_is_refused(file: Path, mode: int) -> None:
    file.write_text('name = "pc"')
    file.chmod(mode)
    with pytest.raises(ConfigurationError, match=r"chmod go-w agent\.toml"):
        load_settings(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "https://relay.example.com",
        "https://relay.example.com:8443/base/",
        "http://localhost:8080",
        "http://127.9.9.9",
        "http://[::1]:1",
    ],
)
def test_safe_addresses_are_accepted(url: str) -> None:
    assert check_url(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "relay.example.com",
        "https://",
        "http://relay.example.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "https://user:password@relay.example.com",
        "https://relay.example.com/?a=b",
        "https://relay.example.com/#x",
        "https://relay.example.com:99999",
        "https://[::1",
        "ws://127.0.0.1",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|loopback"):
        check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://relay..example",
        "https://büro.example",
        f"https://{'a' * 64}.example",
        "https://a b",
    ],
)
def test_host_that_no_name_server_can_be_asked_for_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="can be no host's name"):
        check_url(url)


@pytest.mark.parametrize("url", ["ftp://me:s3cret@relay", "https://me:s3cret@[::1"])
def test_password_in_a_url_is_not_told_again(url: str) -> None:
    with pytest.raises(ValueError, match="URL") as caught:
        check_url(url)
    assert "s3cret" not in str(caught.value)


def test_settings_do_not_change() -> None:
    settings: Any = AgentSettings()
    with pytest.raises(ValidationError):
        settings.name = "x"


@pytest.mark.parametrize(
    "uri", [DEFAULT_REDIRECT_URI, "http://localhost", "http://localhost:80/", "http://localhost/x"]
)
def test_where_a_browser_comes_back_to_is_this_pc(uri: str) -> None:
    assert check_redirect_uri(uri) == uri
