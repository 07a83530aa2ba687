"""Signing in to the console and out of it, in a real browser."""

from playwright.async_api import Page, expect

from doubles.console_bed import Bed
from doubles.keyboard import press_on, tab_to
from doubles.looks import look
from doubles.visits import BROWSER_TEST, Visits, sign_in

pytestmark = BROWSER_TEST


async def expect_heading(page: Page, title: str) -> None:
    await expect(page.get_by_role("heading", level=1)).to_have_text(title)


async def test_form_looks_well_and_is_for_everybody(visit: Visits) -> None:
    page = await visit(None, "/console/sign-in")
    await expect(page.get_by_label("User name")).to_be_focused()
    await look(page, "sign-in", docs=True)


async def test_whoever_signs_in_comes_to_the_page_they_wanted(bed: Bed, visit: Visits) -> None:
    page = await visit(None, "/console/connectors?state=online")
    await expect_heading(page, "Sign in")
    await sign_in(page, bed.people["viewer"])
    assert page.url == f"{bed.origin}/console/connectors?state=online"
    await expect(page.get_by_role("banner")).to_contain_text("the-viewer")


async def test_sign_in_and_out_need_no_mouse(bed: Bed, visit: Visits) -> None:
    page = await visit(None, "/console/")
    person = bed.people["operator"]
    await tab_to(page.get_by_label("User name"))
    await page.keyboard.type(person.username)
    await tab_to(page.get_by_label("Password"))
    await page.keyboard.type(person.password)
    await press_on(page.get_by_role("button", name="Sign in"))
    await expect_heading(page, "Overview")
    await press_on(page.get_by_role("button", name="Sign out"))
    await expect(page.get_by_text("You are signed out.")).to_be_visible()


async def test_nothing_is_shown_after_signing_out(bed: Bed, visit: Visits) -> None:
    page = await visit(None, "/console/connectors")
    await sign_in(page, bed.people["viewer"])
    await page.get_by_role("button", name="Sign out").click()
    await expect_heading(page, "Sign in")
    await page.go_back()
    await expect_heading(page, "Sign in")


async def test_wrong_password_is_told_beside_the_form(bed: Bed, visit: Visits) -> None:
    visit.expect(401)
    page = await visit(None, "/console/sign-in")
    await page.get_by_label("User name").fill(bed.people["viewer"].username)
    await page.get_by_label("Password").fill("not the password")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("is not right")
    await expect(page.get_by_label("User name")).to_have_value("the-viewer")
    await expect(page.get_by_label("Password")).to_have_value("")
    await look(page, "sign-in-wrong")


async def test_console_opens_without_scripts(bed: Bed, visit: Visits) -> None:
    page = await visit(None, "/console/connectors", scripts=False)
    await sign_in(page, bed.people["operator"])
    await expect_heading(page, "Connectors")
    await page.get_by_role("button", name="Sign out").click()
    await expect_heading(page, "Sign in")


async def test_session_that_was_ended_leads_to_the_form_and_back(bed: Bed, visit: Visits) -> None:
    person = await bed.person("operator")
    page = await visit(person, "/console/")
    users = (await bed.world.api.get("/api/users")).json()["items"]
    (user,) = (one for one in users if one["username"] == person.username)
    answer = await bed.world.api.patch(f"/api/users/{user['id']}", json={"role": "viewer"})
    assert answer.status_code == 200
    await page.get_by_role("link", name="Calls", exact=True).click()
    await expect_heading(page, "Sign in")
    await sign_in(page, person)
    await expect_heading(page, "Calls")
    await expect(page.get_by_role("banner")).to_contain_text("viewer")
