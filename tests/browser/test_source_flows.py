"""A data source from *+ Add new* to *Delete*, and what its tables offer, in a real browser."""

from typing import Any

from playwright.async_api import Page, expect

from doubles.console_bed import Bed
from doubles.looks import look
from doubles.visits import BROWSER_TEST, Visits

pytestmark = BROWSER_TEST


async def shared_source(bed: Bed) -> dict[str, Any]:
    """Return the data source that everybody sees."""
    answer = await bed.world.api.get(bed.source.base)
    found: dict[str, Any] = answer.json()
    return found


async def use_connector(page: Page) -> None:
    """Turn *Use Kianda Cloud Connect* on, as a person does: by its words."""
    await page.get_by_text("Use Kianda Cloud Connect", exact=True).click()
    await expect(page.get_by_label("Use Kianda Cloud Connect")).to_be_checked()


async def test_source_is_saved_incomplete_then_tested_and_deleted(bed: Bed, visit: Visits) -> None:
    name, known = bed.name("source"), await shared_source(bed)
    page = await visit("administrator", "/console/datasources")
    await page.get_by_role("link", name="+ Add new").click()
    await page.get_by_label("Datasource Name").fill(name)
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Details saved successfully")).to_be_visible()
    await expect(page.locator("#source-status")).to_contain_text("incomplete")
    await expect(page.get_by_role("button", name="Authorize")).to_be_hidden()
    await page.get_by_label("Procore Company Id").fill(str(known["settings"]["companyId"]))
    await expect(page.get_by_role("button", name="Authorize")).to_be_visible()
    await page.locator(f'[name=environment][value="{known["settings"]["environment"]}"]').check()
    connectors = page.get_by_role("list", name="Connector PCs")
    await expect(connectors).to_be_hidden()
    await use_connector(page)
    await expect(connectors).to_be_visible()
    await look(page, "datasource")
    mine = bed.world.agents["a"].connector_id
    await connectors.locator(f"[data-connector={mine}] input").check()
    await page.get_by_role("button", name="Test connection").click()
    await expect(page.get_by_text("Connection test succeeded").first).to_be_visible()
    await expect(page.locator("#source-status")).to_contain_text("ready")
    await look(page, "datasource-tested")
    await page.get_by_role("link", name="Close").click()
    row = page.get_by_role("row").filter(has_text=name)
    await expect(row).to_contain_text("Procore")
    await row.get_by_role("link", name=f"Delete {name}").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_text("Cancel", exact=True).click()
    await expect(row).to_be_visible()
    await row.get_by_role("link", name=f"Delete {name}").click()
    await dialog.get_by_role("button", name="OK").click()
    await expect(row).to_have_count(0)


async def test_what_is_not_saved_is_asked_about_before_it_is_lost(bed: Bed, visit: Visits) -> None:
    page = await visit("administrator", "/console/datasources/new")
    await page.get_by_label("Datasource Name").fill(bed.name("lost"))
    await page.get_by_role("link", name="Close").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("heading")).to_have_text("Close without saving?")
    await dialog.get_by_role("button", name="Keep editing").click()
    await expect(dialog).to_be_hidden()
    await page.get_by_role("link", name="Close").click()
    await dialog.get_by_role("link", name="Close without saving").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Data sources")


async def test_connector_state_in_a_source_is_live(bed: Bed, visit: Visits) -> None:
    page = await visit("administrator", "/console/datasources/new")
    await use_connector(page)
    name = bed.name("live")
    entry = page.get_by_role("listitem").filter(has_text=name)
    async with bed.agent(name):
        await page.reload()
        await use_connector(page)
        await expect(entry).to_contain_text("Online")
    await expect(entry).to_contain_text("Offline")
    await expect(page.get_by_label("Use Kianda Cloud Connect")).to_be_checked()


