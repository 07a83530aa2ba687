"""What surrounds every page of the console, for each role and in each look."""

import pytest
from playwright.async_api import expect

from cloud_connect_relay.console.navigation import AREAS, Area
from cloud_connect_relay.credentials import ROLES, expand_scopes
from doubles.keyboard import press_on, tab_to
from doubles.looks import NARROW, look
from doubles.visits import BROWSER_TEST, Visits

pytestmark = BROWSER_TEST


def allowed(role: str) -> list[Area]:
    scopes = expand_scopes(ROLES[role])
    return [area for area in AREAS if area.scope is None or area.scope in scopes]


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.title)
async def test_area_looks_well_everywhere(area: Area, visit: Visits) -> None:
    page = await visit("administrator", f"/console{area.path}")
    await expect(page.get_by_role("heading", level=1)).to_have_count(1)
    await look(page, f"area-{area.title.lower().replace(' ', '-')}")


@pytest.mark.parametrize("role", sorted(ROLES))
async def test_role_sees_and_opens_what_it_may_and_nothing_else(role: str, visit: Visits) -> None:
    page = await visit(role)
    await expect(page.get_by_role("button", name="Menu")).to_be_hidden()
    areas = page.get_by_role("navigation", name="Areas")
    await expect(areas.get_by_role("link")).to_have_text([area.title for area in allowed(role)])
    for area in allowed(role):
        link = areas.get_by_role("link", name=area.title, exact=True)
        await link.click()
        await expect(link).to_have_attribute("aria-current", "page")
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
    for area in AREAS:
        if area not in allowed(role):
            visit.expect(403)
            await page.goto(f"/console{area.path}")
            await expect(page.get_by_role("heading", level=1)).to_have_text(
                "Your role does not allow this"
            )
            break


async def test_refusal_looks_well_everywhere(visit: Visits) -> None:
    visit.expect(403)
    page = await visit("viewer", "/console/keys")
    await expect(page.get_by_text("Ask an administrator")).to_be_visible()
    await look(page, "refused")


async def test_keyboard_reaches_the_content_at_once_and_every_area(visit: Visits) -> None:
    page = await visit("administrator")
    await press_on(page.get_by_role("link", name="Skip to the content"))
    await expect(page.locator("#content")).to_be_focused()
    await page.reload()
    for area in AREAS:
        areas = page.get_by_role("navigation", name="Areas")
        await tab_to(areas.get_by_role("link", name=area.title, exact=True))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Settings")


async def test_menu_of_a_narrow_window_needs_no_mouse(visit: Visits) -> None:
    page = await visit("operator", width=NARROW)
    link = page.get_by_role("link", name="Calls", exact=True)
    await expect(link).to_be_hidden()
    button = page.get_by_role("button", name="Menu")
    await press_on(button)
    await expect(link).to_be_visible()
    await look(page, "menu")
    await page.keyboard.press("Escape")
    await expect(link).to_be_hidden()
    await expect(button).to_be_focused()
    await page.keyboard.press("Enter")
    await press_on(link)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Calls")


async def test_areas_are_at_hand_in_a_narrow_window_without_scripts(visit: Visits) -> None:
    page = await visit("operator", width=NARROW, scripts=False)
    await page.get_by_role("link", name="Calls", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Calls")


async def test_chosen_colours_stay_on_the_next_page(visit: Visits) -> None:
    page = await visit("viewer")
    background = "getComputedStyle(document.body).backgroundColor"
    light = await page.evaluate(background)
    button = page.get_by_role("button", name="Theme")
    await button.click()
    await button.click()
    await expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    dark = await page.evaluate(background)
    assert dark != light
    await page.get_by_role("link", name="Calls", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Calls")
    assert await page.evaluate(background) == dark
