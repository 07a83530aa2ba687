"""Page parameters and the three headers of a paged list."""

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from procore_simulator.failures import bad_request
from procore_simulator.records import Record
from procore_simulator.resource import Paging

__all__ = ["Page", "demand_page_size", "page_of"]


class Page:
    """One page of a list, and its headers."""

    __slots__ = ("headers", "rows")

    def __init__(self, rows: Sequence[Record], headers: tuple[tuple[str, str], ...]) -> None:
        self.rows = rows
        self.headers = headers


def _number(text: str | None, default: int) -> int:
    try:
        return int(text) if text is not None else default
    except ValueError:
        return default


def demand_page_size(query: list[tuple[str, str]], paging: Paging) -> None:
    """Hold ``per_page`` to the list's maximum.

    Raises:
        ApiError: 400 when it is more.
    """
    size = _number(dict(query).get("per_page"), 0)
    if 0 < paging.maximum < size:
        raise bad_request(f"per_page must be at most {paging.maximum}", fields="per_page")


def page_of(
    rows: Sequence[Record],
    query: list[tuple[str, str]],
    paging: Paging,
    *,
    url: str,
    keep_query: bool,
    always_link: bool = False,
) -> Page:
    """Cut the page that *query* asks for out of *rows*.

    Args:
        url: The absolute address of the list, for the links.
        keep_query: Whether links repeat the other query parameters.
        always_link: Send an empty ``Link`` when everything fits on one page (v2).
    """
    if paging.maximum == 0:
        return Page(rows, ())
    wanted = dict(query)
    size = _number(wanted.get("per_page"), paging.default)
    size = paging.default if size < 1 else min(size, paging.maximum)
    number = max(1, _number(wanted.get("page"), 1))
    total = len(rows)
    last = max(1, -(-total // size))
    start = (number - 1) * size
    headers = [("Total", str(total)), ("Per-Page", str(size))]
    rest = [pair for pair in query if pair[0] not in {"page", "per_page"}] if keep_query else []

    def link(page: int, relation: str) -> str:
        arguments = [*rest, ("page", str(page)), ("per_page", str(size))]
        return f'<{url}?{urlencode(arguments, quote_via=quote)}>; rel="{relation}"'

    links = []
    if number > 1:
        links += [link(1, "first"), link(min(number - 1, last), "prev")]
    if number < last:
        links += [link(number + 1, "next"), link(last, "last")]
    elif number > 1:
        links.append(link(last, "last"))
    if links or always_link:
        headers.append(("Link", ", ".join(links)))
    return Page(rows[start : start + size], tuple(headers))
