"""Writes: body encodings, envelopes, refusals, dates, sync, custom fields, idempotency."""

import hashlib
from typing import Any

import httpx
import pytest

from doubles.simulator_process import COMPANY, PERSON, PROJECT, Simulator

RFIS = f"/rest/v1.0/projects/{PROJECT}/rfis"
PUNCH = "/rest/v1.1/punch_items"


def rfi(**more: Any) -> dict[str, Any]:
    facts = {
        "subject": "Door width",
        "question": {"body": "Which one?"},
        "rfi_manager_id": PERSON,
        "assignee_ids": [PERSON],
    }
    return {"rfi": {**facts, **more}}


def vendor(**more: Any) -> dict[str, Any]:
    return {"company_id": COMPANY, "vendor": {"name": "Oak & Iron", **more}}


def test_record_sent_as_json_multipart_or_form_is_the_same(api: httpx.Client) -> None:
    form = {
        "rfi[subject]": "Door width",
        "rfi[question][body]": "Which one?",
        "rfi[rfi_manager_id]": str(PERSON),
        "rfi[assignee_ids][]": str(PERSON),
        "rfi[private]": "true",
    }
    files = {"attachments[]": ("plan.pdf", b"%PDF-1.4", "application/pdf")}
    answers = [
        api.post(RFIS, json=rfi(private=True, rfi_manager_id=str(PERSON))),
        api.post(RFIS, data=form),
        api.post(RFIS, data=form, files=files),
    ]
    for answer in answers:
        assert answer.status_code == 201, answer.text
        body = answer.json()
        assert body["subject"] == "Door width"
        assert body["questions"][0]["plain_text_body"] == "Which one?"
        assert body["assignees"][0]["id"] == PERSON
        assert body["private"] is True


