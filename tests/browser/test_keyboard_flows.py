"""What people do in the console without a mouse: by Tab, with the focus seen at each stop."""

from typing import Any

from playwright.async_api import Locator, Page, expect

from doubles.canaries import remember
from doubles.console_bed import Bed
from doubles.keyboard import press_on, tab_to, type_into
from doubles.visits import BROWSER_TEST, Visits

pytestmark = BROWSER_TEST


async def choose(box: Locator) -> None:
    """Take one of several that exclude each other: Tab leads to the group, arrows within it."""
    page = box.page
    name = await box.get_attribute("name")
    chosen = page.locator(f'[name="{name}"]:checked')
    await tab_to(chosen if await chosen.count() else page.locator(f'[name="{name}"]').first)
    for _ in range(99):
        if await box.is_checked():
            return
        focused = await box.evaluate("element => element === document.activeElement")
        await page.keyboard.press("Space" if focused else "ArrowDown")
    raise AssertionError(f"no arrow leads to {box}")


async def tick(box: Locator) -> None:
    """Move to a box and have it ticked."""
    await tab_to(box)
    if not await box.is_checked():
        await box.page.keyboard.press("Space")
    await expect(box).to_be_checked()


async def known_source(bed: Bed) -> dict[str, Any]:
    answer = await bed.world.api.get(bed.source.base)
    found: dict[str, Any] = answer.json()["settings"]
    return found


async def test_connector_is_paused_resumed_renamed_and_revoked(bed: Bed, visit: Visits) -> None:
    name = bed.name("by-key")
    async with bed.agent(name):
        page = await visit("administrator", "/console/connectors")
        await type_into(page.get_by_role("searchbox"), name)
        await press_on(page.get_by_role("link", name=name, exact=True))
        facts, dialog = page.locator("#facts"), page.get_by_role("dialog")
        drain = page.get_by_role("link", name="Drain")
        await press_on(drain)
        await expect(dialog.get_by_role("heading")).to_have_text(f"Drain {name}?")
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await expect(drain).to_be_focused()
        await press_on(page.get_by_role("link", name="Pause"))
        await tab_to(dialog.get_by_label("For"))
        await page.keyboard.press("ArrowUp")
        await press_on(dialog.get_by_role("button", name="Pause"))
        await expect(page.get_by_text("It takes no calls for 15 minutes.")).to_be_visible()
        await expect(facts).to_contain_text("Paused")
        await press_on(page.get_by_role("button", name="Resume"))
        await expect(facts).to_contain_text("Online")
        await type_into(page.get_by_label("Name"), f"{name}-new")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text(f"{name}-new")
        await press_on(page.get_by_role("link", name="Revoke"))
        await press_on(dialog.get_by_role("button", name="Revoke"))
        await expect(page.get_by_text(f"{name}-new was revoked.")).to_be_visible()


async def test_join_token_is_made_and_copied(visit: Visits) -> None:
    page = await visit("administrator", "/console/connectors")
    await press_on(page.get_by_role("link", name="Add connector"))
    await type_into(page.get_by_label("Group"), "keys")
    await press_on(page.get_by_role("button", name="Make the join token"))
    token = page.get_by_role("group", name="Join token")
    await expect(token).to_be_visible()
    remember("join-token", (await token.inner_text()).strip())
    await tab_to(token)  # where it can be selected whole
    await press_on(page.get_by_role("button", name="Copy").first)


async def test_source_is_made_tested_secured_and_deleted(bed: Bed, visit: Visits) -> None:
    name, known = bed.name("typed"), await known_source(bed)
    page = await visit("administrator", "/console/datasources")
    dialog = page.get_by_role("dialog")
    await press_on(page.get_by_role("link", name="+ Add new"))
    await type_into(page.get_by_label("Datasource Name"), name)
    await type_into(page.get_by_label("Procore Company Id"), str(known["companyId"]))
    await choose(page.locator(f'[name=environment][value="{known["environment"]}"]'))
    await tick(page.get_by_label("Use Kianda Cloud Connect"))
    mine = bed.world.agents["a"].connector_id
    await choose(page.locator(f"[data-connector={mine}] input"))
    await press_on(page.get_by_role("button", name="Save"))
    await expect(page.get_by_text("Details saved successfully")).to_be_visible()
    await press_on(page.get_by_role("button", name="Test connection"))
    await expect(page.get_by_text("Connection test succeeded").first).to_be_visible()
    security = page.get_by_role("link", name="Security")
    await press_on(security)
    await tick(dialog.get_by_label("Enable B2B"))
    await press_on(dialog.get_by_role("button", name="Save").last)
    await expect(dialog).to_be_hidden()
    await press_on(page.get_by_role("link", name="Close"))
    row = page.get_by_role("row").filter(has_text=name)
    await press_on(row.get_by_role("link", name=f"Delete {name}"))
    await press_on(dialog.get_by_role("button", name="OK"))
    await expect(row).to_have_count(0)


