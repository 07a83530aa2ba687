"""The three ways to upload, what each refuses, and how long an upload lives."""

import hashlib
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from doubles.simulator_process import COMPANY, PROJECT, Simulator, simulator_process
from doubles.storing import create_upload, fetch, post_form, put_segment, upload

V2 = f"/rest/v2.1/companies/{COMPANY}/projects/{PROJECT}/uploads"
V1 = f"/rest/v1.1/projects/{PROJECT}/uploads"
QUERY = {"project_id": PROJECT}
MIB = 1024 * 1024


def declared(data: bytes, *, md5: bool = True) -> dict[str, Any]:
    facts = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return {**facts, "md5": hashlib.md5(data).hexdigest()} if md5 else facts  # noqa: S324 - as declared


def created_v2(api: httpx.Client, *parts: bytes, name: str = "a.bin") -> dict[str, Any]:
    body = {
        "file_name": name,
        "file_size": sum(map(len, parts)),
        "content_type": "application/octet-stream",
        "segments": [declared(part) for part in parts],
    }
    answer = api.post(V2, json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


def attach(api: httpx.Client, uuid: str, name: str = "a.bin") -> httpx.Response:
    body = {"file": {"name": name, "upload_uuid": uuid}}
    return api.post("/rest/v1.0/files", params=QUERY, json=body)


@pytest.mark.parametrize("company", [False, True])
def test_simple_upload_is_a_form_with_the_fields_given_and_the_file_last(
    api: httpx.Client, *, company: bool
) -> None:
    created = create_upload(api, company=company, response_filename="a.txt")
    assert set(created) == {"uuid", "url", "fields"}
    sent = post_form(created, b"hello")
    assert (sent.status_code, sent.content) == (204, b"")
    assert sent.headers["etag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'  # noqa: S324 - as S3
    file = attach(api, created["uuid"], "b.txt").json()
    assert fetch(api, file["file_versions"][0]["url"]).content == b"hello"


def test_version_1_0_makes_simple_uploads_too(api: httpx.Client) -> None:
    for owner in (f"companies/{COMPANY}", f"projects/{PROJECT}"):
        answer = api.post(f"/rest/v1.0/{owner}/uploads", json={"response_filename": "a"})
        assert answer.status_code == 201
        assert post_form(answer.json(), b"x").status_code == 204


def test_form_is_refused_when_a_field_is_missing_or_comes_after_the_file(
    simulator: Simulator, api: httpx.Client
) -> None:
    created = create_upload(api)
    assert post_form(created, b"x", policy="other").status_code == 403
    assert post_form(created, b"x", key="other").status_code == 403
    fields: dict[str, tuple[str | None, str]] = {
        name: (None, value) for name, value in created["fields"].items()
    }
    late: dict[str, tuple[str | None, str]] = {"file": ("a", "x"), **fields}
    assert httpx.post(created["url"], files=late, trust_env=False).status_code == 403
    assert httpx.post(created["url"], files=fields, trust_env=False).status_code == 400
    as_json = httpx.post(created["url"], json=created["fields"], trust_env=False)
    assert as_json.status_code == 412
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    torn = httpx.post(created["url"], content=b"--y", headers=broken, trust_env=False)
    assert torn.status_code == 400
    large = {"key": (None, "x" * 70_000), "file": ("a", "x")}
    assert httpx.post(created["url"], files=large, trust_env=False).status_code == 400
    assert simulator.requests(origin="storage", executed="true") == []
    assert attach(api, created["uuid"]).status_code == 422


def test_upload_must_be_sent_within_an_hour(simulator: Simulator, api: httpx.Client) -> None:
    simple = create_upload(api)
    segmented = create_upload(api, segments=[declared(b"x")])
    simulator.state(advance_seconds=3601)
    assert post_form(simple, b"x").status_code == 403
    assert put_segment(segmented["segments"][0], b"x").status_code == 403
    assert attach(api, simple["uuid"]).status_code == 422


def test_bearer_is_refused_and_nothing_is_stored(simulator: Simulator, api: httpx.Client) -> None:
    created = create_upload(api, segments=[declared(b"abc")])
    (segment,) = created["segments"]
    assert put_segment(segment, b"abc", Authorization="Bearer x").status_code == 400
    simple = create_upload(api)
    refused = httpx.post(
        simple["url"],
        data=simple["fields"],
        files={"file": ("a", b"abc")},
        headers={"Authorization": "Bearer x"},
        trust_env=False,
    )
    assert refused.status_code == 400
    assert simulator.counters()["storage_authorizations"] == 2


def test_segmented_upload_is_put_in_any_order_and_completed_in_order(api: httpx.Client) -> None:
    parts = [b"a" * (5 * MIB), b"b" * 1000]
    created = create_upload(
        api, response_filename="v.mp4", segments=[declared(part) for part in parts]
    )
    assert created["status"] == "ready"
    etags = [put_segment(created["segments"][i], parts[i]).headers["etag"] for i in (1, 0)][::-1]
    one = f"{V1}/{created['uuid']}"
    body = {"segments": [{"etag": etag} for etag in etags]}
    swapped = {"segments": body["segments"][::-1]}
    assert attach(api, created["uuid"]).status_code == 422
    assert api.patch(one, json={}).status_code == 400
    assert api.patch(one, json=swapped).status_code == 400
    assert api.patch(one, json={"segments": [{"etag": etags[0]}]}).status_code == 400
    assert api.patch(one, json={"segments": [None, None]}).status_code == 400
    done = api.patch(one, json=body)
    assert (done.status_code, done.json()["status"]) == (200, "complete")
    assert api.patch(one, json=body).status_code == 409
    assert put_segment(created["segments"][0], parts[0]).status_code == 404
    file = attach(api, created["uuid"], "v.mp4").json()
    assert file["size"] == 5 * MIB + 1000
    url = file["file_versions"][0]["url"]
    assert fetch(api, url).content == b"".join(parts)
    edge = 5 * MIB
    assert fetch(api, url, Range=f"bytes={edge - 2}-{edge + 1}").content == b"aabb"
    assert fetch(api, url, Range=f"bytes={edge + 990}-").content == b"b" * 10


def test_segment_is_held_to_its_headers_length_and_hashes(api: httpx.Client) -> None:
    (segment,) = create_upload(api, segments=[declared(b"abc")])["segments"]
    assert put_segment(segment, b"abd").text.count("XAmzContentSHA256Mismatch") == 1
    wrong = put_segment({**segment, "headers": {}}, b"abc")
    assert wrong.status_code == 403
    longer = {**segment["headers"], "content-length": "4"}
    assert put_segment({**segment, "headers": longer}, b"abcd").status_code == 403
    chunked = httpx.put(
        segment["url"],
        content=iter([b"abc"]),
        headers={k: v for k, v in segment["headers"].items() if k != "content-length"},
        trust_env=False,
    )
    assert chunked.status_code == 411
    assert put_segment(segment, b"abc").status_code == 200
    assert put_segment(segment, b"abc").status_code == 200
    lying = {**declared(b"abc"), "md5": "0" * 32}
    (segment,) = create_upload(api, segments=[lying])["segments"]
    assert "BadDigest" in put_segment(segment, b"abc").text


@pytest.mark.parametrize(
    "segments",
    [
        [],
        "x",
        [1],
        [{"size": "many", "sha256": "0" * 64}],
        [{"size": 1, "sha256": "short"}],
        [{"size": 1, "sha256": "0" * 64, "md5": "short"}],
        [{"size": 5 * MIB - 1, "sha256": "0" * 64}, {"size": 1, "sha256": "0" * 64}],
        [{"size": 5 * 1024**3 + 1, "sha256": "0" * 64}],
        [{"size": 0, "sha256": "0" * 64}] * 10_001,
    ],
)
def test_segments_are_checked_when_they_are_declared(api: httpx.Client, segments: Any) -> None:
    assert api.post(V1, json={"segments": segments}).status_code == 400


@pytest.mark.parametrize(("size", "status"), [(5 * MIB, 400), (5 * MIB + 1, 201)])
def test_unified_segments_are_larger_than_five_mebibytes(
    api: httpx.Client, size: int, status: int
) -> None:
    segments = [{"size": size, "sha256": "0" * 64}, {"size": 1, "sha256": "0" * 64}]
    body = {
        "file_name": "a",
        "file_size": size + 1,
        "content_type": "text/plain",
        "segments": segments,
    }
    assert api.post(V2, json=body).status_code == status


@pytest.mark.parametrize(
    "change",
    [
        {"file_name": ""},
        {"content_type": None},
        {"file_size": 2},
        {"segments": [{"size": 100 * MIB + 1, "sha256": "0" * 64}]},
    ],
)
def test_unified_refusals_have_the_shape_of_version_2(
    api: httpx.Client, change: dict[str, Any]
) -> None:
    body = {
        "file_name": "a",
        "file_size": 1,
        "content_type": "text/plain",
        "segments": [{"size": 1, "sha256": "0" * 64}],
    }
    refused = api.post(V2, json={**body, **change})
    assert refused.status_code == 400
    assert refused.json()["error"]["details"][0]["reason_code"] == "INVALID_PROPERTY"


def test_unified_upload_goes_from_ready_to_available(
    simulator: Simulator, api: httpx.Client
) -> None:
    simulator.behave(scan_seconds=30, processing_word="scanning")
    parts = [b"a" * (5 * MIB + 1), b"tail"]
    created = created_v2(api, *parts)
    one = f"{V2}/{created['upload_id']}"
    assert (created["status"], created["total_parts"]) == ("ready", 2)
    first = put_segment(created["segments"][0], parts[0]).headers["etag"].strip('"')
    partial = api.patch(one, json={"part_etags": [first, None]})
    assert partial.json()["data"]["status"] == "receiving"
    shown = api.get(one).json()["data"]
    assert (shown["status"], len(shown["segments"])) == ("receiving", 1)
    second = put_segment(shown["segments"][0], parts[1]).headers["etag"]
    assert api.patch(one, json={"part_etags": [first, first]}).status_code == 400
    assert api.patch(one, json={"segments": []}).status_code == 400
    done = api.patch(one, json={"part_etags": [first, second]})
    assert done.json() == {"data": {"upload_id": created["upload_id"], "status": "scanning"}}
    assert api.get(one).json()["data"]["status"] == "scanning"
    assert attach(api, created["upload_id"]).status_code == 409
    simulator.state(advance_seconds=31)
    assert api.get(one).json()["data"]["status"] == "available"
    file = attach(api, created["upload_id"]).json()
    assert fetch(api, file["file_versions"][0]["url"]).content == b"".join(parts)


def test_unified_upload_can_belong_to_a_company_and_fail_its_scan(api: httpx.Client) -> None:
    created = created_v2(api, b"virus", name="infected.exe")
    etag = put_segment(created["segments"][0], b"virus").headers["etag"]
    one = f"{V2}/{created['upload_id']}"
    assert api.patch(one, json={"part_etags": [etag]}).json()["data"]["status"] == "complete"
    shown = api.get(one).json()["data"]
    assert (shown["status"], shown["error"]["retryable"]) == ("failed", False)
    assert attach(api, created["upload_id"]).status_code == 422
    company = f"/rest/v2.1/companies/{COMPANY}/uploads"
    body = {
        "file_name": "a",
        "file_size": 1,
        "content_type": "text/plain",
        "segments": [declared(b"x")],
    }
    assert api.post(company, json=body).status_code == 201


def test_aged_segment_address_is_replaced_by_asking_again(
    simulator: Simulator, api: httpx.Client
) -> None:
    simulator.behave(url_seconds=60)
    created = created_v2(api, b"abc")
    simulator.state(advance_seconds=61)
    assert put_segment(created["segments"][0], b"abc").status_code == 403
    shown = api.get(f"{V2}/{created['upload_id']}").json()["data"]
    assert put_segment(shown["segments"][0], b"abc").status_code == 200


def test_upload_is_its_owners_alone(simulator: Simulator, api: httpx.Client) -> None:
    uuid = upload(api)
    with simulator.client(user=True) as person:
        assert attach(person, uuid).status_code == 403
        assert person.patch(f"{V1}/{uuid}", json={"segments": []}).status_code == 403
    assert attach(api, uuid).status_code == 201


def test_attached_and_expired_uploads_are_gone(simulator: Simulator, api: httpx.Client) -> None:
    uuid = upload(api)
    assert attach(api, uuid).status_code == 201
    assert attach(api, uuid, "again.bin").status_code == 410
    assert api.patch(f"{V1}/{uuid}", json={"segments": []}).status_code == 410
    assert attach(api, "01UNKNOWN").status_code == 404
    lost = upload(api)
    unified = created_v2(api, b"x")
    simulator.state(advance_seconds=24 * 3600 + 1)
    with simulator.client() as later:
        answer = later.get(f"{V2}/{unified['upload_id']}")
        assert answer.status_code == 410
        assert answer.json()["error"]["details"][0]["reason_code"] == "UPLOAD_GONE"
        simulator.state(advance_seconds=6 * 24 * 3600)
    with simulator.client() as later:
        assert attach(later, lost).status_code == 410
        create_upload(later)
        assert attach(later, lost).status_code == 410


def test_form_whose_upload_is_attached_meanwhile_changes_no_file(
    simulator: Simulator, api: httpx.Client
) -> None:
    created = create_upload(api)
    request = httpx.Request("POST", created["url"], data=created["fields"], files={"file": b"new"})
    body = request.read()
    url = urlsplit(created["url"])
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection((url.hostname, url.port)) as sender:
        sender.sendall(f"POST {url.path} HTTP/1.1\r\n{head}\r\n".encode() + body[:-20])
        while not simulator.counters().get("max_concurrent_storage_requests"):
            pass
        assert post_form(created, b"old").status_code == 204
        file = attach(api, created["uuid"]).json()
        sender.sendall(body[-20:])
        answer = sender.recv(65_536)
    assert b" 403 " in answer.partition(b"\r\n")[0]
    assert fetch(api, file["file_versions"][0]["url"]).content == b"old"


def test_refused_record_leaves_its_upload_to_be_used(api: httpx.Client) -> None:
    uuid = upload(api)
    body = {"file": {"name": "a.bin", "parent_id": 5, "upload_uuid": uuid}}
    assert api.post("/rest/v1.0/files", params=QUERY, json=body).status_code == 422
    assert attach(api, uuid).status_code == 201


@pytest.mark.slow
def test_disk_in_use_is_bounded() -> None:
    with simulator_process("--storage-mb", "1") as simulator, simulator.client() as api:
        created = create_upload(api)
        refused = post_form(created, bytes(2 * MIB))
        assert refused.status_code == 507
        assert post_form(created, bytes(1000)).status_code == 204
        direct = api.post(
            "/rest/v1.0/files", params=QUERY, files={"file[data]": ("a", bytes(2 * MIB))}
        )
        assert direct.status_code == 507
        simulator.state(reset=True)
        assert post_form(create_upload(api), bytes(MIB - 1000)).status_code == 204


def test_sender_that_hangs_up_leaves_nothing_behind(
    simulator: Simulator, api: httpx.Client
) -> None:
    created = create_upload(api, segments=[declared(b"x" * 5000)])
    (segment,) = created["segments"]
    parts = urlsplit(segment["url"])
    head = "".join(f"{name}: {value}\r\n" for name, value in segment["headers"].items())
    with socket.create_connection((parts.hostname, parts.port)) as sender:
        request = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\n{head}\r\n"
        sender.sendall(request.encode() + b"x" * 100)
    while not simulator.requests(origin="storage", ended="disconnected"):
        pass
    (request_seen,) = simulator.requests(origin="storage")
    assert (request_seen["ended"], request_seen["executed"]) == ("disconnected", False)
    assert put_segment(segment, b"x" * 5000).status_code == 200
