"""Tests of ``cloud_connect_agent.settings_listing``."""

from pathlib import Path

import pytest

from cloud_connect_agent.settings import AgentSettings
from cloud_connect_agent.settings_listing import changes_live, differing, settings_in

SETTINGS = AgentSettings.model_validate(
    {
        "name": "pc",
        "proxy": {"password": "hunter22", "no_proxy": ["a.example"]},
        "relay": {"ca_file": "/etc/ca.pem"},
        "procore": {"environments": {"live": {"accounts": {"acme": {"companies": [1, 2]}}}}},
    }
)


def test_each_setting_has_a_name_and_a_plain_value() -> None:
    found = {".".join(path): value for path, value in settings_in(SETTINGS)}
    assert found["name"] == "pc"
    assert found["log.level"] == "info"
    assert found["relay.url"] is None
    assert found["relay.ca_file"] == str(Path("/etc/ca.pem"))
    assert found["proxy.no_proxy"] == ["a.example"]
    assert found["procore.environments.live.accounts.acme.companies"] == [1, 2]


def test_a_secret_is_masked_if_there_is_one() -> None:
    found = dict(settings_in(SETTINGS))
    assert found["proxy", "password"] == "***"
    assert dict(settings_in(AgentSettings()))["proxy", "password"] == ""
    assert "hunter22" not in str(found)


def test_differences_are_found_in_secrets_and_in_what_is_missing_on_one_side() -> None:
    other = AgentSettings.model_validate({"name": "pc", "proxy": {"password": "other"}})
    names = {".".join(path) for path in differing(SETTINGS, other)}
    assert {"proxy.password", "proxy.no_proxy", "relay.ca_file"} <= names
    assert "procore.environments.live.accounts.acme.companies" in names
    assert "name" not in names
    assert differing(SETTINGS, SETTINGS) == []


@pytest.mark.parametrize(
    ("name", "live"),
    [
        ("log.level", True),
        ("proxy.url", True),
        ("procore.read_concurrency", True),
        ("procore.upserts", False),
        ("tunnel.backoff_cap", False),
        ("relay.url", False),
    ],
)
def test_what_changes_live_is_known(name: str, live: bool) -> None:  # noqa: FBT001 - a table's column
    assert changes_live(tuple(name.split("."))) is live
