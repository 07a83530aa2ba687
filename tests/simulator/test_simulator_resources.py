"""Each resource's own paths, verbs, codes and rules."""

from typing import Any

import httpx
import pytest

from doubles.simulator_process import COMPANY, PERSON, PROJECT, SERVICE_USER, Simulator

IN_PROJECT = f"/rest/v1.0/projects/{PROJECT}"
QUERY = {"project_id": PROJECT}


def first_id(api: httpx.Client, path: str, **query: Any) -> int:
    found: int = api.get(path, params=query).json()[0]["id"]
    return found


@pytest.mark.parametrize(
    ("path", "where", "envelope", "record", "change", "codes"),
    [
        ("/rest/v1.0/vendors", "company", "vendor", {"name": "A"}, {"city": "B"}, (201, 405)),
        (f"/rest/v1.3/companies/{COMPANY}/users", "path", "user",
         {"last_name": "Lee", "email_address": "lee@example.com"}, {"job_title": "J"}, (201, 405)),
        (f"/rest/v1.1/projects/{PROJECT}/vendors", "path", "vendor",
         {"name": "A"}, {"city": "B"}, (201, 405)),
        (f"/rest/v1.1/projects/{PROJECT}/submittals", "path", "submittal",
         {"number": "77", "title": "T", "submittal_manager_id": PERSON},
         {"status_id": 3}, (201, 200)),
        ("/rest/v1.1/punch_items", "project", "punch_item",
         {"name": "Crack", "login_information_ids": [PERSON], "due": "2026-05-06"},
         {"status": "closed"}, (201, 200)),
        (f"{IN_PROJECT}/weather_logs", "path", "weather_log",
         {"date": "2026-05-06", "is_weather_delay": 1}, {"sky": "Fog"}, (200, 200)),
        (f"{IN_PROJECT}/manpower_logs", "path", "manpower_log",
         {"num_workers": "3", "num_hours": 8}, {"notes": "n"}, (201, 200)),
        (f"{IN_PROJECT}/notes_logs", "path", "notes_log",
         {"comment": "c", "is_issue_day": True}, {"comment": "d"}, (201, 200)),
        (f"{IN_PROJECT}/accident_logs", "path", "accident_log",
         {"time_hour": 8, "time_minute": 5}, {"comments": "c"}, (201, 200)),
        ("/rest/v1.0/image_categories", "project", "image_category",
         {"name": "Crane"}, {"private": True}, (201, 200)),
        ("/rest/v1.0/purchase_order_contracts", "project", "purchase_order_contract",
         {"title": "Steel", "grand_total": 1200.5}, {"status": "Approved"}, (201, 200)),
        ("/rest/v1.0/cost_codes", "project", "cost_code",
         {"code": "900", "name": "Misc"}, {"name": "More"}, (201, 405)),
        ("/rest/v1.1/change_events", "project", "change_event",
         {"scope": "tbd", "status": {"id": 1, "name": "Open"}}, {"title": "T"}, (201, 204)),
        (f"{IN_PROJECT}/locations", "path", "location", {"node_name": "Attic"},
         {"code": "A1"}, (201, 200)),
        ("/rest/v1.0/task_items", "project", "task_item", {"title": "Call"},
         {"status": "closed"}, (201, 204)),
        (f"/rest/v1.1/projects/{PROJECT}/meetings", "body", "meeting",
         {"position": 1, "starts_at": "2026-01-01T09:00:00Z", "ends_at": "2026-01-01T10:00:00Z"},
         {"mode": "minutes"}, (201, 200)),
        (f"{IN_PROJECT}/distribution_groups", "path", "distribution_group",
         {"name": "All", "user_ids": [PERSON]}, {"description": "d"}, (201, 204)),
    ],
)  # fmt: skip
def test_record_goes_through_its_life(
    simulator: Simulator,
    api: httpx.Client,
    *,
    path: str,
    where: str,
    envelope: str,
    record: dict[str, Any],
    change: dict[str, Any],
    codes: tuple[int, int],
) -> None:
    created, deleted = codes
    scope = {"company": {"company_id": COMPANY}, "project": QUERY, "body": QUERY}.get(where, {})
    query = scope if where in {"company", "project"} else {}
    made = api.post(path, json={**scope, envelope: record})
    assert made.status_code == created, made.text
    one = f"{path}/{made.json()['id']}"
    shown = api.get(one, params=query)
    assert shown.status_code == 200
    assert shown.json()["id"] == made.json()["id"]
    changed = api.patch(one, json={**scope, envelope: change})
    assert changed.status_code == 200, changed.text
    gone = api.delete(one, params=query)
    assert gone.status_code == deleted
    assert api.get(one, params=query).status_code == (200 if deleted == 405 else 404)
    methods = [entry["method"] for entry in simulator.ledger()]
    assert methods == ["POST", "PATCH"] + (["DELETE"] if deleted != 405 else [])


