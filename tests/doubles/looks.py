"""How a page looks: light and dark, wide and narrow, kept as pictures and judged.

The pictures go to ``screenshots/`` (not in Git): light and wide, dark and narrow, and with
``CLOUD_CONNECT_PICTURES=all`` the other two as well, which share their colours with the one and
their layout with the other. With ``CLOUD_CONNECT_PICTURES=docs`` those that the documentation shows
are renewed in ``docs/images/``, too.
"""

import os
from pathlib import Path
from typing import Final, Literal

from playwright.async_api import FloatRect, Page

from doubles.accessibility import assert_accessible

__all__ = ["NARROW", "WIDE", "assert_fits", "look"]

WIDE: Final = 1280
NARROW: Final = 360
_HEIGHTS: Final = {WIDE: 800, NARROW: 740}
_LONGEST: Final = 4000  # pixels of a page that a picture shows
_ROOT: Final = Path(__file__).parents[2]
_PICTURES: Final = _ROOT / "screenshots" / "console"
_DOCS: Final = _ROOT / "docs" / "images"
_SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
# What sticks out to the right, and is in no box of its own that scrolls.
_TOO_WIDE: Final = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const scrolls = (element) => {
    for (let one = element.parentElement; one && one !== document.body; one = one.parentElement)
      if (getComputedStyle(one).overflowX !== 'visible') return true;
    return false;
  };
  return ['the page is ' + document.documentElement.scrollWidth + ' px wide, of ' + width]
    .concat([...document.querySelectorAll('body *')]
      .filter(one => one.getBoundingClientRect().right > width + 1 && !scrolls(one))
      .slice(0, 10).map(one => one.outerHTML.slice(0, 160)));
}"""
_STILL: Final = """async () => {
  await document.fonts.ready;
  const ending = document.getAnimations().filter(
    one => one.effect && one.effect.getComputedTiming().iterations !== Infinity);
  await Promise.allSettled(ending.map(one => one.finished));
}"""


async def assert_fits(page: Page) -> None:
    """Fail if the page as a whole scrolls sideways."""
    found: list[str] = await page.evaluate(_TOO_WIDE)
    assert not found, "\n  ".join((f"{page.url} scrolls sideways:", *found))


async def _picture(page: Page, place: Path, width: int) -> None:
    # What sticks to the window's edge would stand in the middle of a page that is scrolled.
    height: int = await page.evaluate(
        "() => { window.scrollTo(0, 0); return document.documentElement.scrollHeight; }"
    )
    shown = FloatRect(x=0, y=0, width=width, height=min(height, _LONGEST))
    await page.screenshot(path=place, full_page=True, animations="disabled", clip=shown)


async def look(page: Page, name: str, *, docs: bool = False, accessible: bool = True) -> None:
    """Take a picture of the page in each look, and have each judged.

    The page is as wide and as light afterwards as it was before.

    Args:
        name: Of the files, such as ``connectors-empty``.
        docs: Whether the documentation shows the wide one, in light and dark.
        accessible: Whether axe-core judges it, too.
    """
    asked = os.environ.get("CLOUD_CONNECT_PICTURES")
    before = page.viewport_size
    dark = await page.evaluate("() => matchMedia('(prefers-color-scheme: dark)').matches")
    _PICTURES.mkdir(parents=True, exist_ok=True)
    try:
        for width in (WIDE, NARROW):
            await page.set_viewport_size({"width": width, "height": _HEIGHTS[width]})
            for scheme in _SCHEMES:
                if not asked and (width == WIDE) != (scheme == "light"):
                    continue
                await page.emulate_media(color_scheme=scheme)
                await page.evaluate(_STILL)
                place = _PICTURES / f"{name}-{scheme}-{width}.png"
                await _picture(page, place, width)
                if docs and width == WIDE and asked == "docs":
                    _DOCS.mkdir(exist_ok=True)
                    (_DOCS / f"{name}-{scheme}.png").write_bytes(place.read_bytes())
                await assert_fits(page)
                if accessible:
                    await assert_accessible(page)
    finally:
        await page.emulate_media(color_scheme="dark" if dark else "light")
        if before is not None:
            await page.set_viewport_size(before)
