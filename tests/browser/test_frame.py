"""What surrounds every page: signing in, areas, themes, dialogs; and the parts of pages."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from doubles.console_bed import Bed
from doubles.console_gallery import GalleryConsole
from doubles.looks import look
from doubles.relay_node import PASSWORD, running_node
from doubles.visits import BROWSER_TEST, Visits

pytestmark = BROWSER_TEST


async def test_person_signs_in_and_out_by_keyboard(visit: Visits) -> None:
    visit.expect(401)
    page = await visit(None, "/console/settings")
    await look(page, "sign-in")
    await expect(page.get_by_label("User name")).to_be_focused()
    await page.keyboard.type("the-nobody")
    await page.keyboard.press("Tab")
    await page.keyboard.type("wrong")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("is not right")
    await expect(page.get_by_label("Password")).to_be_focused()
    await look(page, "sign-in-refused")

    page = await visit("viewer", "/console/settings")
    await expect(page).to_have_url(re.compile(r"/console/settings$"))
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#content")).to_be_focused()


async def test_signing_out_ends_at_the_sign_in(visit: Visits, bed: Bed) -> None:
    page = await visit(await bed.person("viewer"), "/console/settings")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_text("You are signed out.")).to_be_visible()
    await page.goto("/console/settings")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


async def test_areas_are_behind_a_button_in_narrow_windows(visit: Visits) -> None:
    page = await visit("administrator", "/console/settings", width=360)
    areas = page.get_by_role("navigation", name="Areas")
    await expect(areas).to_be_hidden()
    menu = page.get_by_role("button", name="Menu")
    await menu.click()
    await expect(menu).to_have_attribute("aria-expanded", "true")
    await expect(areas.get_by_role("link", name="Connectors", exact=True)).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(areas).to_be_hidden()
    await expect(menu).to_be_focused()


async def test_areas_are_there_without_scripts(visit: Visits) -> None:
    page = await visit("administrator", "/console/settings", width=360, scripts=False)
    await expect(page.get_by_role("navigation", name="Areas")).to_be_visible()
    await expect(page.get_by_role("button", name="Menu")).to_be_hidden()


async def test_theme_is_kept(visit: Visits) -> None:
    page = await visit("administrator", "/console/settings")
    theme = page.get_by_role("button", name="Theme: system")
    await theme.click()
    await page.get_by_role("button", name="Theme: light").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.get_by_role("button", name="Theme: dark").click()
    await page.reload()
    await expect(page.get_by_role("button", name="Theme: system")).to_be_visible()


async def test_parts_of_pages_look_well_and_work(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_connect_relay.app.Console", GalleryConsole)
    async with (
        running_node(tmp_path) as node,
        await browser.new_context(
            base_url=node.addresses.api_url,
            viewport={"width": 1280, "height": 800},
            permissions=["clipboard-read", "clipboard-write"],
        ) as context,
    ):
        page = await context.new_page()
        await page.goto("/console/gallery")
        await page.get_by_label("User name").fill("admin")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Site office PC")
        await look(page, "parts")

        asking = page.get_by_role("link", name="Delete", exact=True)
        await asking.focus()
        await page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Delete the data source?")
        await expect(dialog).to_be_visible()
        await expect(dialog.get_by_role("link", name="Cancel")).to_be_focused()
        await look(page, "parts-dialog")
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await expect(asking).to_be_focused()

        await page.get_by_role("button", name="Copy", exact=True).click()
        await expect(page.get_by_role("button", name="Copied")).to_be_visible()
        copied: str = await page.evaluate("() => navigator.clipboard.readText()")
        assert copied.startswith("cloud-connect enrol --relay")

        await asking.click()
        await dialog.get_by_role("button", name="Delete").click()
        await expect(page.get_by_role("status").first).to_contain_text("Details saved")