def test_nested_arrays_of_objects_in_bracket_form(simulator: Simulator, api: httpx.Client) -> None:
    form = [
        ("company_id", str(COMPANY)),
        ("updates[][name]", "First"),
        ("updates[][origin_id]", "F-1"),
        ("updates[][name]", "Second"),
        ("updates[extra]", "ignored"),
        ("company_id[x]", "ignored"),
    ]
    body = "&".join(f"{name}={value}" for name, value in form)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = api.patch("/rest/v1.0/vendors/sync", content=body, headers=headers).json()
    assert [row["name"] for row in answer["entities"]] == ["First", "Second"]
    assert simulator.ledger()[0]["marker"] is None


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b"<rfi/>", "application/xml", 415),
        (b"--x\r\nbroken", "multipart/form-data; boundary=y", 400),
    ],
)
def test_malformed_bodies_are_refused_and_execute_nothing(
    simulator: Simulator, api: httpx.Client, content: bytes, kind: str, status: int
) -> None:
    answer = api.post(RFIS, content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert simulator.ledger() == []


@pytest.mark.parametrize("body", [{}, {"rfis": {}}, {"rfi": []}, {"rfi": "text"}, {"rfi": {}}])
def test_missing_envelope_is_400(api: httpx.Client, body: dict[str, Any]) -> None:
    answer = api.post(RFIS, json=body)
    assert answer.status_code == 400
    assert "rfi" in answer.json()["message"]


def test_missing_required_fields_are_422_here_and_400_there(api: httpx.Client) -> None:
    fields = api.post(RFIS, json={"rfi": {"private": True}})
    assert fields.status_code == 422
    assert fields.json()["errors"]["subject"] == ["can't be blank"]
    message = api.post(
        f"/rest/v1.1/projects/{PROJECT}/submittals", json={"submittal": {"title": "No number"}}
    )
    assert message.status_code == 400
    assert message.json()["fields"] == "number"
    emptied = api.patch(f"{RFIS}/{api.get(RFIS).json()[0]['id']}", json={"rfi": {"subject": ""}})
    assert emptied.status_code == 422


def test_rfi_needs_an_assignee_unless_it_is_a_draft(api: httpx.Client) -> None:
    refused = api.post(RFIS, json=rfi(assignee_ids=[]))
    assert refused.status_code == 422
    assert refused.json() == {"errors": {"assignees": ["required"]}}
    draft = api.post(RFIS, json=rfi(assignee_ids=[], draft=True)).json()
    assert (draft["status"], draft["initiated_at"]) == ("draft", None)
    assert api.post(RFIS, json=rfi(assignee_ids=[1])).status_code == 422
    assert api.post(RFIS, json=rfi(question={"text": "?"})).status_code == 422


def test_repeated_post_makes_a_second_record_even_with_a_token(
    simulator: Simulator, api: httpx.Client
) -> None:
    headers = {"Idempotency-Token": "once"}
    first = api.post(RFIS, json=rfi(), headers=headers).json()
    second = api.post(RFIS, json=rfi(), headers=headers).json()
    assert first["id"] != second["id"]
    assert int(second["number"]) == int(first["number"]) + 1
    assert [entry["idempotency_token"] for entry in simulator.ledger()] == ["once", "once"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("distribution_groups", {"distribution_group": {"name": "Site", "user_ids": [PERSON]}}),
        ("drawing_uploads", {"drawing_upload": {"upload_uuid": "u-1"}}),
    ],
)
def test_idempotency_token_is_honoured_where_it_is_documented(
    simulator: Simulator, api: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    url = f"/rest/v1.0/projects/{PROJECT}/{path}"
    headers = {"Idempotency-Token": "once"}
    first = api.post(url, json=body, headers=headers)
    second = api.post(url, json=body, headers=headers)
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert len(simulator.ledger()) == 1
    assert simulator.counters()["replays"] == 1
    assert api.post(url, json=body).json()["id"] != first.json()["id"]


def test_malformed_dates_become_null_without_an_error(api: httpx.Client) -> None:
    for sent, kept in (
        ("2026-02-30", None),
        ("soon", None),
        (5, None),
        ("2026-02-03", "2026-02-03"),
    ):
        answer = api.post(RFIS, json=rfi(due_date=sent))
        assert (answer.status_code, answer.json()["due_date"]) == (201, kept)
    path = "/rest/v1.0/task_items"
    for sent, kept in (("2026-02-03", None), ("2026-13-03T00:00:00Z", None),
                       ("2026-02-03T08:00:00Z", "2026-02-03T08:00:00Z")):  # fmt: skip
        task = {"project_id": PROJECT, "task_item": {"title": "T", "due_date": sent}}
        answer = api.post(f"{path}?project_id={PROJECT}", json=task)
        assert answer.json()["due_date"] == kept


def test_wrong_values_are_422_with_the_field(api: httpx.Client) -> None:
    number = api.get(f"{RFIS}?per_page=1").json()[0]["id"]
    for field, value, key in (
        ("rfi_manager_id", "nobody", "rfi_manager"),
        ("subject", {"a": 1}, "subject"),
        ("location_id", 12, "location"),
        ("custom_field_49417", "x", "custom_field_49417"),
        ("custom_field_49419", 77, "custom_field_49419"),
    ):
        answer = api.patch(f"{RFIS}/{number}", json={"rfi": {field: value}})
        assert answer.status_code == 422, field
        assert key in answer.json()["errors"]
    order = {"project_id": PROJECT, "purchase_order_contract": {"grand_total": "ten"}}
    assert api.post("/rest/v1.0/purchase_order_contracts", json=order).status_code == 422
    place = {"location": {"node_name": "A", "parent_id": "x"}}
    assert api.post(f"/rest/v1.0/projects/{PROJECT}/locations", json=place).status_code == 422
    item = {"project_id": PROJECT, "punch_item": {"name": "n", "priority": "huge"}}
    assert api.post(PUNCH, json=item).status_code == 422
    log = {"manpower_log": {"num_hours": "many"}}
    assert api.post(f"/rest/v1.0/projects/{PROJECT}/manpower_logs", json=log).status_code == 422


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (
            f"/rest/v1.1/projects/{PROJECT}/meeting_topics",
            {"meeting_id": "first", "meeting_topic": {"title": "t"}},
            404,
        ),
        (
            f"/rest/v1.0/projects/{PROJECT}/specification_uploads",
            {"specification_set_id": [1], "spec_format": "CSI"},
            404,
        ),
        ("/rest/v1.0/budget_line_items/sync", {"budget_line_items": [1]}, 400),
        (
            "/rest/v1.1/change_events",
            {
                "change_event": {"scope": "tbd", "status": {"id": 1}},
                "attachments_by_uuid": ["01UUID"],
            },
            400,
        ),
    ],
)
def test_parts_of_another_kind_are_refused_not_stumbled_over(
    api: httpx.Client, path: str, body: dict[str, Any], status: int
) -> None:
    answer = api.post(path, params={"project_id": PROJECT}, json=body)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("items", "status"),
    [([1], 400), ([{"manual_amount": "much"}], 422), ([{"manual_amount": "Infinity"}], 422)],
)
def test_lines_of_a_direct_cost_are_objects_with_amounts(
    api: httpx.Client, items: list[Any], status: int
) -> None:
    (vendor, *_) = api.get("/rest/v1.0/vendors", params={"company_id": COMPANY}).json()
    cost = {"invoice_number": "INV-7", "vendor_id": vendor["id"], "direct_cost_type": "invoice"}
    path = f"/rest/v1.1/projects/{PROJECT}/direct_costs"
    assert api.post(path, json={"direct_cost": cost}).status_code == 201
    answer = api.post(path, json={"direct_cost": {**cost, "line_items": items}})
    assert answer.status_code == status, answer.text
    unknown = {"direct_cost": {**cost, "vendor_id": 1}}
    assert api.post(path, json=unknown).status_code == 422


