"""The API's description in a browser."""

from playwright.async_api import expect

from doubles.looks import look
from doubles.visits import BROWSER_TEST, Visits

pytestmark = BROWSER_TEST


async def test_description_looks_well_everywhere(visit: Visits) -> None:
    page = await visit(None, "/docs")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    await look(page, "api-description")
