"""What administrators do with connectors, from the first click to the last, in a real browser."""

import re

from playwright.async_api import Page, expect

from doubles.canaries import remember
from doubles.console_bed import Bed
from doubles.looks import look
from doubles.visits import BROWSER_TEST, Visits

pytestmark = BROWSER_TEST


async def joined(page: Page) -> str:
    """Make a join token, and return it as the page shows it."""
    await page.get_by_role("button", name="Make the join token").click()
    token = await page.get_by_role("group", name="Join token").inner_text()
    remember("join-token", token.strip())
    return token.strip()


async def test_connector_is_added_and_the_page_turns_green_by_itself(
    bed: Bed, visit: Visits
) -> None:
    page = await visit("administrator", "/console/connectors")
    await page.get_by_role("link", name="Add connector").click()
    await look(page, "connector-add")
    await page.get_by_label("Group").fill("site")
    token = await joined(page)
    await expect(page.get_by_text("Waiting for the PC…")).to_be_visible()
    for system in ("Linux", "Windows", "Container"):
        await expect(page.get_by_role("heading", name=system)).to_be_visible()
    assert (await page.content()).count(token) == 1  # no command holds it
    name = bed.name("added")
    async with bed.agent(name, token=token):
        await expect(page.get_by_text(f"{name} is connected.")).to_be_visible()
        await look(page, "connector-added")
        await page.get_by_role("link", name="Look at it").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text(name)
        await expect(page.get_by_label("Group")).to_have_value("site")


async def test_list_follows_a_connector_that_comes_and_goes(bed: Bed, visit: Visits) -> None:
    page = await visit("viewer", "/console/connectors")
    name = bed.name("passing")
    row = page.get_by_role("row").filter(has_text=name)
    async with bed.agent(name):
        await expect(row).to_contain_text("Online")
    await expect(row).to_contain_text("Offline")


async def test_detail_tells_all_and_its_changes_are_seen(bed: Bed, visit: Visits) -> None:
    name = bed.name("renamed")
    async with bed.agent(name) as agent:
        page = await visit("administrator", f"/console/connectors/{agent.connector_id}")
        await expect(page.get_by_role("row").filter(has_text="Last 24 hours")).to_be_visible()
        await page.get_by_text("Last connections").click()
        await expect(page.get_by_role("listitem").filter(has_text="until now")).to_be_visible()
        await look(page, "connector", docs=True)
        await page.get_by_role("button", name="Ask for an echo").click()
        await expect(page.get_by_text(re.compile(r"It answered after [0-9.]+ ms"))).to_be_visible()
        await page.get_by_label("Name").fill(f"{name}-new")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text(f"{name}-new")
        await page.get_by_label("Name").fill("")
        visit.expect(422)
        await page.get_by_label("Name").evaluate("field => field.form.noValidate = true")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text(f"{name}-new")


async def test_draining_and_revoking_are_asked_about_first(bed: Bed, visit: Visits) -> None:
    name = bed.name("leaving")
    async with bed.agent(name) as agent:
        page = await visit("administrator", f"/console/connectors/{agent.connector_id}")
        facts = page.locator("#facts")
        await page.get_by_role("link", name="Drain").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("heading")).to_have_text(f"Drain {name}?")
        await look(page, "connector-drain")
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await page.get_by_role("link", name="Drain").click()
        await dialog.get_by_role("button", name="Drain").click()
        await expect(facts).to_contain_text("Draining")
        await page.get_by_role("button", name="Take calls again").click()
        await expect(facts).to_contain_text("Online")
        await page.get_by_role("link", name="Pause").click()
        await expect(dialog.get_by_role("heading")).to_have_text(f"Pause {name}?")
        await look(page, "connector-pause")
        await dialog.get_by_label("For").select_option("15 minutes")
        await dialog.get_by_role("button", name="Pause").click()
        await expect(facts).to_contain_text("Paused")
        await expect(facts).to_contain_text("An administrator paused it until")
        await page.get_by_role("button", name="Resume").click()
        await expect(facts).to_contain_text("Online")
        await page.get_by_role("link", name="Revoke").click()
        await dialog.get_by_role("button", name="Revoke").click()
        await expect(page.get_by_text(f"{name} was revoked.")).to_be_visible()


async def test_viewer_is_offered_nothing_that_changes_a_connector(bed: Bed, visit: Visits) -> None:
    page = await visit("viewer", f"/console/connectors/{bed.world.agents['a'].connector_id}")
    await expect(page.get_by_role("heading", name="History")).to_be_visible()
    for name in ("Pause", "Drain", "Revoke"):
        await expect(page.get_by_role("link", name=name)).to_have_count(0)
    await expect(page.get_by_role("button", name="Save")).to_have_count(0)


async def test_overview_charts_the_calls_of_the_hour(bed: Bed, visit: Visits) -> None:
    attempt = await bed.source.create(bed.name("charted"))
    assert attempt.status == 201
    page = await visit("viewer")
    chart = page.get_by_role("img", name=re.compile("Calls per minute of the last hour"))
    await expect(chart).to_be_visible()
    await expect(page.get_by_role("img", name=re.compile("Time of a call, by hop"))).to_be_visible()
    assert await chart.locator("rect.part-calls").count() > 0
    await look(page, "overview", docs=True)
