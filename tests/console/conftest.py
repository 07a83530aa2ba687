from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from doubles.console_browser import Browser, browser
from doubles.relay_node import PASSWORD, Node, running_node


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with running_node(tmp_path) as running:
        yield running


@pytest.fixture
async def admin(node: Node) -> AsyncIterator[Browser]:
    """The administrator's browser."""
    async with browser(node) as opened:
        yield opened


@pytest.fixture
async def stranger(node: Node) -> AsyncIterator[Browser]:
    """The browser of somebody who has not signed in."""
    async with browser(node, sign_in=False) as opened:
        yield opened


@pytest.fixture
async def viewer(node: Node, admin: Browser) -> AsyncIterator[Browser]:
    """The browser of somebody who may look at things and change nothing."""
    made = await admin.post("/people/new", username="vera", role="viewer", password=PASSWORD)
    assert made.status_code == 303
    async with browser(node, sign_in=False) as opened:
        assert (await opened.sign_in("vera")).status_code == 303
        yield opened