def test_project_is_created_changed_and_switched_off_but_never_deleted(api: httpx.Client) -> None:
    body = {"company_id": COMPANY, "project": {"name": "Annex", "project_number": "7",
                                               "total_value": 1000}}  # fmt: skip
    made = api.post("/rest/v1.0/projects", json=body).json()
    assert (made["display_name"], made["total_value"]) == ("7 - Annex", "1000.00")
    one = f"/rest/v1.0/projects/{made['id']}"
    assert api.get(one).status_code == 400
    assert api.get(one, params={"company_id": COMPANY}).json()["company"]["id"] == COMPANY
    off = {"company_id": COMPANY, "project": {"active": False}}
    assert api.patch(one, json=off).json()["active"] is False
    assert api.patch(one, json={"project": {"active": True}}).status_code == 400
    assert api.delete(one).status_code == 405
    listed = api.get("/rest/v1.1/projects", params={"company_id": COMPANY}).json()
    assert made["id"] not in {row["id"] for row in listed}
    assert api.get("/rest/v1.0/projects/77", params={"company_id": COMPANY}).status_code == 404


def make_rfi(api: httpx.Client, **more: Any) -> Any:
    body = {"subject": "S", "question": "Q", "rfi_manager_id": PERSON, "assignee_id": PERSON}
    answer = api.post(f"{IN_PROJECT}/rfis", json={"rfi": {**body, **more}})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_only_acceptance_closes_an_rfi(api: httpx.Client) -> None:
    made = make_rfi(api, priority="high", custom_textfield_1="x", custom_textfield_2="y")
    assert made["priority"] == {"name": "High", "value": "high"}
    assert made["custom_textfield_1"]["value"] == "x"
    one = f"{IN_PROJECT}/rfis/{made['id']}"
    reply = api.post(f"{one}/replies", json={"reply": {"body": "Use B.", "official": True}})
    assert reply.status_code == 201
    shown = api.get(one).json()
    assert (shown["status"], shown["time_resolved"]) == ("open", None)
    assert shown["questions"][0]["answers"][0]["plain_text_body"] == "Use B."
    listed = api.get(f"{IN_PROJECT}/rfis?filters[id]={made['id']}").json()[0]
    assert listed["questions"][0]["answers"] == []
    closed = api.patch(one, json={"rfi": {"accepted": True}}).json()
    assert (closed["status"], closed["ball_in_court"]) == ("closed", None)
    assert closed["time_resolved"] is not None
    assert api.patch(one, json={"rfi": {"accepted": False}}).json()["status"] == "open"
    assert api.patch(one, json={"rfi": {"draft": True}}).json()["status"] == "draft"


def test_rfis_are_recycled_not_deleted(api: httpx.Client) -> None:
    made = make_rfi(api)
    one = f"{IN_PROJECT}/rfis/{made['id']}"
    assert api.patch(f"{one}/recycle").json()["deleted_at"] is not None
    assert api.get(one).status_code == 404
    bin_ids = [row["id"] for row in api.get(f"{IN_PROJECT}/rfis/recycle_bin").json()]
    assert bin_ids == [made["id"]]
    assert api.patch(f"{one}/recycle").status_code == 404
    assert api.patch(f"{one}/retrieve").json()["deleted_at"] is None
    assert api.get(one).status_code == 200
    pdf = api.get(f"{one}.pdf")
    assert pdf.headers["content-type"] == "application/pdf"
    assert pdf.content.startswith(b"%PDF")
    assert api.get(f"{IN_PROJECT}/rfis/1.pdf").status_code == 404


def test_rfis_are_changed_in_a_batch_or_not_at_all(api: httpx.Client) -> None:
    ids = [make_rfi(api)["id"] for _ in range(2)]
    path = f"{IN_PROJECT}/rfis"
    body = {"data": [{"id": str(number), "subject": "Both"} for number in ids]}
    assert [row["subject"] for row in api.patch(path, json=body).json()["data"]] == ["Both"] * 2
    wrong = {"data": [{"id": str(ids[0]), "subject": "Half"}, {"id": "1"}]}
    assert api.patch(path, json=wrong).status_code == 404
    assert api.get(f"{path}/{ids[0]}").json()["subject"] == "Both"
    assert api.patch(path, json={"rfi": {}}).status_code == 400


