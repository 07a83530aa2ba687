"""Files both ways, end to end: real processes, the simulator's storage, nothing in memory."""

import hashlib
import random
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from system.conftest import Running
from system.test_sizes import growth_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

MIB = 1024 * 1024
FILE = random.Random(7).randbytes(700_000)
PDF = {"filename": "plan ü.pdf", "content_type": "application/pdf"}
MAX_GROWTH = 16 * MIB


def key() -> dict[str, str]:
    return {"Idempotency-Key": f"test-{uuid.uuid4()}"}


@pytest.fixture
def project(running: Running) -> dict[str, str]:
    return {"project_id": str(running.project["id"])}


@pytest.fixture(autouse=True)
def storage_saw_no_token(running: Running) -> Iterator[None]:
    yield
    counters = httpx.get(f"{running.ensemble.simulator['admin_url']}/counters", trust_env=False)
    assert counters.json().get("storage_authorizations", 0) == 0


def behave(running: Running, **switches: Any) -> None:
    answer = httpx.post(
        f"{running.ensemble.simulator['admin_url']}/state",
        json={"behaviour": switches},
        trust_env=False,
    )
    assert answer.is_success, answer.text


def fault(running: Running, action: Any, **rule: Any) -> None:
    answer = httpx.post(
        f"{running.ensemble.simulator['admin_url']}/faults",
        json={"action": action, **rule},
        trust_env=False,
    )
    assert answer.is_success, answer.text


def upload(api: httpx.Client, running: Running, body: Any = FILE, **params: str) -> dict[str, Any]:
    answer = api.post(f"{running.base}/uploads", params={**PDF, **params}, content=body)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def new_file(
    api: httpx.Client, running: Running, project: dict[str, str], reference: str
) -> dict[str, Any]:
    answer = api.post(
        f"{running.base}/records/files",
        params=project,
        json={"name": f"{uuid.uuid4()}.pdf", "upload_uuid": reference},
        headers=key(),
    )
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


@pytest.mark.parametrize("flow", ["simple", "segmented"])
@pytest.mark.parametrize("known", [True, False])
def test_what_is_uploaded_comes_back_to_the_byte(
    api: httpx.Client, running: Running, project: dict[str, str], flow: str, *, known: bool
) -> None:
    body = FILE if known else (FILE[at : at + 50_000] for at in range(0, len(FILE), 50_000))
    told = upload(api, running, body, flow=flow, **project)
    assert told["sha256"] == hashlib.sha256(FILE).hexdigest()
    made = new_file(api, running, project, told["uuid"])
    answer = api.get(f"{running.base}/records/files/{made['id']}/content", params=project)
    assert answer.status_code == 200, answer.text
    assert answer.content == FILE
    assert answer.headers["content-length"] == str(len(FILE))
    assert made["name"] in answer.headers["content-disposition"]


def test_a_file_for_document_management_is_uploaded_and_available(
    api: httpx.Client, running: Running, project: dict[str, str]
) -> None:
    told = upload(api, running, flow="unified", **project)
    assert (told["status"], told["size"]) == ("available", len(FILE))
    assert told["upload_id"]


@pytest.mark.parametrize("told", [{}, {"tool": "estimating"}])
def test_the_tool_is_named_where_procore_wants_its_name(
    api: httpx.Client, running: Running, project: dict[str, str], told: dict[str, str]
) -> None:
    behave(running, uploader_tool=True, processing_word="scanning")
    try:
        assert upload(api, running, flow="unified", **told, **project)["status"] == "available"
    finally:
        behave(running, uploader_tool=False, processing_word="complete")


def test_a_file_that_fails_its_scan_is_refused(
    api: httpx.Client, running: Running, project: dict[str, str]
) -> None:
    named = {**PDF, "filename": "infected.pdf", "flow": "unified", **project}
    answer = api.post(f"{running.base}/uploads", params=named, content=FILE)
    assert (answer.status_code, answer.json()["code"]) == (422, "source_rejected")


def test_links_straight_to_storage_are_renewed_when_they_age(
    api: httpx.Client, running: Running, project: dict[str, str]
) -> None:
    made = new_file(api, running, project, upload(api, running, **project)["uuid"])
    behave(running, link_host="storage")
    try:
        fault(running, {"kind": "status", "status": 403}, origin="storage", method="GET", times=1)
        answer = api.get(f"{running.base}/records/files/{made['id']}/content", params=project)
        assert answer.content == FILE
    finally:
        behave(running, link_host="api")


