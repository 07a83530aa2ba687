import re
from typing import Any

from doubles.canaries import remember
from doubles.console_browser import Browser

_ID = re.compile(r"/console/custom-connectors/(reg_[0-9a-z]+)\"")
_SECRET = re.compile(r"<code>([A-Za-z0-9+/]{43}=)</code>")


async def register(admin: Browser, **fields: str) -> str:
    sent: dict[str, Any] = {
        "title": "Procore",
        "dialect": "A",
        "users": "members",
        "allow_writes": "on",
    } | fields
    answer = await admin.post("/custom-connectors/new", **sent)
    assert answer.status_code == 200, answer.text
    found = _SECRET.search(answer.text)
    if found is not None:
        remember("secret", found[1])
        assert found[1] not in (await admin.get("/custom-connectors")).text
    for name in ("metadata", "test", "query"):
        assert re.search(rf"/custom-connector/reg_[0-9a-z]+/{name}<", answer.text)
    return str(_ID.findall((await admin.get("/custom-connectors")).text)[0])


async def test_registration_shows_its_secret_once_and_its_three_addresses(
    admin: Browser,
) -> None:
    registration = await register(admin)
    page = await admin.get(f"/custom-connectors/{registration}")
    assert f"/custom-connector/{registration}/query" in page.text
    assert "Allowed" in page.text


async def test_secret_that_is_no_key_is_refused_beside_its_field(admin: Browser) -> None:
    answer = await admin.post(
        "/custom-connectors/new", title="Procore", dialect="A", users="members", secret="short"
    )
    assert answer.status_code == 422
    assert 'id="f-secret-error"' in answer.text


async def test_older_dialect_takes_the_platforms_secret(admin: Browser) -> None:
    secret = "k" * 32
    remember("secret", secret)
    registration = await register(admin, dialect="B", secret=secret, allow_writes="")
    page = await admin.get(f"/custom-connectors/{registration}")
    assert "B (older)" in page.text
    assert "Refused" in page.text


async def test_deleted_registration_is_gone(admin: Browser) -> None:
    registration = await register(admin)
    assert (await admin.post(f"/custom-connectors/{registration}/delete")).status_code == 303
    assert (await admin.get(f"/custom-connectors/{registration}")).status_code == 404
