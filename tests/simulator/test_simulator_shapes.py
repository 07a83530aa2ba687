"""Commitments, costs, change orders, schedules, bids and drawings: what is odd about each."""

from typing import Any

import httpx
import pytest

from doubles.simulator_process import COMPANY, PROJECT
from doubles.storing import fetch

QUERY = {"project_id": PROJECT}
IN_PROJECT = f"/rest/v1.0/projects/{PROJECT}"
SECOND = f"/rest/v2.0/companies/{COMPANY}/projects/{PROJECT}"


def first(api: httpx.Client, path: str, **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = api.get(path, params=query).json()[0]
    return found


def test_commitments_of_both_kinds_are_read_together(api: httpx.Client) -> None:
    rows = api.get("/rest/v1.0/commitments", params=QUERY).json()
    assert {row["type"] for row in rows} == {"PurchaseOrderContract", "WorkOrderContract"}
    assert all("name" in row["vendor"] for row in rows)
    one = f"/rest/v1.0/commitments/{rows[-1]['id']}"
    assert api.get(one, params=QUERY).json()["id"] == rows[-1]["id"]
    assert api.get("/rest/v1.0/commitments/1", params=QUERY).status_code == 404
    assert api.post("/rest/v1.0/commitments", json=QUERY).status_code == 405


def test_commitment_contract_is_of_the_kind_that_its_type_says(api: httpx.Client) -> None:
    path = f"{SECOND}/commitment_contracts"
    assert api.post(path, json={"title": "Quay"}).status_code == 422
    sent = {"type": "WorkOrderContract", "title": "Quay"}
    made = api.post(path, json=sent).json()["data"]
    old = api.get(f"/rest/v1.0/work_order_contracts/{made['id']}", params=QUERY).json()
    assert old["title"] == "Quay"
    changed = api.patch(f"{path}/{made['id']}", json={"title": "Pier"}).json()["data"]
    assert (changed["title"], changed["type"]) == ("Pier", "WorkOrderContract")
    only = api.get(path, params={"filters[type]": "WorkOrderContract", "per_page": 100}).json()
    assert {row["type"] for row in only["data"]} == {"WorkOrderContract"}
    assert api.delete(f"{path}/{made['id']}").status_code == 204
    assert api.get(f"{path}/{made['id']}").status_code == 404


def test_subcontract_names_its_vendors_company(api: httpx.Client) -> None:
    vendor = first(api, "/rest/v1.0/vendors", company_id=COMPANY)
    path = "/rest/v1.0/work_order_contracts"
    body = {**QUERY, "work_order_contract": {"title": "Quay", "vendor_id": vendor["id"]}}
    made = api.post(path, json=body).json()
    assert made["vendor"] == {"id": vendor["id"], "company": vendor["name"]}
    assert made["number"].startswith("SC-")
    update = {**QUERY, "work_order_contract": {"vendor_id": None}}
    assert api.patch(f"{path}/{made['id']}", json=update).json()["vendor"] is None
    wrong = {**QUERY, "work_order_contract": {"vendor_id": 1}}
    assert api.patch(f"{path}/{made['id']}", json=wrong).status_code == 422


def test_cost_type_is_sent_an_import_code_and_shows_a_code(api: httpx.Client) -> None:
    new = {"name": "Fuel", "csv_import_code": "F", "code": "ignored", "base_type": "other"}
    body = {"company_id": COMPANY, "line_item_type": new}
    made = api.post("/rest/v1.0/line_item_types", json=body).json()
    assert made["code"] == "F"
    one = f"/rest/v1.0/line_item_types/{made['id']}"
    assert api.delete(one, params={"company_id": COMPANY}).status_code == 405


def test_direct_cost_is_told_apart_in_list_and_show_and_locks(api: httpx.Client) -> None:
    path = f"/rest/v1.1/projects/{PROJECT}/direct_costs"
    vendor = first(api, "/rest/v1.0/vendors", company_id=COMPANY)
    items = [{"wbs_code_id": 1, "manual_amount": "12.5"}, {"manual_amount": 7}]
    new = {
        "invoice_number": "INV-1", "vendor_id": vendor["id"], "direct_cost_type": "invoice",
        "line_items": items,
    }  # fmt: skip
    made = api.post(path, json={"direct_cost": new}).json()
    assert made["vendor"]["name"] == vendor["name"]
    assert (made["grand_total"], made["line_items_count"]) == ("19.50", 2)
    listed = api.get(path, params={"filters[invoice_number]": "INV-1"}).json()
    assert [row["vendor"] for row in listed] == [vendor["name"]]
    lock = {"direct_cost": {"status": "approved"}}
    api.patch(f"{path}/{made['id']}", json=lock)
    assert api.delete(f"{path}/{made['id']}").status_code == 409
    api.patch(f"{path}/{made['id']}", json={"direct_cost": {"status": "draft"}})
    assert api.delete(f"{path}/{made['id']}").json() == {"id": made["id"]}


def test_line_items_of_direct_costs_are_synced_for_the_whole_project(api: httpx.Client) -> None:
    cost = first(api, f"/rest/v1.1/projects/{PROJECT}/direct_costs")
    updates = [{"direct_cost_id": cost["id"], "description": "Piles"}, {"description": "Lost"}]
    answer = api.patch(
        f"{IN_PROJECT}/direct_costs/line_items/sync", json={"updates": updates}
    ).json()
    (made,) = answer["entities"]
    assert made["holder"]["id"] == cost["id"]
    assert answer["errors"][0]["errors"] == {"direct_cost_id": ["is invalid"]}
    below = api.get(f"{IN_PROJECT}/direct_costs/{cost['id']}/line_items").json()
    assert made["id"] in {row["id"] for row in below}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("prime_change_orders", "prime_contracts"),
        ("commitment_change_orders", "work_order_contracts"),
    ],
)
def test_change_orders_are_of_their_own_kind_of_contract(
    api: httpx.Client, name: str, kind: str
) -> None:
    path = f"{IN_PROJECT}/{name}"
    contract = first(api, f"/rest/v1.0/{kind}", **QUERY)
    made = api.post(path, json={"change_order": {"contract_id": contract["id"]}})
    assert made.status_code == 201
    assert api.delete(f"{path}/{made.json()['id']}").status_code == 204
    other = "prime_contracts" if kind != "prime_contracts" else "work_order_contracts"
    wrong = {"contract_id": first(api, f"/rest/v1.0/{other}", **QUERY)["id"]}
    assert api.post(path, json={"change_order": wrong}).status_code == 422
    assert "Link" not in api.get(path).headers


