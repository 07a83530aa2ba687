"""The companies that a token sees, page by page."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final

from cloud_connect_agent.procore.messages import has_next

__all__ = ["PAGE_SIZE", "companies"]

PAGE_SIZE: Final = 100  # as many as Procore gives

_MAX_PAGES: Final = 200

Ask = Callable[[int], Awaitable[tuple[object, str | None]]]


async def companies(ask: Ask) -> AsyncGenerator[dict[str, Any], None]:
    """Yield each company once.

    Args:
        ask: Returns the page of a number, from 1, as it was decoded, and its ``Link`` header.
    """
    seen: set[int] = set()
    for number in range(1, _MAX_PAGES + 1):
        page, link = await ask(number)
        before = len(seen)
        for company in page if isinstance(page, list) else ():
            company_id = company.get("id") if isinstance(company, dict) else None
            if isinstance(company_id, int) and company_id not in seen:
                seen.add(company_id)
                yield company
        # Without the header only an empty page is the end, and a server that ignores the page
        # number must not be asked for ever.
        if len(seen) == before or has_next(link) is False:
            return
