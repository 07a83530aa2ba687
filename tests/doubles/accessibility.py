"""Judges a page in the browser by axe-core: what people with a disability could not use."""

import functools
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Page

__all__ = ["assert_accessible"]

_FOLDER: Final = Path(__file__).parents[1] / "browser"
_SCRIPT: Final = _FOLDER / "node_modules" / "axe-core" / "axe.min.js"
_GRAVE: Final = ("serious", "critical")
# The browser's own protocol runs it, so that the page's content security policy stays in force.
_RUN: Final = """async (options) => (await axe.run(document, options)).violations.map(one => ({
    id: one.id, impact: one.impact, help: one.help,
    nodes: one.nodes.map(node => node.html + '\\n      ' +
      [...node.any, ...node.all, ...node.none].map(check => check.message).join('\\n      ')),
}))"""


@functools.cache
def _script() -> str:
    if not _SCRIPT.exists():
        pytest.skip("axe-core is not installed; `npm ci --prefix tests/browser` installs it")
    return _SCRIPT.read_text()


async def assert_accessible(page: Page) -> None:
    """Fail if axe-core finds anything serious or critical, and show each element."""
    if not await page.evaluate("() => 'axe' in window"):
        await page.evaluate(_script())
    found: list[dict[str, Any]] = await page.evaluate(_RUN, {"resultTypes": ["violations"]})
    grave = [
        f"{one['impact']}: {one['help']} ({one['id']})\n    " + "\n    ".join(one["nodes"])
        for one in found
        if one["impact"] in _GRAVE
    ]
    assert not grave, "\n".join((f"{page.url} is not accessible", *grave))
