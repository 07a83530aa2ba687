"""Every shape in which Procore says no arrives as one sentence, with its own body beside it."""

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from system.conftest import Running

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

V2 = {
    "error": {
        "code": "BAD_REQUEST",
        "message": "Invalid request.",
        "details": [
            {"reason_code": "INVALID_PROPERTY", "message": "must be a name", "source": "subject"}
        ],
    }
}
SHAPES: dict[str, tuple[int, Any, str]] = {
    "generic": (
        400,
        {"code": 7, "message": "is invalid", "fields": "subject"},
        "“subject” is invalid.",
    ),
    "generic with a reason": (
        400,
        {"message": "Not saved.", "reason": "locked"},
        "Not saved (locked).",
    ),
    "one text": (422, {"errors": "The RFI tool is locked"}, "The RFI tool is locked."),
    "texts": (403, {"errors": ["You may not do this", "Ask Ada"]}, "You may not do this; Ask Ada."),
    "by field": (422, {"errors": {"assignees": ["required"]}}, "“assignees” is required."),
    "by field, of the whole": (409, {"errors": {"base": ["Name is taken"]}}, "Name is taken."),
    "with an exception": (404, {"message": "No such RFI", "exception": "NotFound"}, "No such RFI."),
    "with an error": (422, {"message": "Wrong currency", "error": "currency"}, "Wrong currency."),
    "error object": (400, {"error": {"code": "E1", "message": "Broken"}}, "Broken."),
    "second generation": (400, V2, "Invalid request (“subject” must be a name)."),
    "plain text": (400, "Missing Procore-Company-Id header!", "Missing Procore-Company-Id header!"),
    "nothing": (
        403,
        None,
        "the account may not do this, or the app is not connected to the company.",
    ),
    "of the login": (
        400,
        {"error": "invalid_grant", "error_description": "The grant is gone."},
        "The grant is gone.",
    ),
}


@pytest.fixture
def admin(running: Running) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=running.ensemble.simulator["admin_url"], trust_env=False, timeout=20
    ) as client:
        yield client
        client.delete("/faults")


def fail_once(admin: httpx.Client, method: str, status: int, body: Any) -> None:
    """Make Procore answer the next request of RFIs so."""
    rule = {
        "origin": "api",
        "method": method,
        "path": ".*/rfis.*",
        "times": 1,
        "action": {"kind": "status", "status": status, "body": body},
    }
    answer = admin.post("/faults", json=rule)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("shape", SHAPES)
def test_refused_record_is_told_in_one_sentence_with_procores_body(
    shape: str, running: Running, api: httpx.Client, admin: httpx.Client
) -> None:
    status, body, reason = SHAPES[shape]
    fail_once(admin, "POST", status, body)
    answer = api.post(
        f"{running.base}/records/rfis",
        params={"project_id": running.project["id"]},
        headers={"Idempotency-Key": f"s-{uuid.uuid4()}"},
        json={"subject": "Door"},
    )
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, "source_rejected")
    assert problem["detail"] == f"Procore refused the new RFI: {reason}"
    assert problem.get("source") == body


@pytest.mark.parametrize("shape", ["by field", "second generation", "plain text"])
def test_refused_query_is_told_to_the_form_in_the_same_sentence(
    shape: str, running: Running, api: httpx.Client, admin: httpx.Client
) -> None:
    status, body, reason = SHAPES[shape]
    fail_once(admin, "POST", status, body)
    answer = api.post(
        f"{running.base}/query",
        headers={"Idempotency-Key": f"s-{uuid.uuid4()}"},
        json={
            "action": "insert",
            "info": {"name": "rfis"},
            "mappings": {"subject": "Door", "project_id": running.project["id"]},
        },
    )
    assert answer.status_code == 200
    assert answer.json()["success"] is False
    assert answer.json()["message"] == f"Procore refused the new RFI: {reason}"


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("GET", "Procore refused the list of RFIs: “status” is unknown."),
        ("PATCH", "Procore refused the change of RFI 7: “status” is unknown."),
    ],
)
def test_what_was_refused_is_named(
    method: str, said: str, running: Running, api: httpx.Client, admin: httpx.Client
) -> None:
    fail_once(admin, method, 406, {"errors": {"status": ["unknown"]}})
    place = f"{running.base}/records/rfis" + ("/7" if method == "PATCH" else "")
    answer = api.request(
        method,
        place,
        params={"project_id": running.project["id"]},
        headers={"Idempotency-Key": f"s-{uuid.uuid4()}"} if method == "PATCH" else {},
        json={"subject": "Door"} if method == "PATCH" else None,
    )
    assert (answer.status_code, answer.json()["detail"]) == (406, said)


def test_failure_in_the_middle_of_a_write_says_what_is_not_known(
    running: Running, api: httpx.Client, admin: httpx.Client
) -> None:
    fail_once(admin, "POST", 500, {"error": {"code": "E", "message": "Broken"}})
    answer = api.post(
        f"{running.base}/records/rfis",
        params={"project_id": running.project["id"]},
        headers={"Idempotency-Key": f"s-{uuid.uuid4()}"},
        json={"subject": "Door"},
    )
    assert answer.json()["code"] == "outcome_unknown"
    assert answer.json()["source"] == {"error": {"code": "E", "message": "Broken"}}
    assert answer.json()["detail"] == (
        "Procore failed at the new RFI with status 500: Broken. "
        "Whether the change was carried out is not known."
    )


def test_malformed_date_is_refused_before_procore_could_store_nothing(
    running: Running, api: httpx.Client
) -> None:
    before = sum(request["method"] == "POST" for request in running.requests())
    answer = api.post(
        f"{running.base}/records/rfis",
        params={"project_id": running.project["id"]},
        headers={"Idempotency-Key": f"s-{uuid.uuid4()}"},
        json={"subject": "Door", "due_date": "31.12.2026"},
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert answer.json()["detail"] == "“due_date” must be a date such as 2026-01-31."
    assert sum(request["method"] == "POST" for request in running.requests()) == before


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"error": "invalid_client", "error_description": "Client authentication failed."}),
        (400, {"error": "invalid_client"}),
    ],
)
def test_login_that_refuses_the_app_is_told_and_gets_over_it(
    status: int, body: Any, running: Running, api: httpx.Client, admin: httpx.Client
) -> None:
    fail_once(admin, "GET", 401, {"error": "invalid_token", "error_description": "It expired."})
    refusing = {"kind": "status", "status": status, "body": body}
    rule = {"origin": "login", "path": "/oauth/token", "times": 1, "action": refusing}
    assert admin.post("/faults", json=rule).status_code == 201
    place = f"{running.base}/records/rfis"
    parameters = {"project_id": running.project["id"], "limit": "1"}
    refused = api.get(place, params=parameters)
    assert refused.json()["code"] == "sign_in_required"
    assert "cloud-connect" in refused.json()["detail"]
    assert api.get(place, params=parameters).status_code == 200
