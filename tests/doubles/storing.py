"""Files to and from a simulator's storage origin, as a client of Procore sends and fetches them."""

from typing import Any

import httpx

from doubles.simulator_process import COMPANY, PROJECT

__all__ = ["create_upload", "fetch", "post_form", "put_segment", "upload"]


def create_upload(api: httpx.Client, *, company: bool = False, **body: Any) -> dict[str, Any]:
    """Create a v1.1 upload."""
    owner = f"companies/{COMPANY}" if company else f"projects/{PROJECT}"
    answer = api.post(f"/rest/v1.1/{owner}/uploads", json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def post_form(created: dict[str, Any], data: bytes, **changes: str) -> httpx.Response:
    """Send a file by the simple flow: all fields first, then the file; and no token."""
    fields = {**created["fields"], **changes}
    return httpx.post(
        created["url"],
        data=fields,
        files={"file": ("a", data, "application/octet-stream")},
        trust_env=False,
    )


def put_segment(segment: dict[str, Any], data: bytes, **headers: str) -> httpx.Response:
    """Send one segment with exactly the headers it was given, and more if told."""
    return httpx.put(
        segment["url"], content=data, headers={**segment["headers"], **headers}, trust_env=False
    )


def upload(api: httpx.Client, name: str = "a.pdf", data: bytes = b"%PDF-1.4\n") -> str:
    """Upload a file by the simple flow and return its uuid."""
    created = create_upload(api, response_filename=name, response_content_type="application/pdf")
    assert post_form(created, data).status_code == 204
    uuid: str = created["uuid"]
    return uuid


def fetch(api: httpx.Client, url: str, **headers: str) -> httpx.Response:
    """Follow a record's link to its bytes, with the token on the API origin only."""
    if not url.startswith(str(api.base_url)):
        return httpx.get(url, headers=headers, trust_env=False)
    answer = api.get(url)
    if not answer.has_redirect_location:
        return answer
    return fetch(api, answer.headers["location"], **headers)
