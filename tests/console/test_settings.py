from doubles.canaries import remember
from doubles.console_browser import Browser
from doubles.relay_node import PASSWORD

OTHER = "another good password"


async def test_everybody_sees_who_they_are_and_what_the_relay_is(viewer: Browser) -> None:
    page = (await viewer.get("/settings")).text
    assert "changes nothing" in page  # what a viewer is
    assert "/tunnel" in page


async def test_own_password_is_changed_and_ends_all_sessions(admin: Browser) -> None:
    remember("password", OTHER)
    answer = await admin.post("/settings/password", current=PASSWORD, password=OTHER, again=OTHER)
    assert answer.headers["location"] == "/console/sign-in"
    assert (await admin.get("/")).status_code == 303
    assert (await admin.sign_in(password=PASSWORD)).status_code == 401
    assert (await admin.sign_in(password=OTHER)).status_code == 303


async def test_wrong_or_different_passwords_change_nothing(admin: Browser) -> None:
    wrong = await admin.post(
        "/settings/password", current="not it at all", password=OTHER, again=OTHER
    )
    assert wrong.status_code == 422
    assert "This is not your password." in wrong.text
    different = await admin.post(
        "/settings/password", current=PASSWORD, password=OTHER, again=OTHER + "x"
    )
    assert "This is not the same password." in different.text
    assert (await admin.get("/")).status_code == 200