def test_a_file_is_attached_listed_and_fetched(
    api: httpx.Client, running: Running, project: dict[str, str]
) -> None:
    made = api.post(
        f"{running.base}/records/punch_items",
        params=project,
        json={"name": "Door"},
        headers=key(),
    ).json()
    place = f"{running.base}/records/punch_items/{made['id']}"
    once = key()
    for turn in range(2):
        answer = api.post(
            f"{place}/attachments", params={**PDF, **project}, content=FILE, headers=once
        )
        assert answer.status_code == 201, answer.text
        assert answer.headers.get("idempotency-replayed") == ("true" if turn else None)
    (found,) = api.get(f"{place}/attachments", params=project).json()
    assert found["name"] == PDF["filename"]
    content = {**project, "field": found["field"]}
    assert api.get(f"{place}/content", params=content).content == FILE
    part = api.get(f"{place}/content", params=content, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, FILE[10:20])


@pytest.mark.parametrize(
    ("resource", "fields"),
    [
        ("rfis", {}),
        ("submittals", {}),
        ("task_items", {}),
        ("observations", {}),
        ("manpower_logs", {"num_workers": 2, "num_hours": "8"}),
        ("notes_logs", {"comment": "Rain"}),
    ],
)
def test_each_tool_takes_attachments_its_own_way(
    api: httpx.Client,
    running: Running,
    project: dict[str, str],
    resource: str,
    fields: dict[str, Any],
) -> None:
    place = f"{running.base}/records/{resource}"
    if fields:
        fields["date"] = "2026-01-15"
        answer = api.post(place, params=project, json=fields, headers=key())
        assert answer.status_code == 201, answer.text
        made = answer.json()
    else:
        (made,) = api.get(place, params={**project, "limit": "1"}).json()
    place = f"{place}/{made['id']}"
    answer = api.post(
        f"{place}/attachments", params={**PDF, **project}, content=FILE, headers=key()
    )
    assert answer.status_code == 201, answer.text
    found = api.get(f"{place}/attachments", params=project).json()
    (field,) = [one["field"] for one in found if one["name"] == PDF["filename"]]
    answer = api.get(f"{place}/content", params={**project, "field": field})
    assert answer.content == FILE


@pytest.mark.parametrize(
    ("resource", "kind"),
    [
        ("purchase_order_contracts", "multipart/form-data"),
        ("work_order_contracts", "multipart/form-data"),
        ("direct_costs", "multipart/form-data"),
        ("prime_contracts", "multipart/form-data"),
        ("bids", "multipart/form-data"),
        ("change_events", "application/json"),
    ],
)
def test_financial_tools_take_attachments_once_and_change_nothing_else(
    api: httpx.Client, running: Running, project: dict[str, str], resource: str, kind: str
) -> None:
    scope = dict(project)
    if resource == "bids":
        packages = f"{running.base}/records/bid_packages"
        (package,) = api.get(packages, params={**project, "limit": "1"}).json()
        scope["bid_package_id"] = str(package["id"])
    place = f"{running.base}/records/{resource}"
    (record,) = api.get(place, params={**scope, "limit": "1"}).json()
    place = f"{place}/{record['id']}"
    before = api.get(place, params=scope).json()
    once = key()
    for turn in range(2):
        answer = api.post(
            f"{place}/attachments", params={**PDF, **scope}, content=FILE, headers=once
        )
        assert answer.status_code == 201, answer.text
        assert answer.headers.get("idempotency-replayed") == ("true" if turn else None)
    other = api.post(
        f"{place}/attachments", params={**PDF, **scope}, content=FILE[1:], headers=once
    )
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    found = api.get(f"{place}/attachments", params=scope).json()
    (field,) = [one["field"] for one in found if one["name"] == PDF["filename"]]
    content = api.get(f"{place}/content", params={**scope, "field": field})
    assert content.content == FILE
    assert content.headers["content-type"] == PDF["content_type"]
    after = api.get(place, params=scope).json()
    changing = {"attachments", "attachments_count", "updated_at"}
    assert {name: after[name] for name in after if name not in changing} == {
        name: before[name] for name in before if name not in changing
    }
    ledger = httpx.get(
        f"{running.ensemble.simulator['admin_url']}/ledger",
        params={"method": "PATCH", "path": f"/{record['id']}$"},
        trust_env=False,
    ).json()
    (execution,) = ledger["items"]
    assert kind in dict(execution["headers"])["content-type"]


