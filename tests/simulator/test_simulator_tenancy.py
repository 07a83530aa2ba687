"""Who may see what: tokens, the company header, connection, projects, tool levels."""

from typing import Any

import httpx
import pytest

from doubles.simulator_process import (
    COMPANY,
    HIDDEN,
    LARGE_COMPANY,
    PERSON,
    PROJECT,
    SERVICE_USER,
    UNCONNECTED,
    Simulator,
)
from procore_simulator.resources import ROUTES

RFIS = f"/rest/v1.0/projects/{PROJECT}/rfis"
LARGE_PROJECT = LARGE_COMPANY + 501


def test_missing_wrong_and_foreign_tokens_are_401_with_a_challenge(simulator: Simulator) -> None:
    headers = simulator.headers()
    other = simulator.ready["environments"]["live"]["api_url"]
    url = f"{simulator.ready['api_url']}/rest/v1.0/me"
    assert simulator.http.get(f"{other}/rest/v1.0/me", headers=headers).status_code == 401
    assert simulator.http.get(url).status_code == 401
    refused = simulator.http.get(url, headers={"Authorization": "Bearer nonsense"})
    assert refused.status_code == 401
    assert refused.json() == {"errors": ["The access token is invalid"]}
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    assert "x-rate-limit-limit" in refused.headers


def test_token_expires_on_the_simulators_clock(simulator: Simulator, api: httpx.Client) -> None:
    simulator.state(advance_seconds=5399)
    assert api.get("/rest/v1.0/me").status_code == 200
    simulator.state(advance_seconds=2)
    assert api.get("/rest/v1.0/me").status_code == 401


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ("errors", b'{"errors":["The access token is invalid"]}'),
        (
            "oauth",
            b'{"error":"invalid_token","error_description":"The access token is invalid"}',
        ),
        ("empty", b""),
    ],
)
def test_shape_of_a_401_can_be_chosen_but_not_on_version_two(
    simulator: Simulator, shape: str, body: bytes
) -> None:
    simulator.behave(unauthorized_shape=shape)
    base = simulator.ready["api_url"]
    assert simulator.http.get(f"{base}/rest/v1.0/me").content == body
    path = f"/rest/v2.0/companies/{COMPANY}/projects/{PROJECT}/submittals"
    error = simulator.http.get(f"{base}{path}").json()["error"]
    assert error["code"] == "UNAUTHORIZED"
    assert error["details"][0]["reason_code"] == "INVALID_TOKEN"


def test_tokens_can_all_be_revoked_at_once(simulator: Simulator, api: httpx.Client) -> None:
    simulator.state(revoke_tokens=True)
    assert api.get("/rest/v1.0/me").status_code == 401


def test_service_account_must_name_its_company_everywhere(simulator: Simulator) -> None:
    with simulator.client(None) as api:
        for path in ("/rest/v1.0/me", "/rest/v1.0/companies", RFIS):
            refused = api.get(path)
            assert refused.status_code == 400
            assert refused.headers["content-type"].startswith("text/plain")
            assert refused.text.startswith("Missing Procore-Company-Id header!")
    simulator.behave(missing_company_status=403)
    with simulator.client(None) as api:
        assert api.get(RFIS).status_code == 403
    assert simulator.counters()["missing_company_header"] == 4


def test_user_needs_no_company_for_me_and_companies_only(simulator: Simulator) -> None:
    with simulator.client(None, user=True) as api:
        assert api.get("/rest/v1.0/me").json()["id"] == PERSON
        assert api.get("/rest/v1.0/companies").status_code == 200
        assert api.get(RFIS).status_code == 400


def test_me_promises_a_name_only_with_a_company_or_project(api: httpx.Client) -> None:
    assert set(api.get("/rest/v1.0/me").json()) == {"id", "login"}
    named = api.get("/rest/v1.0/me", params={"company_id": COMPANY}).json()
    assert named["id"] == SERVICE_USER
    assert named["name"].startswith(" ")


def test_companies_lists_what_is_in_reach_with_large_ids_as_integers(api: httpx.Client) -> None:
    listed = {row["id"]: row for row in api.get("/rest/v1.0/companies").json()}
    assert set(listed) == {COMPANY, LARGE_COMPANY, UNCONNECTED}
    assert LARGE_COMPANY > 2**32
    assert listed[COMPANY]["is_active"] is True
    assert listed[COMPANY]["logo_url"] is None