def test_replies_live_below_their_own_rfi(api: httpx.Client) -> None:
    first, second = make_rfi(api)["id"], make_rfi(api)["id"]
    replies = f"{IN_PROJECT}/rfis/{first}/replies"
    made = api.post(replies, json={"reply": {"body": "Yes"}}).json()
    assert made["created_by_id"] == SERVICE_USER
    one = f"{replies}/{made['id']}"
    changed = api.patch(one, json={"reply": {"body": None, "plain_text_body": "No"}})
    assert changed.status_code == 422
    assert api.patch(one, json={"reply": {"official": "true"}}).json()["official"] is True
    assert [row["id"] for row in api.get(replies).json()] == [made["id"]]
    other = f"{IN_PROJECT}/rfis/{second}/replies"
    assert api.get(other).json() == []
    assert api.get(f"{other}/{made['id']}").status_code == 404
    assert api.delete(one).status_code == 200
    assert api.get(f"{IN_PROJECT}/rfis/1/replies").status_code == 404


def test_punch_items_send_and_receive_different_words(api: httpx.Client) -> None:
    body = {"name": "Crack", "due": "2026-05-06", "status": "open",
            "login_information_ids": [PERSON]}  # fmt: skip
    path = "/rest/v1.1/punch_items"
    made = api.post(path, json={**QUERY, "punch_item": body}).json()
    assert (made["status"], made["due_date"]) == ("Open", "2026-05-06")
    assert made["assignments"][0]["login_information_id"] == PERSON
    one = f"{path}/{made['id']}"
    closed = api.patch(one, json={**QUERY, "punch_item": {"status": "closed"}}).json()
    assert closed["closed_at"] is not None
    opened = api.patch(one, json={**QUERY, "punch_item": {"status": "open"}}).json()
    assert opened["closed_at"] is None


def test_observations_are_deleted_elsewhere(api: httpx.Client) -> None:
    types = api.get("/rest/v1.0/observations/types", params={**QUERY, "company_id": COMPANY})
    assert {"id", "category", "name"} <= set(types.json()[0])
    assert api.get("/rest/v1.0/observations/types", params=QUERY).status_code == 400
    path = "/rest/v1.0/observations/items"
    body = {"name": "Loose rail", "type_id": types.json()[2]["id"], "priority": "urgent"}
    made = api.post(path, json={**QUERY, "observation": body})
    assert made.status_code == 201
    assert made.json()["priority"] == "Urgent"
    assert made.json()["type"]["category"] == "safety"
    wrong = {**QUERY, "observation": {"name": "n", "type_id": 1}}
    assert api.post(path, json=wrong).status_code == 422
    number = made.json()["id"]
    changed = api.patch(f"{path}/{number}", json={**QUERY, "observation": {"status": "closed"}})
    assert changed.json()["number"] == made.json()["number"]
    assert api.delete(f"{path}/{number}", params=QUERY).status_code == 405
    assert api.delete(f"{IN_PROJECT}/observations/items/{number}").status_code == 204


def test_submittal_numbers_and_statuses(api: httpx.Client) -> None:
    statuses = api.get(f"/rest/v1.0/companies/{COMPANY}/submittal_statuses").json()
    assert statuses[2] == {"id": 3, "name": "Closed", "status": "closed"}
    path = f"/rest/v1.1/projects/{PROJECT}/submittals"
    body = {"number": 7, "revision": "2", "submittal_manager_id": PERSON}
    made = api.post(path, json={"submittal": body}).json()
    assert made["formatted_number"] == "007-2"
    assert made["ball_in_court"][0]["id"] == PERSON
    wrong = {"submittal": {"status_id": 9}}
    assert api.patch(f"{path}/{made['id']}", json=wrong).status_code == 422
    assert "approvers" not in api.get(path).json()[0]


def test_daily_log_kinds_spell_their_numbers_differently(api: httpx.Client) -> None:
    weather = api.post(
        f"{IN_PROJECT}/weather_logs",
        json={"weather_log": {"date": "2026-05-06", "is_weather_delay": True}},
    ).json()
    assert weather["is_weather_delay"] == "1"
    assert weather["datetime"].startswith("2026-05-06T")
    manpower = api.post(
        f"{IN_PROJECT}/manpower_logs", json={"manpower_log": {"num_workers": 3, "num_hours": "8.5"}}
    ).json()
    assert (manpower["num_workers"], manpower["num_hours"]) == (3, "8.5")
    assert manpower["man_hours"] == "25.5"
    assert manpower["permissions"] == {"can_update": True, "can_delete": True}
    counts = api.get(f"/rest/v1.1/projects/{PROJECT}/daily_logs/counts").json()
    assert {row["module_name"]: row["count"] for row in counts}["manpower_logs"] == 4
    missing = api.post(f"{IN_PROJECT}/visitor_logs", json={"visitor_log": {"subject": "s"}})
    assert "begin_hour" in missing.json()["errors"]


