"""The API's description in a browser."""

from playwright.async_api import expect

from doubles.accessibility import assert_accessible
from doubles.looks import NARROW, assert_fits
from doubles.visits import BROWSER_TEST, Visits

pytestmark = BROWSER_TEST


async def test_description_fits_a_narrow_window_and_is_for_everybody(visit: Visits) -> None:
    page = await visit(None, "/docs", width=NARROW)
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    await assert_fits(page)
    await assert_accessible(page)
