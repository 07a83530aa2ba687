"""The parts of pages, all on one: how they look, and that they work."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from doubles.console_gallery import GalleryConsole
from doubles.looks import look
from doubles.relay_node import PASSWORD, running_node
from doubles.visits import BROWSER_TEST

pytestmark = BROWSER_TEST


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
