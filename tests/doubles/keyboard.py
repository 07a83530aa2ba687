"""Somebody who has no mouse: moves by Tab, and must see where they are."""

from typing import Final

from playwright.async_api import Locator, Page

__all__ = ["assert_focus_seen", "press_on", "tab_to", "type_into"]

_MOST_STOPS: Final = 120  # a page with more of them is no page for a keyboard
# The focus is seen by an outline or a ring of the element's, or of what it lies in (a label of a
# hidden box, a cell); and the element must lie in the window, under nothing else (WCAG 2.4.11).
_UNSEEN: Final = """() => {
  const element = document.activeElement;
  if (!element || element === document.body) return 'nothing has the focus';
  const ringed = (one) => {
    const style = getComputedStyle(one);
    const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1;
    return outlined || style.boxShadow !== 'none';
  };
  const near = [element, element.parentElement, element.nextElementSibling,
                element.closest('label'), ...(element.labels || [])];
  if (!near.some(one => one && ringed(one))) return 'it has no ring';
  const box = element.getBoundingClientRect();
  const inside = box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
  if (!inside) return 'it is out of the window';
  if (box.width < 4 || box.height < 4) return null;  // its label is what one sees
  const at = (x, y) => {
    const top = document.elementFromPoint(
      Math.min(Math.max(x, 0), innerWidth - 1), Math.min(Math.max(y, 0), innerHeight - 1));
    return top && (element.contains(top) || top.contains(element)
      || [...(element.labels || [])].some(label => label.contains(top)));
  };
  const middle = (box.left + box.right) / 2;
  const seen = at(middle, (box.top + box.bottom) / 2) || at(middle, box.top + 3)
    || at(middle, box.bottom - 3) || at(box.left + 3, (box.top + box.bottom) / 2);
  return seen ? null : 'it is covered';
}"""
_WHERE: Final = """() => {
  const one = document.activeElement;
  const text = one && (one.getAttribute('aria-label') || one.innerText || one.name || one.id || '');
  return one ? `${one.tagName.toLowerCase()} "${text.trim().slice(0, 40)}"` : 'nothing';
}"""


async def assert_focus_seen(page: Page) -> None:
    """Fail if one cannot see which control has the focus."""
    fault: str | None = await page.evaluate(_UNSEEN)
    if fault is not None:
        raise AssertionError(f"the focus is on {await page.evaluate(_WHERE)}, but {fault}")


async def tab_to(target: Locator, *, backwards: bool = False) -> Locator:
    """Press Tab until *target* has the focus; at each stop the focus must be seen."""
    page = target.page
    await target.wait_for(state="attached")
    passed: list[str] = []
    while not await target.evaluate("element => element === document.activeElement"):
        if len(passed) > _MOST_STOPS:
            raise AssertionError(f"Tab does not lead to {target}, only to {passed}")
        await page.keyboard.press("Shift+Tab" if backwards else "Tab")
        where = await page.evaluate(_WHERE)
        passed.append(where)
        if not where.startswith("body"):  # the browser's own controls lie between end and start
            await assert_focus_seen(page)
    return target


async def press_on(target: Locator, key: str = "Enter") -> None:
    """Move to *target* by Tab and press a key there: Enter, or Space for a box."""
    await tab_to(target)
    await target.page.keyboard.press(key)


async def type_into(target: Locator, text: str) -> None:
    """Move to *target* by Tab and write *text* in place of what is there."""
    await tab_to(target)
    await target.page.keyboard.press("ControlOrMeta+a")
    await target.page.keyboard.type(text)
