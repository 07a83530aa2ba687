"""Folders, files and photos."""

from typing import Any

import httpx
import pytest

from doubles.simulator_process import COMPANY, PROJECT, SERVICE_USER
from doubles.storing import fetch, upload

IN_PROJECT = f"/rest/v1.0/projects/{PROJECT}"
QUERY = {"project_id": PROJECT}


@pytest.mark.parametrize("company", [False, True])
def test_folders_and_files_form_one_unpaged_tree(api: httpx.Client, *, company: bool) -> None:
    base = f"/rest/v1.0/companies/{COMPANY}" if company else "/rest/v1.0"
    query: dict[str, Any] = {} if company else QUERY
    root = api.get(f"{base}/folders", params=query).json()
    assert root["name"] == "Root Folder"
    drawings = root["folders"][0]
    assert drawings["files"]
    folder = {"folder": {"name": "Details", "parent_id": drawings["id"]}}
    made = api.post(f"{base}/folders", params=query, json=folder)
    assert made.json()["name_with_path"] == "Drawings/Details"
    assert api.post(f"{base}/folders", params=query, json=folder).status_code == 400
    lost = {"folder": {"name": "Lost", "parent_id": 5}}
    assert api.post(f"{base}/folders", params=query, json=lost).status_code == 422
    data = {"file": {"parent_id": made.json()["id"], "name": "a.PDF", "upload_uuid": upload(api)}}
    file = api.post(f"{base}/files", params=query, json=data)
    assert (file.status_code, file.json()["file_type"]) == (201, "pdf")
    data["file"]["upload_uuid"] = upload(api)
    assert api.post(f"{base}/files", params=query, json=data).status_code == 409
    one = f"{base}/files/{file.json()['id']}"
    until = {"file": {"checked_out_until": "2999-01-01T00:00:00Z"}}
    assert api.patch(one, params=query, json=until).status_code == 200
    refused = api.patch(one, params=query, json={"file": {"name": "b.pdf"}})
    assert refused.status_code == 409
    assert refused.json()["error_type"] == "checked_out"
    below = f"{base}/folders/{drawings['id']}"
    shown = api.get(below, params=query).json()
    assert [item["name"] for item in shown["folders"]] == ["Details"]
    assert api.delete(below, params=query).status_code == 200
    assert api.get(one, params=query).status_code == 404
    root_path = f"{base}/folders/{root['id']}"
    assert api.delete(root_path, params=query).status_code == 400


def test_uploaded_file_brings_its_name_and_size(api: httpx.Client) -> None:
    answer = api.post(
        "/rest/v1.0/files",
        params=QUERY,
        data={"file[description]": "d"},
        files={"file[data]": ("plan.dwg", b"12345", "application/acad")},
    ).json()
    assert (answer["name"], answer["size"], answer["description"]) == ("plan.dwg", 5, "d")
    assert fetch(api, answer["file_versions"][0]["url"]).content == b"12345"


def test_documents_are_the_flat_and_paged_alternative(api: httpx.Client) -> None:
    path = f"{IN_PROJECT}/documents"
    files = api.get(path, params={"filters[document_type]": "file", "per_page": 5, "sort": "name"})
    assert {row["document_type"] for row in files.json()} == {"file"}
    names = [row["name"] for row in files.json()]
    assert names == sorted(names)
    folders = api.get(path, params={"filters[document_type]": "folder"})
    total = api.get(path).headers["total"]
    assert int(files.headers["total"]) + int(folders.headers["total"]) == int(total)


def test_photos_are_made_in_both_documented_forms(api: httpx.Client) -> None:
    path = "/rest/v1.0/images"
    album = api.get("/rest/v1.0/image_categories", params=QUERY).json()[0]["id"]
    reference = {**QUERY, "image_name": "a.jpg", "upload_uuid": upload(api),
                 "image": {"image_category_id": album, "description": "d"}}  # fmt: skip
    made = api.post(path, json=reference)
    assert made.status_code == 201, made.text
    assert made.json()["filename"] == "a.jpg"
    assert made.json()["uploader"]["id"] == SERVICE_USER
    guide = api.post(
        path,
        json={**QUERY, "upload": {"uuid": upload(api, "site.jpg")}, "image": {"private": True}},
    )
    assert guide.json()["filename"] == "site.jpg"
    simple = api.post(
        path, params=QUERY, files={"image[data]": ("b.jpg", b"\xff\xd8", "image/jpeg")}
    )
    assert simple.json()["size"] == 2
    assert api.post(path, json={**QUERY, "image": {"private": True}}).status_code == 400
    assert api.post(path, json={**QUERY, "upload_uuid": "u"}).status_code == 400
    one = f"{path}/{made.json()['id']}"
    assert api.delete(one, params={**QUERY, "permanent": "true"}).status_code == 200
    before = api.get(f"/rest/v1.0/image_categories/{album}", params=QUERY).json()["image_count"]
    assert before >= 1
