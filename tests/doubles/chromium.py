"""Debian's Chromium, driven by Playwright: nothing is downloaded and no home folder is touched."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, async_playwright

from doubles.tools import tool

__all__ = ["chromium"]

# It runs as root in tests, without a screen, and must not call home.
_FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # small in containers
    "--no-proxy-server",  # the machine's own proxies are none of our business
)


@asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Browser]:
    """Run a browser until the block ends, or skip the test where there is none.

    Args:
        folder: Where all its files go; it must exist.
    """
    program = tool("chromium")
    places = {"HOME": folder, "TMPDIR": folder}
    for name in ("CONFIG", "CACHE", "DATA", "STATE"):
        places[f"XDG_{name}_HOME"] = folder / name.lower()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program,
            args=_FLAGS,
            env={**os.environ, **{name: str(place) for name, place in places.items()}},
        )
        try:
            yield browser
        finally:
            await browser.close()
