import base64
import json
from typing import Any

import pytest
from pydantic import ValidationError

from cloud_connect_relay.custom_connector.envelope import BagSettings, Envelope

BAG = base64.b64encode(bytes(48)).decode()
IV = base64.b64encode(bytes(16)).decode()
DATASOURCE = "ds_0000000000000000"
COMPANY = {"companyId": "562949953443837", "environment": "live", "connectorId": "con_1"}


def request(**members: Any) -> dict[str, Any]:
    return {"requestId": "r-1", "encryptedSettingsPropertyBag": BAG, "iv": IV, **members}


def test_envelope_takes_what_the_platform_sends_and_ignores_the_rest() -> None:
    read = Envelope.model_validate(
        request(subscriptionId="s", userId="u", action="Query", query={"a": 1}, later=True)
    )
    assert (read.requestId, read.userId, read.query) == ("r-1", "u", {"a": 1})
    assert (read.iv, read.last_block) == (bytes(16), bytes(16))


@pytest.mark.parametrize(
    "members",
    [
        {"requestId": ""},
        {"requestId": "x" * 257},
        {"requestId": 7},
        {"requestId": None},
        {"encryptedSettingsPropertyBag": ""},
        {"encryptedSettingsPropertyBag": None},
        {"encryptedSettingsPropertyBag": "?" * 64},
        {"encryptedSettingsPropertyBag": base64.b64encode(bytes(15)).decode()},
        {"encryptedSettingsPropertyBag": base64.b64encode(bytes(64 * 1024 + 16)).decode()},
        {"iv": base64.b64encode(bytes(15)).decode()},
        {"iv": "?"},
        {"query": "select"},
    ],
)
def test_envelope_refuses_what_is_none(members: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Envelope.model_validate(request(**members))


@pytest.mark.parametrize("iv", [None, ""])
def test_older_requests_have_no_iv(iv: str | None) -> None:
    assert Envelope.model_validate(request(iv=iv)).iv is None


def test_settings_name_a_data_source() -> None:
    read = BagSettings.read(json.dumps({"datasourceId": DATASOURCE, "clientID": "x"}).encode())
    assert read is not None
    assert read.datasourceId == DATASOURCE


@pytest.mark.parametrize("environment", ["live", "Live", "developer-sandbox", "monthly_sandbox"])
def test_settings_may_say_where_calls_go_instead(environment: str) -> None:
    read = BagSettings.read(json.dumps({**COMPANY, "environment": environment}).encode())
    assert read is not None
    target = read.target(subscription_id="sub", registration_id="reg_1")
    assert target.connector_ids == ("con_1",)
    assert target.source["company_id"] == 562949953443837
    assert target.datasource_id == "reg_1"


def test_settings_without_a_connector_go_to_hosted_ones() -> None:
    read = BagSettings.read(json.dumps({"companyId": 5, "environment": "live"}).encode())
    assert read is not None
    assert read.target(subscription_id="sub", registration_id="reg_1").hosted


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"clientID": "demo", "environment": "live"},
        {"datasourceId": "ds_1"},
        {"datasourceId": 7},
        {"datasourceid": DATASOURCE},
        {**COMPANY, "companyId": "12x"},
        {**COMPANY, "companyId": -1},
        {**COMPANY, "environment": "test"},
        {**COMPANY, "projectId": "x"},
        {**COMPANY, "connectorId": [7]},
        [],
        "text",
    ],
)
def test_settings_that_name_no_place_are_none(settings: object) -> None:
    assert BagSettings.read(json.dumps(settings).encode()) is None


def test_what_is_no_json_is_no_settings() -> None:
    for text in (b"", b"{", b"\xff", b"\x00" * 16):
        assert BagSettings.read(text) is None
