"""Uploads and files of forms as attachments of records."""

from typing import Any

import httpx
import pytest

from doubles.simulator_process import COMPANY, PROJECT
from doubles.storing import fetch, upload

QUERY = {"project_id": PROJECT}


def attachments(record: dict[str, Any]) -> list[dict[str, Any]]:
    if "questions" in record:
        record = record["questions"][0]
    found: list[dict[str, Any]] = record["attachments"]
    return found


@pytest.mark.parametrize(
    ("path", "envelope", "facts", "key"),
    [
        (f"/rest/v1.0/projects/{PROJECT}/rfis", "rfi", {}, "upload_ids"),
        ("/rest/v1.1/punch_items", "punch_item", {"name": "p"}, "upload_ids"),
        ("/rest/v1.0/task_items", "task_item", {"title": "t"}, "upload_ids"),
        (f"/rest/v1.1/projects/{PROJECT}/submittals", "submittal", {"number": "9"}, "upload_ids"),
        ("/rest/v1.0/observations/items", "observation", {"name": "o"}, "upload_uuids"),
        (f"/rest/v1.0/projects/{PROJECT}/notes_logs", "notes_log", {"comment": "c"}, "upload_ids"),
    ],
)
def test_records_take_uploads_when_made_and_more_when_changed(
    api: httpx.Client, path: str, envelope: str, facts: dict[str, Any], key: str
) -> None:
    me = api.get("/rest/v1.0/me").json()["id"]
    if envelope == "rfi":
        question = {"body": "?", "upload_ids": [upload(api, "first.pdf")]}
        facts = {"subject": "s", "question": question, "rfi_manager_id": me, "assignee_ids": [me]}
    else:
        facts = {**facts, key: [upload(api, "first.pdf")]}
    if envelope == "observation":
        types = api.get("/rest/v1.0/observations/types", params={**QUERY, "company_id": COMPANY})
        facts["type_id"] = types.json()[0]["id"]
    made = api.post(path, params=QUERY, json={**QUERY, envelope: facts})
    assert made.status_code == 201, made.text
    more = {key: [upload(api, "second.pdf", b"second")]}
    one = f"{path}/{made.json()['id']}"
    changed = api.patch(one, params=QUERY, json={**QUERY, envelope: more})
    assert [item["name"] for item in attachments(changed.json())] == ["first.pdf", "second.pdf"]
    shown = api.get(one, params=QUERY).json()
    assert fetch(api, attachments(shown)[1]["url"]).content == b"second"
    assert "_content" not in str(shown)
    gone = api.patch(one, params=QUERY, json={**QUERY, envelope: more})
    assert gone.status_code == 410


def test_reply_takes_an_upload(api: httpx.Client) -> None:
    rfis = f"/rest/v1.0/projects/{PROJECT}/rfis"
    rfi = api.get(rfis).json()[0]["id"]
    body = {"reply": {"body": "See the sketch.", "upload_ids": [upload(api)]}}
    made = api.post(f"{rfis}/{rfi}/replies", json=body).json()
    assert made["attachments"][0]["filename"] == "a.pdf"


def test_attachments_come_in_multipart_bodies_too(api: httpx.Client) -> None:
    made = api.post(
        "/rest/v1.1/punch_items",
        params=QUERY,
        data={"project_id": str(PROJECT), "punch_item[name]": "p"},
        files=[
            ("attachments[]", ("a.txt", b"one", "text/plain")),
            ("attachments[]", ("b.txt", b"two", "text/plain")),
        ],
    ).json()
    assert [item["name"] for item in made["attachments"]] == ["a.txt", "b.txt"]
    assert [fetch(api, item["url"]).content for item in made["attachments"]] == [b"one", b"two"]


def test_seeded_rfis_have_attachments_to_fetch(api: httpx.Client) -> None:
    rfis = api.get(f"/rest/v1.0/projects/{PROJECT}/rfis").json()
    (sketch,) = attachments(rfis[0])
    answer = fetch(api, sketch["url"])
    assert (len(answer.content), answer.headers["content-type"]) == (
        sketch["size"],
        "application/pdf",
    )