def test_sync_below_a_contract_takes_objects_only(api: httpx.Client) -> None:
    query = {"project_id": PROJECT}
    (contract, *_) = api.get("/rest/v1.0/purchase_order_contracts", params=query).json()
    answer = api.patch(
        "/rest/v1.0/potential_change_orders/sync",
        params={**query, "contract_id": contract["id"]},
        json={"updates": [5]},
    )
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize(
    ("path", "envelope", "field", "sent"),
    [
        ("/rest/v1.0/work_order_contracts", "work_order_contract", "number", {"title": "t"}),
        ("/rest/v1.0/coordination_issues", "coordination_issue", "issue_number", {"title": "t"}),
        (f"/rest/v1.0/projects/{PROJECT}/incidents", "incident", "number", {"title": "t"}),
    ],
)
def test_number_is_not_given_twice_after_a_row_was_deleted(
    api: httpx.Client, path: str, envelope: str, field: str, sent: dict[str, Any]
) -> None:
    query = {"project_id": PROJECT}
    listed = api.get(path, params=query).json()
    assert api.delete(f"{path}/{listed[0]['id']}", params=query).is_success
    made = api.post(path, params=query, json={envelope: sent}).json()
    assert made[field] not in {row[field] for row in listed}


def test_number_of_ones_own_leaves_the_counting_as_it_is(api: httpx.Client) -> None:
    before = api.post(RFIS, json=rfi()).json()["number"]
    assert api.post(RFIS, json=rfi(number="A-1")).json()["number"] == "A-1"
    assert api.post(RFIS, json=rfi()).json()["number"] == str(int(before) + 1)


def test_time_zone_of_a_project_must_be_known(api: httpx.Client) -> None:
    body = {"company_id": COMPANY, "project": {"name": "Pier", "time_zone": "Mars/Olympus"}}
    assert api.post("/rest/v1.0/projects", json=body).status_code == 422
    body["project"] = {"name": "Pier", "time_zone": "US/Pacific"}
    assert api.post("/rest/v1.0/projects", json=body).status_code == 201


def test_references_can_be_emptied_and_unknown_keys_are_ignored(api: httpx.Client) -> None:
    number = api.post(RFIS, json=rfi(unheard_of=1)).json()["id"]
    location = api.get(f"/rest/v1.0/projects/{PROJECT}/locations").json()[1]
    changed = api.patch(
        f"{RFIS}/{number}",
        json={"rfi": {"location_id": str(location["id"]), "cost_impact": "yes_known"}},
    ).json()
    assert changed["location"]["name"] == location["name"]
    assert changed["cost_impact"] == {"status": "yes_known", "value": None}
    emptied = api.patch(
        f"{RFIS}/{number}",
        json={"rfi": {"location_id": None, "received_from_id": "", "distribution_ids": "",
                      "cost_impact": {"status": "tbd", "value": 5}}},
    ).json()  # fmt: skip
    assert emptied["location"] is None
    assert emptied["received_from"] is None
    assert emptied["distribution_list"] == []
    assert emptied["cost_impact"] == {"status": "tbd", "value": 5}


def test_custom_fields_are_sent_flat_and_answered_nested(api: httpx.Client) -> None:
    made = api.post(
        RFIS,
        json=rfi(
            custom_field_49417="4.5",
            custom_field_49418="note",
            custom_field_49419=1,
            custom_field_49420=[1, 3],
            custom_field_49421="true",
            custom_field_99999="ignored",
        ),
    ).json()
    fields = made["custom_fields"]
    assert fields["custom_field_49417"] == {"data_type": "decimal", "value": 4.5}
    assert fields["custom_field_49419"]["value"] == {"id": 1, "label": "Open"}
    assert [entry["id"] for entry in fields["custom_field_49420"]["value"]] == [1, 3]
    assert fields["custom_field_49421"]["value"] is True
    assert "custom_field_99999" not in fields
    cleared = api.patch(
        f"{RFIS}/{made['id']}", json={"rfi": {"custom_field_49419": None, "custom_field_49420": 2}}
    ).json()["custom_fields"]
    assert cleared["custom_field_49419"]["value"] is None
    assert cleared["custom_field_49418"]["value"] == "note"
    assert cleared["custom_field_49420"]["value"][0]["id"] == 2


