"""What pages cost with a big company's store; benchmarks/console_pages.py tells the time."""

import re
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio
from sqlalchemy import event
from sqlalchemy.engine import Engine

from cloud_connect_relay.console.navigation import AREAS
from doubles.console_browser import Browser, browser
from doubles.large_store import CALLS, CONNECTORS, fill
from doubles.relay_node import running_node

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(120),
    pytest.mark.slow,
]

MOST_BYTES = 1_000_000  # with all that a page loads
MOST_STATEMENTS = 25  # a page that asks for each row of a list needs far more
LOADED = re.compile(r'(?:src|href)="(/console/static/[^"]+)"')


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def admin(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    folder = tmp_path_factory.mktemp("large")
    async with running_node(folder) as node:
        await fill(
            node.store.storage,
            node.store.subscription_id,
            connectors_count=CONNECTORS,
            calls_count=CALLS,
        )
        async with browser(node) as opened:
            yield opened
    shutil.rmtree(folder)  # too large to be searched for secrets after the run


@contextmanager
def statements() -> Iterator[list[str]]:
    """Note what the store is asked meanwhile."""
    asked: list[str] = []

    def note(*facts: object) -> None:
        asked.append(str(facts[2]))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize("path", [area.path for area in AREAS])
async def test_page_stays_small_and_asks_the_store_little(admin: Browser, path: str) -> None:
    await admin.get(path)  # what is kept from one request to the next is kept by now
    with statements() as asked:
        page = await admin.get(path)
    assert page.status_code == 200
    assert len(asked) <= MOST_STATEMENTS, asked
    loaded = [await admin.client.get(url) for url in set(LOADED.findall(page.text))]
    assert all(one.status_code == 200 for one in loaded)
    assert len(page.content) + sum(len(one.content) for one in loaded) < MOST_BYTES