def test_package_brings_a_potential_change_order_with_it(api: httpx.Client) -> None:
    contract = first(api, "/rest/v1.0/prime_contracts", **QUERY)
    path = "/rest/v1.0/change_order_packages"
    inside = {"title": "Extra piles"}
    beside = {**QUERY, "contract_id": contract["id"]}
    assert api.post(path, json={**QUERY, "change_order": inside}).status_code == 400
    assert api.post(path, json=beside).status_code == 400
    made = api.post(path, json={**beside, "change_order": inside}).json()
    query = {**QUERY, "per_page": 1_000}
    potential = api.get("/rest/v1.0/potential_change_orders", params=query).json()
    assert potential[-1]["title"] == "Extra piles"
    assert api.delete(f"{path}/{made['id']}", params=QUERY).status_code == 405


def test_potential_change_orders_are_synced_in_the_contract_that_the_query_names(
    api: httpx.Client,
) -> None:
    contract = first(api, "/rest/v1.0/work_order_contracts", **QUERY)
    path = "/rest/v1.0/potential_change_orders/sync"
    body = {"updates": [{"title": "A"}, {"title": "B", "due_date": "2026-12-01"}]}
    assert api.patch(path, params=QUERY, json=body).status_code == 400
    query = {**QUERY, "contract_id": contract["id"]}
    answer = api.patch(path, params=query, json=body).json()
    assert [row["contract_id"] for row in answer["entities"]] == [contract["id"]] * 2
    assert api.patch(path, params=query, json={"records": []}).status_code == 400


def test_schedules_have_text_ids_under_a_name_of_their_own(api: httpx.Client) -> None:
    schedule = api.get(f"{SECOND}/schedules").json()["data"][0]
    assert "id" not in schedule
    path = f"{SECOND}/schedules/{schedule['schedule_id']}"
    assert api.get(path).json()["data"]["schedule_name"] == schedule["schedule_name"]
    activities = api.get(f"{path}/activities")
    assert activities.headers["Per-Page"] == "10"
    activity = activities.json()["data"][0]
    shown = api.get(f"{path}/activities/{activity['activity_id']}").json()["data"]
    assert shown == activity
    assert api.get(f"{SECOND}/schedules/7").status_code == 404
    later = {"filters[updated_at][gt]": "2999-01-01T00:00:00Z"}
    assert api.get(f"{path}/activities", params=later).json() == {"data": []}
    (other,) = [row for row in api.get(f"{SECOND}/schedules").json()["data"] if row != schedule]
    foreign = f"{SECOND}/schedules/{other['schedule_id']}/activities/{activity['activity_id']}"
    assert api.get(foreign).status_code == 404
    lost = f"{SECOND}/schedules/{activity['activity_id']}"
    assert api.get(lost).status_code == 404