def test_company_that_has_not_connected_the_app_says_so(simulator: Simulator) -> None:
    with simulator.client(UNCONNECTED) as api:
        assert api.get("/rest/v1.0/me").status_code == 200
        assert api.get("/rest/v1.0/companies").status_code == 200
        path = f"/rest/v1.1/projects?company_id={UNCONNECTED}"
        refused = api.get(path)
        assert refused.status_code == 403
        assert refused.json() == {"errors": ["App is not connected to this company."]}
        simulator.state(companies=[{"id": UNCONNECTED, "connected": True}])
        assert [row["name"] for row in api.get(path).json()] == ["Linden Showroom"]
        simulator.state(companies=[{"id": UNCONNECTED, "connected": False}])
        assert api.get(path).status_code == 403


def test_company_out_of_reach_and_unknown_company_give_no_data(simulator: Simulator) -> None:
    with simulator.client(HIDDEN) as api:
        assert api.get(f"/rest/v1.1/projects?company_id={HIDDEN}").status_code == 403
    with simulator.client(123456) as api:
        assert api.get("/rest/v1.1/projects?company_id=123456").status_code == 404
    with simulator.client() as api:
        api.headers["Procore-Company-Id"] = "acme"
        assert api.get(RFIS).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        f"/rest/v1.1/projects?company_id={LARGE_COMPANY}",
        f"/rest/v1.3/companies/{LARGE_COMPANY}/users",
        f"/rest/v1.0/projects/{LARGE_PROJECT}/rfis",
        f"/rest/v1.1/punch_items?project_id={LARGE_PROJECT}",
    ],
)
def test_header_of_one_company_never_opens_another(
    simulator: Simulator, api: httpx.Client, path: str
) -> None:
    answer = api.get(path)
    assert answer.status_code in {403, 404}
    assert simulator.counters()["wrong_company"] == 1


def test_company_in_the_body_must_match_too(simulator: Simulator, api: httpx.Client) -> None:
    body = {"company_id": LARGE_COMPANY, "vendor": {"name": "Elsewhere"}}
    assert api.post("/rest/v1.0/vendors", json=body).status_code == 403
    assert simulator.ledger() == []


def test_ids_of_the_large_zone_exceed_32_bits_everywhere(simulator: Simulator) -> None:
    with simulator.client(LARGE_COMPANY) as api:
        projects = api.get(f"/rest/v1.1/projects?company_id={LARGE_COMPANY}").json()
        assert "Harbour Tower" in {row["name"] for row in projects}
        rfi = api.get(f"/rest/v1.0/projects/{projects[0]['id']}/rfis?per_page=1").json()[0]
        assert rfi["id"] > 2**48
        vendor = {"company_id": str(LARGE_COMPANY), "vendor": {"name": "Large"}}
        assert api.post("/rest/v1.0/vendors", json=vendor).json()["id"] > 2**48


def test_service_account_enters_permitted_projects_only(simulator: Simulator) -> None:
    simulator.state(companies=[{"id": COMPANY, "permitted_projects": [5002]}])
    with simulator.client() as api:
        listed = api.get(f"/rest/v1.1/projects?company_id={COMPANY}")
        assert [row["id"] for row in listed.json()] == [5002]
        assert listed.headers["total"] == "1"
        assert api.get(RFIS).status_code == 403
        body = {"company_id": COMPANY, "project": {"name": "Annex"}}
        made = api.post("/rest/v1.0/projects", json=body).json()["id"]
        assert api.get(f"/rest/v1.0/projects/{made}/rfis").json() == []
    with simulator.client(user=True) as api:
        assert api.get(RFIS).status_code == 200
    simulator.state(companies=[{"id": COMPANY, "permitted_projects": []}])
    with simulator.client() as api:
        none = api.get(f"/rest/v1.1/projects?company_id={COMPANY}")
        assert (none.json(), none.headers["total"]) == ([], "0")


def set_level(simulator: Simulator, level: str, **more: Any) -> None:
    simulator.state(tools=[{"company_id": COMPANY, "tool": "rfis", "level": level, **more}])


