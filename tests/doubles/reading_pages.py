"""What a test reads in a page of the console without a browser."""

import re
from html import unescape
from typing import Any

import httpx

from doubles.call_relay import CallRelay

__all__ = ["console", "stored", "value_of", "words"]


def words(page: httpx.Response) -> str:
    """Return the text of a page as a person reads it, on one line."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def value_of(page: httpx.Response, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]*value="([^"]*)"', page.text)
    assert found is not None, name
    return unescape(found[1])


async def stored(relay: CallRelay, path: str) -> dict[str, Any]:
    document: dict[str, Any] = (await relay.api.get(path)).json()
    return document


def console(path: str) -> str:
    return path.removeprefix("/api")
