"""Where public sources about Procore differ, either answer can be chosen."""

from typing import Any

import httpx
import pytest

from doubles.simulator_process import COMPANY, PROJECT, Simulator

RFIS = f"/rest/v1.0/projects/{PROJECT}/rfis"
VENDORS = "/rest/v1.0/vendors"
ME = "/rest/v1.0/me"


def test_page_that_is_too_large_can_be_refused(simulator: Simulator, api: httpx.Client) -> None:
    projects = "/rest/v1.1/projects"
    query: dict[str, Any] = {"company_id": COMPANY, "per_page": 301}
    assert api.get(projects, params=query).status_code == 200
    simulator.behave(too_large_page="refuse")
    refused = api.get(projects, params=query)
    assert (refused.status_code, refused.json()["fields"]) == (400, "per_page")
    assert api.get(projects, params={**query, "per_page": 300}).status_code == 200


def test_default_size_of_pages_can_be_chosen(simulator: Simulator, api: httpx.Client) -> None:
    assert len(api.get(RFIS).json()) == 100
    simulator.behave(default_page_size=7)
    assert len(api.get(RFIS).json()) == 7
    assert len(api.get(RFIS, params={"per_page": 9}).json()) == 9
    tree = api.get("/rest/v1.0/folders", params={"project_id": PROJECT}).json()
    assert tree["folders"]


def test_unified_upload_may_have_to_name_its_tool(simulator: Simulator, api: httpx.Client) -> None:
    path = f"/rest/v2.1/companies/{COMPANY}/uploads"
    body = {
        "file_name": "a",
        "file_size": 1,
        "content_type": "text/plain",
        "segments": [{"size": 1, "sha256": "0" * 64}],
    }
    assert api.post(path, json=body).status_code == 201
    simulator.behave(uploader_tool=True)
    assert api.post(path, json=body).status_code == 400
    assert api.post(path, json={**body, "uploader_tool_name": "estimating"}).status_code == 201


def test_unknown_filter_can_be_refused(simulator: Simulator, api: httpx.Client) -> None:
    query = {"filters[colour]": "red"}
    assert api.get(RFIS, params=query).status_code == 200
    simulator.behave(refuse_unknown_filters=True)
    assert api.get(RFIS, params=query).json()["message"] == "unknown filter: colour"
    assert api.get(RFIS, params={"filters[status]": "open"}).status_code == 200


def test_repeated_origin_id_can_be_a_conflict(simulator: Simulator, api: httpx.Client) -> None:
    simulator.behave(duplicate_status=409)
    body = {"company_id": COMPANY, "vendor": {"name": "a", "origin_id": "one"}}
    assert api.post(VENDORS, json=body).status_code == 201
    refused = api.post(VENDORS, json=body)
    assert refused.status_code == 409
    assert refused.json() == {"errors": {"origin_id": ["has already been taken"]}}


def test_put_can_be_an_alias_of_patch(simulator: Simulator, api: httpx.Client) -> None:
    one = f"{RFIS}/{api.get(RFIS).json()[0]['id']}"
    body = {"rfi": {"subject": "By PUT"}}
    assert api.put(one, json=body).status_code == 405
    simulator.behave(put_as_patch=True)
    assert api.put(one, json=body).json()["subject"] == "By PUT"
    (executed,) = simulator.ledger()
    assert executed["method"] == "PUT"


def test_missing_verb_can_be_404(simulator: Simulator, api: httpx.Client) -> None:
    assert api.delete(RFIS).status_code == 405
    simulator.behave(wrong_verb_status=404)
    assert api.delete(RFIS).status_code == 404


def test_new_service_token_can_end_the_one_before(simulator: Simulator, api: httpx.Client) -> None:
    assert simulator.token().status_code == 200
    assert api.get(ME).status_code == 200
    simulator.behave(one_service_token=True)
    with simulator.client() as newer:
        assert api.get(ME).status_code == 401
        assert newer.get(ME).status_code == 200


def test_basic_credentials_can_be_refused_and_scopes_listed(simulator: Simulator) -> None:
    login = simulator.ready["login_url"]
    pair = (simulator.app["client_id"], simulator.app["client_secret"])
    body = {"grant_type": "client_credentials"}

    def ask() -> int:
        return simulator.http.post(f"{login}/oauth/token", data=body, auth=pair).status_code

    assert ask() == 200
    simulator.behave(basic_auth=False, scopes="read,write")
    assert ask() == 401
    info = simulator.http.get(f"{login}/oauth/token/info", headers=simulator.headers())
    assert info.json()["scopes"] == ["read", "write"]


@pytest.mark.parametrize(
    ("kind", "status", "content_type"),
    [("text", 400, "text/plain; charset=utf-8"), ("json", 422, "application/json")],
)
def test_missing_company_header_is_answered_as_chosen(
    simulator: Simulator, api: httpx.Client, kind: str, status: int, content_type: str
) -> None:
    simulator.behave(missing_company_type=kind, missing_company_status=status)
    del api.headers["procore-company-id"]
    answer = api.get(RFIS)
    assert (answer.status_code, answer.headers["content-type"]) == (status, content_type)
    assert "Missing Procore-Company-Id header!" in answer.text


def test_largest_body_can_be_chosen(simulator: Simulator, api: httpx.Client) -> None:
    simulator.behave(max_body_bytes=100)
    body = {"company_id": COMPANY, "vendor": {"name": "x" * 100}}
    assert api.post(VENDORS, json=body).status_code == 413
    assert simulator.ledger() == []


def test_answer_can_be_a_redirect(simulator: Simulator, api: httpx.Client) -> None:
    simulator.fault("redirect", times=1)
    answer = api.get(RFIS)
    assert (answer.status_code, answer.headers["location"]) == (302, "http://127.0.0.1:1/elsewhere")
    assert api.get(RFIS).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [("too_large_page", "maybe"), ("put_as_patch", "yes"), ("colour", 1), ("max_body_bytes", "x")],
)
def test_switch_that_makes_no_sense_is_refused(
    simulator: Simulator, name: str, value: object
) -> None:
    url = f"{simulator.ready['admin_url']}/state"
    answer = simulator.http.post(url, json={"behaviour": {name: value}})
    assert (answer.status_code, answer.json()["fields"]) == (400, name)