def test_money_is_text_and_a_purchase_orders_vendor_has_a_company(api: httpx.Client) -> None:
    path = "/rest/v1.0/purchase_order_contracts"
    vendor = first_id(api, "/rest/v1.0/vendors", company_id=COMPANY)
    body = {"title": "Steel", "grand_total": 1200.5, "vendor_id": str(vendor)}
    made = api.post(path, json={**QUERY, "purchase_order_contract": body}).json()
    assert made["grand_total"] == "1200.50"
    assert set(made["vendor"]) == {"id", "company"}
    assert made["number"].startswith("PO-")
    one = f"{path}/{made['id']}"
    emptied = {**QUERY, "purchase_order_contract": {"vendor_id": None, "grand_total": ""}}
    assert api.patch(one, json=emptied).json()["vendor"] is None
    wrong = {**QUERY, "purchase_order_contract": {"vendor_id": 1}}
    assert api.patch(one, json=wrong).status_code == 422
    listed = api.get(path, params=QUERY).json()[0]
    assert isinstance(listed["grand_total"], str)
    assert "line_items" not in listed
    assert api.get(one).status_code == 400


def test_cost_codes_nest_and_carry_their_biller(api: httpx.Client) -> None:
    path = "/rest/v1.0/cost_codes"
    parent = api.get(path, params=QUERY).json()[0]
    assert parent["biller"]["id"] == PROJECT
    body = {"code": "050", "name": "Detail", "parent_id": parent["id"]}
    made = api.post(path, json={**QUERY, "cost_code": body}).json()
    assert made["full_code"] == f"{parent['full_code']}-050"
    assert made["parent"] == {"id": parent["id"]}
    for parent_id, status in ((1, 422), (None, 201)):
        body = {"code": "1", "name": "n", "parent_id": parent_id}
        answer = api.post(path, json={**QUERY, "cost_code": body})
        assert answer.status_code == status


def test_change_events_are_deleted_in_the_newer_version_only(api: httpx.Client) -> None:
    number = first_id(api, "/rest/v1.1/change_events", **QUERY)
    shown = api.get(f"/rest/v1.0/change_events/{number}", params=QUERY).json()
    assert (shown["project_id"], shown["company_id"]) == (PROJECT, COMPANY)
    assert api.delete(f"/rest/v1.0/change_events/{number}", params=QUERY).status_code == 405
    assert api.delete(f"/rest/v1.1/change_events/{number}", params=QUERY).status_code == 204
    missing = api.post("/rest/v1.1/change_events", json={**QUERY, "change_event": {"title": "t"}})
    assert missing.status_code == 400


def test_meetings_come_in_groups(api: httpx.Client) -> None:
    path = f"/rest/v1.1/projects/{PROJECT}/meetings"
    groups = api.get(path).json()
    assert {"group_title", "meetings"} == set(groups[0])
    body = {"meeting": {"position": 1, "starts_at": "x", "ends_at": "y"}}
    assert api.post(path, json=body).status_code == 400
    assert api.post(path, json={**QUERY, "meeting": {"position": 1}}).status_code == 400


def test_locations_are_named_by_their_whole_path(api: httpx.Client) -> None:
    path = f"{IN_PROJECT}/locations"
    floor = api.get(path).json()[0]
    made = api.post(path, json={"location": {"node_name": "Closet", "parent_id": floor["id"]}})
    assert made.json()["name"] == f"{floor['name']}>Closet"
    lost = api.post(path, json={"location": {"node_name": "Closet", "parent_id": 1}})
    assert lost.status_code == 422


def test_other_lookups_answer(api: httpx.Client) -> None:
    assert len(api.get(f"/rest/v1.0/companies/{COMPANY}/trades").json()) == 10
    roles = api.get(f"/rest/v1.0/companies/{COMPANY}/roles").json()
    assert "Architect" in {role["name"] for role in roles}
    assert api.get("/rest/v1.0/rfis", params=QUERY).headers["total"] == "520"
    empty = api.post(f"{IN_PROJECT}/drawing_uploads", json={})
    assert empty.status_code == 400
