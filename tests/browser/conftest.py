"""One browser and one world for all browser tests of a worker; a fresh context for each page."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from doubles.chromium import chromium
from doubles.console_bed import Bed, open_bed
from doubles.visits import PATIENCE, Cookies, Visits

expect.set_options(timeout=PATIENCE)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bed(
    browser: Browser,  # noqa: ARG001 - where there is none, nothing need start
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Bed]:
    async with open_bed(tmp_path_factory.mktemp("bed")) as ready:
        yield ready


@pytest.fixture(scope="session")
def cookies() -> Cookies:
    return {}


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, bed: Bed, cookies: Cookies) -> AsyncIterator[Visits]:
    visits = Visits(browser, bed, cookies)
    yield visits
    await visits.close()