async def test_table_is_tried_and_a_record_made(bed: Bed, visit: Visits) -> None:
    name, project = bed.name("keyed"), str(bed.source.project_id)
    source = bed.source.base.rsplit("/", 1)[1]
    page = await visit("operator", f"/console/datasources/{source}/explore")
    dialog = page.get_by_role("dialog")
    await type_into(page.get_by_label("Find a table"), "punch")
    await press_on(page.get_by_role("link", name="Punch").first)
    await press_on(page.get_by_role("link", name="Skip the tables"))
    await type_into(page.get_by_label("Project id"), project)
    await press_on(page.get_by_role("button", name="Try it").last)
    await expect(page.locator("[data-state]")).to_contain_text("row")
    await tab_to(page.get_by_role("link", name="New record"), backwards=True)
    await page.keyboard.press("Enter")
    await type_into(dialog.locator('[name="v.project_id"]'), project)
    await type_into(dialog.locator('[name="v.name"]'), name)
    await press_on(dialog.get_by_role("button", name="Dry run"))
    await expect(dialog.get_by_text("Dry run.")).to_be_visible()
    await press_on(dialog.get_by_role("button", name="Create"))
    await expect(dialog.locator("[data-written]")).to_be_visible()
    await press_on(dialog.get_by_role("link", name="Close"))
    await expect(dialog).to_be_hidden()


async def test_calls_are_searched_and_the_audit_log_verified(bed: Bed, visit: Visits) -> None:
    key = bed.name("key")
    assert (await bed.source.create(bed.name("sought"), key=key)).status == 201
    page = await visit("administrator", "/console/calls")
    await type_into(page.get_by_label("Call id or idempotency key"), key)
    await page.keyboard.press("Enter")
    await expect(page.get_by_text(key, exact=True)).to_be_visible()
    await press_on(page.get_by_role("link", name="Audit", exact=True))
    await tab_to(page.get_by_label("About"))
    await page.keyboard.type("People")
    await press_on(page.get_by_role("button", name="Filter"))
    await expect(page.locator("tbody tr").first).to_contain_text("user")
    await press_on(page.get_by_role("button", name="Verify"))
    await expect(page.get_by_text("The log is whole")).to_be_visible()


async def test_key_person_and_custom_connector_are_made(bed: Bed, visit: Visits) -> None:
    name = bed.name("hands")
    page = await visit("administrator", "/console/keys")
    await press_on(page.get_by_role("link", name="New key"))
    await type_into(page.get_by_role("textbox", name="Name"), name)
    await tick(page.locator('[name=scopes][value="calls:read"]'))
    await press_on(page.get_by_role("button", name="Make the key"))
    await secret_seen(page, "The key")
    await press_on(page.get_by_role("link", name="I have copied it"))
    await press_on(page.get_by_role("link", name=f"Revoke {name}"))
    await press_on(page.get_by_role("dialog").get_by_role("button", name="Revoke"))
    await expect(page.get_by_role("row").filter(has_text=name)).to_have_count(0)

    await press_on(page.get_by_role("link", name="People", exact=True))
    await press_on(page.get_by_role("link", name="New person"))
    await type_into(page.get_by_label("User name"), name)
    await choose(page.locator('[name=role][value="viewer"]'))
    await press_on(page.get_by_role("button", name="Let them sign in"))
    await secret_seen(page, "The password")

    await press_on(page.get_by_role("link", name="Custom connectors", exact=True))
    await press_on(page.get_by_role("link", name="New custom connector"))
    await type_into(page.get_by_label("Title"), name)
    await press_on(page.get_by_role("button", name="Register"))
    await secret_seen(page, "The secret key")


async def secret_seen(page: Page, label: str) -> None:
    shown = page.get_by_role("group", name=label)
    await expect(shown).to_be_visible()
    remember("shown", (await shown.inner_text()).strip())
    await tab_to(shown)
