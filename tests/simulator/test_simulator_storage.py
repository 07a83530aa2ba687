"""Downloads: links that redirect to another origin, which wants no token and serves ranges."""

from typing import Any

import httpx
import pytest

from doubles.simulator_process import PROJECT, Simulator
from doubles.storing import create_upload, fetch, post_form, upload

FILES = "/rest/v1.0/files"
QUERY = {"project_id": PROJECT}
CONTENT = bytes(range(256)) * 40


def stored_file(api: httpx.Client, name: str = "plän.pdf") -> dict[str, Any]:
    body = {"file": {"name": name, "upload_uuid": upload(api, name, CONTENT)}}
    answer = api.post(FILES, params=QUERY, json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def link_of(file: dict[str, Any]) -> str:
    url: str = file["file_versions"][0]["url"]
    return url


def address_of(api: httpx.Client, file: dict[str, Any]) -> str:
    """The signed address on the storage origin."""
    return str(api.get(link_of(file)).headers["location"])


def get(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers=headers, trust_env=False)


def test_link_redirects_to_another_origin_that_has_the_bytes(
    simulator: Simulator, api: httpx.Client
) -> None:
    file = stored_file(api)
    assert file["size"] == len(CONTENT)
    redirect = api.get(link_of(file))
    assert redirect.status_code == 302
    assert redirect.headers["location"].startswith(simulator.ready["storage_url"])
    answer = get(redirect.headers["location"])
    assert answer.content == CONTENT
    assert answer.headers["content-type"] == "application/pdf"
    assert "filename*=UTF-8''pl%C3%A4n.pdf" in answer.headers["content-disposition"]
    (request,) = simulator.requests(origin="storage", method="GET")
    assert (request["status"], request["environment"]) == (200, "developer_sandbox")


def test_token_is_refused_by_the_storage_origin_and_needed_by_the_link(
    simulator: Simulator, api: httpx.Client
) -> None:
    file = stored_file(api)
    address = address_of(api, file)
    refused = get(address, Authorization="Bearer made-up")
    assert refused.status_code == 400
    assert "<Code>InvalidArgument</Code>" in refused.text
    assert simulator.counters()["storage_authorizations"] == 1
    assert get(link_of(file)).status_code == 401


@pytest.mark.parametrize("link_host", ["api", "storage"])
def test_links_and_addresses_age(
    simulator: Simulator, api: httpx.Client, *, link_host: str
) -> None:
    simulator.behave(link_host=link_host, link_seconds=60)
    file = stored_file(api)
    address = link_of(file) if link_host == "storage" else address_of(api, file)
    assert fetch(api, link_of(file)).content == CONTENT
    simulator.state(advance_seconds=61)
    assert get(address).status_code == 403
    assert fetch(api, link_of(file)).status_code == 403
    again = api.get(f"{FILES}/{file['id']}", params=QUERY).json()
    assert fetch(api, link_of(again)).content == CONTENT


def test_folder_tree_never_shows_an_aged_link(simulator: Simulator, api: httpx.Client) -> None:
    simulator.behave(link_seconds=60)

    def first_link() -> str:
        tree = api.get("/rest/v1.0/folders", params=QUERY).json()
        return link_of(tree["folders"][0]["files"][0])

    first_link()
    simulator.state(advance_seconds=60)
    assert fetch(api, first_link()).status_code == 200


def test_changed_address_is_no_address(api: httpx.Client) -> None:
    file = stored_file(api)
    address = address_of(api, file)
    assert get(address.replace("application", "text")).status_code == 403
    assert get(address.partition("&sig=")[0]).status_code == 403
    assert api.get(link_of(file).replace("hops=1", "hops=0")).status_code == 403


def test_storage_knows_its_paths_and_methods_only(simulator: Simulator, api: httpx.Client) -> None:
    base = simulator.ready["storage_url"]
    assert get(f"{base}/").status_code == 404
    assert get(f"{base}/mars/objects/x").status_code == 404
    assert httpx.delete(address_of(api, stored_file(api)), trust_env=False).status_code == 405
    assert get(f"{base}/developer_sandbox/uploads/x").status_code == 405


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_can_be_of_any_kind_and_number(
    simulator: Simulator, api: httpx.Client, *, status: int
) -> None:
    simulator.behave(redirect_status=status, redirect_hops=3)
    url = link_of(stored_file(api))
    seen = []
    while url.startswith(simulator.ready["api_url"]):
        answer = api.get(url)
        seen.append(answer.status_code)
        url = answer.headers["location"]
    assert seen == [status] * 3
    assert get(url).content == CONTENT


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=10000-", 10000, 10240),
        ("bytes=-5", 10235, 10240),
        ("bytes=10239-99999", 10239, 10240),
    ],
)
def test_ranges_are_served_byte_for_byte(
    api: httpx.Client, asked: str, start: int, end: int
) -> None:
    answer = get(address_of(api, stored_file(api)), Range=asked)
    assert answer.status_code == 206
    assert answer.content == CONTENT[start:end]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"


@pytest.mark.parametrize("asked", ["bytes=10240-", "bytes=-0"])
def test_range_behind_the_end_is_416(api: httpx.Client, asked: str) -> None:
    answer = get(address_of(api, stored_file(api)), Range=asked)
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"