@pytest.mark.parametrize(
    ("resource", "field"),
    [("drawing_revisions", None), ("drawing_revisions", "pdf_url"), ("images", "thumbnail_url")],
)
def test_fields_that_link_to_files_give_their_content(
    api: httpx.Client,
    running: Running,
    project: dict[str, str],
    resource: str,
    field: str | None,
) -> None:
    place = f"{running.base}/records/{resource}"
    (record,) = api.get(place, params={**project, "limit": "1"}).json()
    params = project if field is None else {**project, "field": field}
    answer = api.get(f"{place}/{record['id']}/content", params=params)
    assert answer.status_code == 200, answer.text
    assert len(answer.content) == int(answer.headers["content-length"]) > 0


def test_a_form_with_a_file_in_it_passes_to_the_byte(
    api: httpx.Client, running: Running, project: dict[str, str]
) -> None:
    answer = api.post(
        f"{running.base}/procore/rest/v1.1/punch_items",
        params=project,
        data={"project_id": project["project_id"], "punch_item[name]": "Door"},
        files={"attachments[]": ("photo.bin", FILE, "application/octet-stream")},
    )
    assert answer.status_code == 201, answer.text
    place = f"{running.base}/records/punch_items/{answer.json()['id']}/content"
    content = api.get(place, params={**project, "field": "attachments.0.url"})
    assert content.content == FILE


def test_pass_through_follows_procore_to_its_storage(
    api: httpx.Client, running: Running, project: dict[str, str]
) -> None:
    behave(running, redirect_hops=3)
    try:
        photos = api.get(f"{running.base}/records/images", params={**project, "limit": "1"})
        (photo,) = photos.json()
        link = httpx.URL(photo["url"])
        answer = api.get(f"{running.base}/procore{link.raw_path.decode()}")
        assert answer.status_code == 200, answer.text
        assert len(answer.content) == photo["size"]
        assert answer.headers["content-type"] == "image/jpeg"
        typed = api.get(f"{running.base}/records/images/{photo['id']}/content", params=project)
        assert typed.content == answer.content
    finally:
        behave(running, redirect_hops=1)


def test_a_download_that_storage_breaks_off_comes_whole(
    api: httpx.Client, running: Running, project: dict[str, str]
) -> None:
    made = new_file(api, running, project, upload(api, running, **project)["uuid"])
    cut = {"origin": "storage", "method": "GET", "times": 2}
    fault(running, {"kind": "truncate", "size": 100_000}, **cut)
    answer = api.get(f"{running.base}/records/files/{made['id']}/content", params=project)
    assert answer.content == FILE


@pytest.mark.slow
def test_long_files_pass_both_ways_without_staying_in_memory(
    api: httpx.Client, running: Running, project: dict[str, str]
) -> None:
    block = random.Random(1).randbytes(MIB)
    size = 64

    def blocks(count: int = size) -> Iterator[bytes]:
        for _ in range(count):
            yield block

    def there_and_back(count: int, flow: str) -> str:
        told = upload(api, running, blocks(count), flow=flow, **project)
        made = new_file(api, running, project, told["uuid"])
        digest = hashlib.sha256()
        place = f"{running.base}/records/files/{made['id']}/content"
        with api.stream("GET", place, params=project) as answer:
            for chunk in answer.iter_bytes():
                digest.update(chunk)
        assert digest.hexdigest() == told["sha256"]
        return digest.hexdigest()

    expected = hashlib.sha256(block * size).hexdigest()
    there_and_back(8, "simple")  # warm-up: code and buffers are loaded
    with growth_of(running.ensemble.pids) as grown:
        assert there_and_back(size, "simple") == expected
        assert there_and_back(size, "segmented") == expected
        orders = f"{running.base}/records/purchase_order_contracts"
        (order,) = api.get(orders, params={**project, "limit": "1"}).json()
        answer = api.post(
            f"{orders}/{order['id']}/attachments",
            params={**PDF, **project},
            content=blocks(16),
            headers=key(),
        )
        assert answer.status_code == 201, answer.text
    assert all(grown[name] <= MAX_GROWTH for name in grown), grown
