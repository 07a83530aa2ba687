import re

from doubles.canaries import remember
from doubles.console_browser import Browser

_ID = re.compile(r"/console/people/(usr_[0-9a-z]+)\"")
_PASSWORD = re.compile(r"<code>([^<]{12,})</code></pre>")
CHOSEN = "correct horse battery"


async def make_person(admin: Browser, username: str = "anna") -> str:
    answer = await admin.post("/people/new", username=username, role="viewer", password=CHOSEN)
    assert answer.status_code == 303
    return str(_ID.findall((await admin.get("/people")).text)[-1])


async def test_made_up_password_is_shown_once_and_opens_the_console(
    admin: Browser, stranger: Browser
) -> None:
    answer = await admin.post("/people/new", username="anna", role="operator", made_up="on")
    assert answer.status_code == 200
    found = _PASSWORD.search(answer.text)
    assert found is not None
    remember("secret", found[1])
    assert (await stranger.sign_in("anna", found[1])).status_code == 303


async def test_taken_name_and_short_password_are_said_beside_the_fields(
    admin: Browser,
) -> None:
    await make_person(admin)
    taken = await admin.post("/people/new", username="Anna", role="viewer", password=CHOSEN)
    assert taken.status_code == 422
    assert "is taken" in taken.text
    short = await admin.post("/people/new", username="ben", role="viewer", password="x")
    assert short.status_code == 422
    assert "at least 8 characters" in short.text


async def test_another_role_ends_the_sessions(admin: Browser, stranger: Browser) -> None:
    person = await make_person(admin)
    assert (await stranger.sign_in("anna", CHOSEN)).status_code == 303
    answer = await admin.post(f"/people/{person}/role", role="operator")
    assert answer.status_code == 303
    assert (await stranger.get("/")).status_code == 303  # to the sign-in


async def test_revoked_person_may_not_sign_in(admin: Browser, stranger: Browser) -> None:
    person = await make_person(admin)
    assert (await admin.post(f"/people/{person}/revoke")).status_code == 303
    assert (await stranger.sign_in("anna", CHOSEN)).status_code == 401


async def test_last_administrator_stays_one(admin: Browser) -> None:
    me = _ID.findall((await admin.get("/people")).text)[0]
    for action in ("revoke", "role"):
        answer = await admin.post(f"/people/{me}/{action}", role="viewer")
        assert answer.status_code == 422
        assert "last administrator" in answer.text


async def test_viewer_does_not_manage_people(viewer: Browser) -> None:
    assert (await viewer.get("/people")).status_code == 403