def test_duplicate_origin_id_is_refused_across_the_company(api: httpx.Client) -> None:
    assert api.post("/rest/v1.0/vendors", json=vendor(origin_id="V-1")).status_code == 201
    again = api.post("/rest/v1.0/vendors", json=vendor(origin_id="V-1"))
    assert again.status_code == 422
    assert "origin_id" in again.json()["errors"]
    order = {"title": "Steel", "origin_id": "PO-1"}
    for project, status in ((PROJECT, 201), (5002, 422)):
        body = {"project_id": project, "purchase_order_contract": order}
        answer = api.post("/rest/v1.0/purchase_order_contracts", json=body)
        assert answer.status_code == status


def test_sync_updates_creates_and_reports_each_failure_inside_200(
    simulator: Simulator, api: httpx.Client
) -> None:
    known = api.get("/rest/v1.0/vendors", params={"company_id": COMPANY}).json()[0]
    body = {
        "company_id": COMPANY,
        "updates": [
            {"id": known["id"], "name": "Renamed", "origin_id": "A-1"},
            {"origin_id": "A-1", "website": "https://a.example"},
            {"origin_id": "B-1", "name": "Made"},
            {"name": "Also made"},
            {"id": 424242, "name": "Nobody"},
            {"website": "https://no-name.example"},
            "nonsense",
        ],
    }
    answer = api.patch("/rest/v1.0/vendors/sync", json=body)
    assert answer.status_code == 200
    entities, errors = answer.json()["entities"], answer.json()["errors"]
    assert [row["id"] for row in entities[:2]] == [known["id"], known["id"]]
    assert [row["name"] for row in entities] == ["Renamed", "Renamed", "Made", "Also made"]
    assert errors[0]["errors"] == {"id": ["Entity with this ID not found"]}
    assert errors[0]["name"] == "Nobody"
    assert errors[1]["errors"] == {"name": ["can't be blank"]}
    (entry,) = simulator.ledger()
    assert entry["resource"] == "vendors"
    assert api.patch("/rest/v1.0/vendors/sync", json={"company_id": COMPANY}).status_code == 400
    many = {"company_id": COMPANY, "updates": [{"name": "n"}] * 1001}
    assert api.patch("/rest/v1.0/vendors/sync", json=many).status_code == 413


def test_sync_of_projects_makes_projects_that_can_be_entered(api: httpx.Client) -> None:
    body = {"company_id": COMPANY, "updates": [{"name": "Quay", "time_zone": "nowhere"},
                                               {"name": "Quay", "origin_id": "P-9"}]}  # fmt: skip
    answer = api.patch("/rest/v1.0/projects/sync", json=body).json()
    (made,) = answer["entities"]
    assert answer["errors"][0]["errors"] == {"time_zone": ["is not included in the list"]}
    assert api.get(f"/rest/v1.0/projects/{made['id']}/rfis").json() == []


def test_body_over_the_limit_is_413(api: httpx.Client) -> None:
    huge = b"x" * (64 * 1024 * 1024 + 1)
    assert api.post(RFIS, content=huge).status_code == 413


def test_ledger_keeps_the_body_hash_headers_and_query(
    simulator: Simulator, api: httpx.Client
) -> None:
    content = b'{"rfi":{"subject":"marked-17","question":{"body":"q"},"draft":true,' + (
        f'"rfi_manager_id":{PERSON}}}}}'.encode()
    )
    api.post(f"{RFIS}?a=b%20c&a=d", content=content, headers={"X-Trace": "t-1"})
    (entry,) = simulator.ledger(marker="marked-17")
    assert entry["body_sha256"] == hashlib.sha256(content).hexdigest()
    assert entry["query"] == "a=b%20c&a=d"
    assert ["x-trace", "t-1"] in entry["headers"]
    assert (entry["method"], entry["status"], entry["resource"]) == ("POST", 201, "rfis")
    assert (entry["company_id"], entry["project_id"]) == (COMPANY, PROJECT)