def test_schedule_settings_take_a_type_they_know(api: httpx.Client) -> None:
    path = f"{IN_PROJECT}/schedule"
    assert api.get(path).json()["type"]["key"] == "Microsoft Project"
    changed = api.patch(path, json={**QUERY, "type": {"key": "Primavera P6"}}).json()
    assert changed["type"]["key"] == "Primavera P6"
    assert api.patch(path, json={**QUERY, "type": {"key": "Paper"}}).status_code == 422


def test_task_is_deaf_to_the_names_it_answers_with(api: httpx.Client) -> None:
    sent = {"name": "Pour", "start_datetime": "2026-11-02T08:00:00Z", "finish": "2026-11-03T08:00Z"}
    made = api.post("/rest/v1.0/tasks", json={**QUERY, "task": sent}).json()
    assert made["start_datetime"] is None
    assert made["finish_datetime"] == "2026-11-03T08:00Z"
    assert made["task_name"] == "Pour"


def test_timecards_are_todays_unless_dates_are_given(api: httpx.Client) -> None:
    path = f"{IN_PROJECT}/timecard_entries"
    today = api.get(path).json()
    month = {"start_date": "2000-01-01", "end_date": "2999-01-01"}
    whole = api.get(path, params=month).json()
    assert len(whole) > len(today)
    made = api.post(path, json={"timecard_entry": {"hours": "8", "origin_id": "77"}}).json()
    assert (made["hours"], made["origin_id"]) == ("8", 77)
    assert made["date"] in made["created_at"]


def test_bid_packages_of_the_company_are_in_camel_case(api: httpx.Client) -> None:
    listed = api.get(f"/rest/v1.0/companies/{COMPANY}/bid_packages")
    assert listed.headers["Per-Page"] == "20"
    assert set(listed.json()) == {"bidPackages"}
    path = f"/rest/v1.1/projects/{PROJECT}/bid_packages"
    opened, whole = (api.get(path, params=view).json() for view in ({}, {"view": "all"}))
    assert {row["open"] for row in opened} == {True}
    assert len(whole) > len(opened)


def test_bid_is_created_with_200_and_found_in_its_package_only(api: httpx.Client) -> None:
    one, other = api.get(f"/rest/v1.1/projects/{PROJECT}/bid_packages").json()[:2]
    vendor = first(api, "/rest/v1.0/vendors", company_id=COMPANY)
    path = f"{IN_PROJECT}/bid_packages/{{}}/bids"
    made = api.post(path.format(one["id"]), json={"bid": {"vendor_id": vendor["id"]}})
    assert made.status_code == 200
    number = made.json()["id"]
    assert number in {row["id"] for row in api.get(path.format(one["id"])).json()}
    assert api.get(f"{path.format(one['id'])}/{number}").status_code == 200
    assert api.get(f"{path.format(other['id'])}/{number}").status_code == 404
    assert api.get(path.format(1)).status_code == 404


def test_drawings_lie_in_areas_and_only_their_revisions_are_shown(api: httpx.Client) -> None:
    one, other = api.get(f"/rest/v1.1/projects/{PROJECT}/drawing_areas").json()
    path = "/rest/v1.1/drawing_areas/{}/drawings"
    sent = {"number": "A-900", "drawing_discipline": {"name": "Architectural"}}
    made = api.post(path.format(one["id"]), params=QUERY, json={"drawing": sent}).json()
    assert made["discipline"] == "Architectural"
    listed = api.get(path.format(one["id"]), params=QUERY).json()
    assert made["id"] in {row["id"] for row in listed}
    change = {"drawing": {"obsolete": True}}
    foreign = f"{path.format(other['id'])}/{made['id']}"
    assert api.patch(foreign, params=QUERY, json=change).status_code == 404
    assert api.get(f"{path.format(one['id'])}/{made['id']}", params=QUERY).status_code == 405
    assert api.get(path.format(1), params=QUERY).status_code == 404
    revisions = f"{IN_PROJECT}/drawing_revisions"
    current = api.get(revisions).json()
    whole = api.get(revisions, params={"with_obsolete": "true"}).json()
    assert len(whole) > len(current)
    sizes = {
        len(fetch(api, current[0][f"{kind}_url"]).content) - current[0][f"{kind}_size"]
        for kind in ("pdf", "png")
    }
    assert sizes == {0}
    assert api.get(current[0]["pdf_url"]).has_redirect_location
    wanted = {"id[]": [row["id"] for row in current[:2]]}
    assert len(api.get(revisions, params=wanted).json()) == 2
    assert api.get(revisions, params={"drawing_id": current[0]["drawing_id"]}).json()