async def test_security_lets_partners_see_what_a_mapping_says(bed: Bed, visit: Visits) -> None:
    known = await shared_source(bed)
    mine = bed.world.agents["a"].connector_id
    made = await bed.world.api.post(
        "/api/datasources",
        json={
            "title": bed.name("secured"),
            "settings": known["settings"],
            "useConnector": True,
            "connectorId": mine,
        },
    )
    assert made.status_code == 201, made.text
    page = await visit("administrator", f"/console/datasources/{made.json()['id']}")
    await page.get_by_role("link", name="Security").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_text("Enable B2B", exact=True).click()
    await dialog.get_by_text("Enable partner default query parameters", exact=True).click()
    await dialog.get_by_role("button", name="Add mapping").click()
    await dialog.get_by_label("Table").fill("rfis")
    await dialog.get_by_label("Field of condition 1").fill("status")
    await dialog.get_by_label("Value of condition 1").fill("open")
    await look(page, "datasource-security")
    await dialog.get_by_role("button", name="Save").last.click()
    await expect(dialog).to_be_hidden()
    saved = (await bed.world.api.get(f"/api/datasources/{made.json()['id']}")).json()
    assert saved["enableB2B"] is True
    (mapping,) = saved["b2bMappings"]
    assert "rfis" in str(mapping)


async def test_table_is_found_and_tried(bed: Bed, visit: Visits) -> None:
    marker = bed.name("tried")
    attempt = await bed.source.create(marker)
    assert attempt.status == 201
    source = bed.source.base.rsplit("/", 1)[1]
    page = await visit("administrator", f"/console/datasources/{source}/explore")
    await page.get_by_label("Find a table").fill("punch")
    await page.get_by_role("link", name="Punch").first.click()
    await page.get_by_label("Project id").fill(str(bed.source.project_id))
    await page.get_by_role("button", name="Try it").last.click()
    await expect(page.locator("[data-state]")).to_contain_text("row")
    await expect(page.locator("[data-frame]")).to_contain_text(marker)
    await expect(page.locator("[data-hops]")).to_contain_text("Procore")
    await look(page, "explore", docs=True)


async def test_record_is_made_changed_and_deleted_after_a_dry_run(bed: Bed, visit: Visits) -> None:
    name = bed.name("made")
    source = bed.source.base.rsplit("/", 1)[1]
    page = await visit("operator", f"/console/datasources/{source}/explore?table=punch_items")
    await page.get_by_label("Project id").fill(str(bed.source.project_id))
    await page.get_by_label("Row limit").fill("1000")
    dialog, rows = page.get_by_role("dialog"), page.locator("[data-body] tr")
    tried = page.get_by_role("button", name="Try it").last

    await page.get_by_role("link", name="New record").click()
    await dialog.locator('[name="v.project_id"]').fill(str(bed.source.project_id))
    await dialog.locator('[name="v.name"]').fill(name)
    await dialog.get_by_role("button", name="Dry run").click()
    await expect(dialog.get_by_text("Dry run.")).to_be_visible()
    await look(page, "record-dry-run")
    await dialog.get_by_role("button", name="Create").click()
    await expect(dialog.locator("[data-written]")).to_be_visible()
    await dialog.get_by_role("link", name="Close").click()

    await tried.click()
    await rows.filter(has_text=name).get_by_role("link", name="Edit").click()
    await dialog.locator('[name="v.name"]').fill(f"{name}-new")
    await dialog.get_by_role("button", name="Save changes").click()
    await expect(dialog.locator("[data-written]")).to_be_visible()
    await dialog.get_by_role("link", name="Close").click()

    await tried.click()
    await rows.filter(has_text=f"{name}-new").get_by_role("link", name="Delete").click()
    await dialog.get_by_role("button", name="Delete the record").click()
    await expect(dialog.locator("[data-written]")).to_be_visible()
    await dialog.get_by_role("link", name="Close").click()
    await tried.click()
    await expect(page.locator("[data-state]")).to_contain_text("all after")
    await expect(rows.filter(has_text=name)).to_have_count(0)


async def test_explorer_works_without_scripts(bed: Bed, visit: Visits) -> None:
    marker = bed.name("plain")
    attempt = await bed.source.create(marker)
    assert attempt.status == 201
    source = bed.source.base.rsplit("/", 1)[1]
    page = await visit(
        "operator", f"/console/datasources/{source}/explore?table=punch_items", scripts=False
    )
    await page.get_by_label("Project id").fill(str(bed.source.project_id))
    await page.get_by_role("button", name="Try it").last.click()
    await expect(page.locator("[data-frame]")).to_contain_text(marker)
