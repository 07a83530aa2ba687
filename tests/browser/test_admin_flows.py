"""Calls, the audit log, keys, people and custom connectors, in a real browser."""

import httpx
from playwright.async_api import Page, expect

from doubles.canaries import remember
from doubles.console_bed import Bed
from doubles.looks import look
from doubles.visits import BROWSER_TEST, Visits, sign_in

pytestmark = BROWSER_TEST


async def shown(page: Page, label: str) -> str:
    """Return the secret that a page shows under *label*, once."""
    secret = (await page.get_by_role("group", name=label).inner_text()).strip()
    remember("shown", secret)
    return secret


async def test_call_is_found_and_tells_where_its_time_went(bed: Bed, visit: Visits) -> None:
    key = bed.name("key")
    attempt = await bed.source.create(bed.name("looked-for"), key=key)
    assert attempt.status == 201
    page = await visit("operator", "/console/calls")
    await page.get_by_label("Call id or idempotency key").fill(key)
    await page.keyboard.press("Enter")  # leads to the one call that has it
    await expect(page.get_by_text(key, exact=True)).to_be_visible()
    await expect(page.get_by_role("table", name="Milliseconds by hop")).to_contain_text("Procore")
    await look(page, "call")


async def test_new_calls_come_into_the_list_by_themselves(bed: Bed, visit: Visits) -> None:
    page = await visit("operator", "/console/calls?operation=create")
    rows = page.locator("#rows tbody tr")
    await bed.source.create(bed.name("before"))
    await page.reload()
    first = await rows.first.inner_text()
    await bed.source.create(bed.name("after"))
    await expect(rows.first).not_to_have_text(first)


async def test_audit_log_is_filtered_verified_and_exported(visit: Visits) -> None:
    page = await visit("administrator", "/console/audit")
    await page.get_by_label("About").select_option(label="People")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.locator("tbody tr").first).to_contain_text("user")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Export").click()
    name = (await download.value).suggested_filename
    assert name == "audit.ndjson"
    await page.get_by_role("button", name="Verify").click()
    await expect(page.get_by_text("The log is whole")).to_be_visible()
    await look(page, "audit-verified")


async def test_key_is_shown_once_works_and_ends(bed: Bed, visit: Visits) -> None:
    name = bed.name("program")
    page = await visit("administrator", "/console/keys")
    await page.get_by_role("link", name="New key").click()
    await page.get_by_role("textbox", name="Name").fill(name)
    await page.locator('[name=scopes][value="calls:read"]').check()
    await look(page, "key-new")
    await page.get_by_role("button", name="Make the key").click()
    secret = await shown(page, "The key")
    async with httpx.AsyncClient(base_url=bed.origin, trust_env=False) as http:
        headers = {"Authorization": f"Bearer {secret}"}
        assert (await http.get("/api/calls", headers=headers)).status_code == 200
        await page.get_by_role("link", name="I have copied it").click()
        assert secret not in await page.content()
        await page.get_by_role("link", name=f"Revoke {name}").click()
        await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        await expect(page.get_by_role("row").filter(has_text=name)).to_have_count(0)
        assert (await http.get("/api/calls", headers=headers)).status_code == 401


async def test_person_is_let_in_signs_in_and_changes_the_password(bed: Bed, visit: Visits) -> None:
    name = bed.name("person")
    page = await visit("administrator", "/console/people/new")
    await page.get_by_label("User name").fill(name)
    await page.locator('[name=role][value="viewer"]').check()
    await look(page, "person-new")
    await page.get_by_role("button", name="Let them sign in").click()
    password = await shown(page, "The password")
    page = await visit(None, "/console/sign-in")
    await page.get_by_label("User name").fill(name)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("banner")).to_contain_text(name)


async def test_custom_connector_shows_its_secret_once_and_its_addresses(
    bed: Bed, visit: Visits
) -> None:
    title = bed.name("platform")
    page = await visit("administrator", "/console/custom-connectors/new")
    await page.get_by_label("Title").fill(title)
    await look(page, "custom-connector-new")
    await page.get_by_role("button", name="Register").click()
    secret = await shown(page, "The secret key")
    for place in ("/metadata", "/test", "/query"):
        await expect(page.get_by_text(place).first).to_be_visible()
    await look(page, "custom-connector-made")
    await page.get_by_role("link", name="I have copied them").click()
    await page.get_by_role("link", name=title, exact=True).click()
    assert secret not in await page.content()


async def test_partner_uses_sources_and_hears_of_nothing_else(bed: Bed, visit: Visits) -> None:
    person = await bed.person("partner")
    page = await visit(None, "/console/")
    await sign_in(page, person)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    assert visit.last is not None
    assert not any("/events" in address for address in visit.last.requests)
