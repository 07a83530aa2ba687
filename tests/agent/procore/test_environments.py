"""Where Procore's environments live."""

from pathlib import Path

import pytest

from cloud_connect.calls import Environment
from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.procore.environments import endpoints_of


class Override:
    def __init__(
        self,
        api_url: str | None = None,
        login_url: str | None = None,
        ca_file: Path | None = None,
    ) -> None:
        self.api_url = api_url
        self.login_url = login_url
        self.ca_file = ca_file
        self.storage_hosts: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("environment", "api_url", "login_url"),
    [
        (Environment.LIVE, "https://api.procore.com", "https://login.procore.com"),
        (
            Environment.MONTHLY_SANDBOX,
            "https://api-monthly.procore.com",
            "https://login-sandbox-monthly.procore.com",
        ),
        (
            Environment.DEVELOPER_SANDBOX,
            "https://sandbox.procore.com",
            "https://login-sandbox.procore.com",
        ),
    ],
)
def test_each_environment_has_its_pair(
    environment: Environment, api_url: str, login_url: str
) -> None:
    endpoints = endpoints_of(environment, {})
    assert (endpoints.api_url, endpoints.login_url) == (api_url, login_url)
    assert endpoints.ca_file is None


def test_each_url_is_set_for_itself() -> None:
    override = {
        "live": Override(api_url="https://gateway.example/procore/", ca_file=Path("ca.pem"))
    }
    live = endpoints_of(Environment.LIVE, override)
    assert live.api_url == "https://gateway.example/procore"
    assert live.login_url == "https://login.procore.com"
    assert live.ca_file == Path("ca.pem")
    other = endpoints_of(Environment.MONTHLY_SANDBOX, override)
    assert other.api_url == "https://api-monthly.procore.com"
    login = endpoints_of(Environment.LIVE, {"live": Override(login_url="http://127.0.0.1:9001")})
    assert login.login_url == "http://127.0.0.1:9001"


@pytest.mark.parametrize(
    "url",
    [
        "http://api.procore.com",
        "ftp://api.procore.com",
        "api.procore.com",
        "https://",
        "https://user@api.procore.com",
        "https://:password@api.procore.com",
        "https://api.procore.com/?a=b",
        "https://api.procore.com/#a",
        "https://api.procore.com:0",
        "https://api.procore.com:99999",
        "https://[::1",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
    ],
)
def test_a_url_that_cannot_be_used_is_named(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"procore\.environments\.live\.api_url"):
        endpoints_of(Environment.LIVE, {"live": Override(api_url=url)})