def test_webhook_hides_its_secret_and_tells_deliveries_behind_an_id(api: httpx.Client) -> None:
    company = {"company_id": COMPANY}
    (hook,) = api.get("/rest/v1.0/webhooks/hooks", params=company).json()
    assert hook["destination_headers"]["Authorization"].startswith("****")
    path = f"/rest/v1.0/webhooks/hooks/{hook['id']}"
    some = api.get(f"{path}/deliveries", params={**company, "page_size": 3}).json()
    assert [set(row) & {"id", "event_id"} for row in some] == [{"event_id"}] * 3
    behind = {**company, "page_size": 3, "page_start": some[-1]["event_id"]}
    more = api.get(f"{path}/deliveries", params=behind).json()
    assert more[0]["event_id"] > some[-1]["event_id"]
    trigger = {"resource_name": "RFIs", "event_type": "create"}
    assert api.post(f"{path}/triggers", json={**company, "trigger": trigger}).status_code == 400
    whole = {**company, "api_version": "v2", "trigger": trigger}
    made = api.post(f"{path}/triggers", json=whole).json()
    assert (made["event_type"], made["webhook_hook_id"]) == ("CREATE", hook["id"])
    assert api.delete(f"{path}/triggers/{made['id']}", params=company).status_code == 200
    other = {"hook": {"namespace": "quay", "destination_url": "https://quay.example/in"}}
    new = api.post("/rest/v1.0/webhooks/hooks", json={**company, **other}).json()
    foreign = f"/rest/v1.0/webhooks/hooks/{new['id']}/triggers"
    (kept, *_) = api.get(f"{path}/triggers", params=company).json()
    assert api.get(foreign, params=company).json() == []
    assert api.delete(f"{foreign}/{kept['id']}", params=company).status_code == 404
    lost = "/rest/v1.0/webhooks/hooks/1/deliveries"
    assert api.get(lost, params=company).status_code == 404


def test_company_sees_the_timecards_of_all_its_projects(api: httpx.Client) -> None:
    path = f"/rest/v1.0/companies/{COMPANY}/timecard_entries"
    rows = api.get(path, params={"per_page": 1_000}).json()
    assert len({row["project"]["id"] for row in rows}) > 1
    entry = {"date": "2026-11-02", "hours": "8"}
    assert api.post(path, json={"timecard_entry": entry}).status_code == 400
    lost = {"project_id": 1, "timecard_entry": entry}
    assert api.post(path, json=lost).status_code == 404
    undated = {**QUERY, "timecard_entry": {"hours": "8"}}
    assert api.post(path, json=undated).status_code == 422
    made = api.post(path, json={**QUERY, "timecard_entry": entry}).json()
    assert made["project"]["id"] == PROJECT
    one = f"{path}/{made['id']}"
    changed = api.patch(one, json={"timecard_entry": {"description": "Pour"}}).json()
    assert api.get(one).json()["description"] == changed["description"] == "Pour"
    days = {"start_date": "2026-11-02", "end_date": "2026-11-02"}
    assert made["id"] in {row["id"] for row in api.get(path, params=days).json()}
    assert api.delete(one).status_code == 200
    assert api.get(one).status_code == 404


def test_specifications_are_uploaded_to_a_set_that_is_there(api: httpx.Client) -> None:
    path = f"{IN_PROJECT}/specification_uploads"
    sent = {"specification_set_id": 1, "spec_format": "CSI"}
    assert api.post(path, json=sent).status_code == 404
    assert api.post(path, json={"spec_format": "CSI"}).status_code == 400
    kept = first(api, f"{IN_PROJECT}/specification_sets")
    (made,) = api.post(path, json={**sent, "specification_set_id": kept["id"]}).json()
    assert made["status"] == "processing"
    revisions = "/rest/v1.0/specification_section_revisions"
    assert api.get(revisions, params=QUERY).status_code == 400


def test_register_of_equipment_is_flat_and_answers_200(api: httpx.Client) -> None:
    path = f"/rest/v2.1/companies/{COMPANY}/equipment_register"
    assert len(api.get(path).json()["data"]) == 10
    sent = {
        "name": "Crane", "identification_number": "RG-900", "status_id": "1",
        "category_id": "7", "type_id": "8", "ownership": "OWNED",
    }  # fmt: skip
    made = api.post(path, json=sent)
    assert made.status_code == 200
    assert made.json()["data"]["status_id"] == "1"
    assert api.delete(f"{path}/{made.json()['data']['id']}").status_code == 405