@pytest.mark.parametrize("asked", ["bytes=5-1", "bytes=-", "bytes=0-1,4-5", "lines=1-2"])
def test_range_that_makes_no_sense_gets_everything(api: httpx.Client, asked: str) -> None:
    answer = get(address_of(api, stored_file(api)), Range=asked)
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_etag_decides_on_ranges_and_on_repeats(simulator: Simulator, api: httpx.Client) -> None:
    address = address_of(api, stored_file(api))
    etag = get(address).headers["etag"]
    assert etag.startswith('"')
    same = get(address, **{"Range": "bytes=5-9", "If-Range": etag})
    assert (same.status_code, same.content) == (206, CONTENT[5:10])
    other = get(address, **{"Range": "bytes=5-9", "If-Range": '"x"'})
    assert (other.status_code, other.content) == (200, CONTENT)
    unchanged = get(address, **{"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    simulator.behave(storage_ranges=False)
    whole = get(address, Range="bytes=5-9")
    assert (whole.status_code, whole.content) == (200, CONTENT)
    assert "accept-ranges" not in whole.headers


def test_head_tells_the_size_without_the_bytes(api: httpx.Client) -> None:
    answer = httpx.head(address_of(api, stored_file(api)), trust_env=False)
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.content == b""


def read_into(came: bytearray, url: str) -> None:
    with httpx.stream("GET", url, trust_env=False) as answer:
        for part in answer.iter_raw():
            came += part


def test_download_can_be_cut_after_some_bytes_and_resumed(
    simulator: Simulator, api: httpx.Client
) -> None:
    address = address_of(api, stored_file(api))
    simulator.fault({"kind": "truncate", "size": 4000}, origin="storage", times=1)
    came = bytearray()
    with pytest.raises(httpx.RemoteProtocolError):
        read_into(came, address)
    assert bytes(came) == CONTENT[:4000]
    rest = get(address, Range="bytes=4000-")
    assert bytes(came) + rest.content == CONTENT


@pytest.mark.slow
@pytest.mark.parametrize("blob", [False, True])
def test_caller_that_hangs_up_in_a_download_is_seen(
    simulator: Simulator, api: httpx.Client, *, blob: bool
) -> None:
    if blob:
        url, headers = f"{api.base_url}/rest/v1.0/simulator/blob?size=90000000", api.headers
    else:
        large = {"file": {"name": "l", "upload_uuid": upload(api, "l", bytes(40_000_000))}}
        file = api.post(FILES, params=QUERY, json=large).json()
        url, headers = address_of(api, file), httpx.Headers()
    with httpx.stream("GET", url, headers=headers, trust_env=False) as answer:
        next(answer.iter_raw())
    while not simulator.requests(method="GET", ended="disconnected"):
        pass


def test_seeded_files_have_made_up_bytes_of_their_size(api: httpx.Client) -> None:
    photo = api.get("/rest/v1.0/images", params=QUERY).json()[0]
    answer = fetch(api, photo["url"])
    assert len(answer.content) == photo["size"]
    assert answer.headers["content-type"] == "image/jpeg"
    assert (
        fetch(api, photo["url"], Range="bytes=65530-65545").content == answer.content[65530:65546]
    )
    assert len(fetch(api, photo["thumbnail_url"]).content) == 16384


def test_link_of_a_forgotten_file_finds_nothing(simulator: Simulator, api: httpx.Client) -> None:
    file = stored_file(api)
    address = address_of(api, file)
    simulator.state(reset=True)
    assert get(address).status_code == 404
    assert api.get(link_of(file)).status_code == 404


@pytest.mark.parametrize(
    ("action", "status"),
    [("unavailable", 503), ({"kind": "status", "status": 500, "body": "<Error/>"}, 500)],
)
def test_storage_can_be_made_to_fail(
    simulator: Simulator, api: httpx.Client, action: Any, status: int
) -> None:
    created = create_upload(api)
    simulator.fault(action, origin="storage", times=1)
    assert post_form(created, CONTENT).status_code == status
    assert post_form(created, CONTENT).status_code == 204


def test_answer_to_a_stored_file_can_be_lost(simulator: Simulator, api: httpx.Client) -> None:
    created = create_upload(api)
    simulator.fault("reset", origin="storage", times=1, after_execute=True)
    with pytest.raises(httpx.TransportError):
        post_form(created, CONTENT)
    (request,) = simulator.requests(origin="storage")
    assert (request["ended"], request["executed"]) == ("dropped", True)
    # Sending it again is harmless.
    assert post_form(created, CONTENT).status_code == 204


@pytest.mark.parametrize(
    "action",
    [
        {"kind": "slow_body", "size": 4000, "seconds": 0.01},
        {"kind": "slow_first_byte", "seconds": 0.01},
        {"kind": "many_headers", "count": 5},
        {"kind": "close_after"},
    ],
)
def test_download_can_be_slow_or_odd_and_still_whole(
    simulator: Simulator, api: httpx.Client, action: Any
) -> None:
    address = address_of(api, stored_file(api))
    simulator.fault(action, origin="storage", method="GET", times=1)
    assert get(address).content == CONTENT


def test_storage_can_hang(simulator: Simulator, api: httpx.Client) -> None:
    address = address_of(api, stored_file(api))
    simulator.fault("hang", origin="storage", method="GET", times=1)
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(address, timeout=0.2, trust_env=False)
    assert get(address).content == CONTENT


@pytest.mark.parametrize("kind", ["reset", "drop"])
def test_connection_can_be_lost_in_the_middle_of_an_upload(
    simulator: Simulator, api: httpx.Client, kind: str
) -> None:
    created = create_upload(api)
    simulator.fault({"kind": kind, "size": 1000}, origin="storage", times=1)
    with pytest.raises(httpx.TransportError):
        post_form(created, CONTENT * 50)
    (request,) = simulator.requests(origin="storage")
    assert (request["ended"], request["executed"]) == ("dropped", False)
    assert post_form(created, CONTENT).status_code == 204