def test_tool_levels_decide_verb_by_verb(simulator: Simulator, api: httpx.Client) -> None:
    number = api.get(f"{RFIS}?per_page=1").json()[0]["id"]
    body = {"rfi": {"subject": "S", "question": {"body": "Q"}, "rfi_manager_id": PERSON}}
    set_level(simulator, "none")
    assert api.get(RFIS).status_code == 403
    assert api.get(f"{RFIS}/{number}").status_code == 404
    assert api.patch(f"{RFIS}/{number}", json=body).status_code == 404
    set_level(simulator, "read", project_id=PROJECT)
    assert api.get(f"{RFIS}/{number}").status_code == 200
    assert api.post(RFIS, json=body).status_code == 403
    set_level(simulator, "standard", project_id=PROJECT)
    made = api.post(RFIS, json={"rfi": {**body["rfi"], "due_date": "2026-01-01"}})
    assert made.status_code == 201
    assert made.json()["due_date"] is None
    assert api.patch(f"{RFIS}/{number}/recycle").status_code == 403
    set_level(simulator, "off")
    assert api.get(f"/rest/v1.0/projects/{PROJECT}/tools").json()[2]["is_active"] is True
    set_level(simulator, "off", project_id=PROJECT)
    assert api.get(RFIS).status_code == 403
    assert len(simulator.ledger()) == 1


@pytest.mark.parametrize(
    ("tool", "path"),
    [
        ("timecard", f"/rest/v1.0/companies/{COMPANY}/timecard_entries/1"),
        ("timecard", f"/rest/v1.0/projects/{PROJECT}/timecard_entries/1"),
        ("webhooks", "/rest/v1.0/webhooks/hooks/1/triggers/1"),
    ],
)
def test_deleting_takes_an_admin_by_every_path(
    simulator: Simulator, api: httpx.Client, tool: str, path: str
) -> None:
    query = {"company_id": COMPANY}
    simulator.state(tools=[{"company_id": COMPANY, "tool": tool, "level": "standard"}])
    assert api.delete(path, params=query).status_code == 403
    simulator.state(tools=[{"company_id": COMPANY, "tool": tool, "level": "admin"}])
    assert api.delete(path, params=query).status_code == 404


def test_permissions_tell_the_levels(simulator: Simulator, api: httpx.Client) -> None:
    set_level(simulator, "read")
    simulator.state(tools=[{"company_id": COMPANY, "tool": "photos", "level": "off"}])
    path = "/rest/v1.0/settings/permissions"
    tools = {
        tool["name"]: tool for tool in api.get(path, params={"project_id": PROJECT}).json()["tools"]
    }
    assert tools["rfis"]["user_access_level"]["name"] == "Read Only"
    assert tools["rfis"]["permitted_actions"] == ["read"]
    assert tools["rfis"]["can_create"] is False
    assert tools["submittals"]["user_access_level"]["name"] == "Admin"
    assert "photos" not in tools
    assert api.get(path, params={"company_id": COMPANY}).status_code == 200
    assert api.get(path).json()["error"]["code"] == 400


def test_permissions_tell_of_every_tool_that_a_path_belongs_to(
    simulator: Simulator, api: httpx.Client
) -> None:
    path = "/rest/v1.0/settings/permissions"
    told = {tool["name"] for tool in api.get(path, params={"project_id": PROJECT}).json()["tools"]}
    assert {route.tool for route in ROUTES if route.tool} <= told
    simulator.state(tools=[{"company_id": COMPANY, "tool": "budget", "level": "none"}])
    assert api.get(f"/rest/v1.0/projects/{PROJECT}/budget").status_code == 403


def test_zone_of_a_company_is_told(simulator: Simulator, api: httpx.Client) -> None:
    assert api.get("/rest/v1.0/company_base_url").json()["zone"] == "us01"
    with simulator.client(LARGE_COMPANY) as large:
        assert large.get("/rest/v1.0/company_base_url").json() == {
            "zone": "us02",
            "web_base_url": "https://us02.procore.com",
        }


def test_unknown_path_is_404_and_missing_verb_405(api: httpx.Client) -> None:
    assert api.get("/rest/v1.0/nothing").status_code == 404
    assert api.get(f"/rest/v1.1/projects/{PROJECT}/rfis").status_code == 404
    assert api.get(f"/rest/v1.0/companies/{COMPANY}").status_code == 404
    refused = api.delete(f"{RFIS}/1")
    assert refused.status_code == 405
    assert refused.headers["allow"] == "GET, PATCH"
    assert api.get(f"{RFIS}/abc").status_code == 404
    assert api.get("/rest/v1.0/projects/abc/rfis").status_code == 404
    assert api.get("/rest/v1.0/projects/999999/rfis").status_code == 404
    assert api.get("/rest/v1.1/punch_items").status_code == 400
    assert api.get("/rest/v1.0/vendors").status_code == 400
