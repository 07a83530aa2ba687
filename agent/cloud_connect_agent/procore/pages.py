"""Pure: one answer of a list, and what its headers say of the whole."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cloud_connect_agent.procore.messages import ApiResponse, has_next
from cloud_connect_agent.procore.rows import Row, unwrap

__all__ = ["Page", "Unread", "read_page"]

Unread = Callable[[], "Page"]  # a page as it came, to be decoded when it is its turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer of a list.

    Attributes:
        number: From 1.
        total: Records in the whole list, if Procore said.
        per_page: What Procore says a page holds.
        has_next: Whether there is a page after it; ``None`` without a ``Link`` header.
        places: Where the rows stood on it, from 0, if some of it came before and was left out.
        unit: Records of a whole page of this list, where that has been found out.
    """

    number: int
    rows: list[Row]
    total: int | None = None
    per_page: int | None = None
    has_next: bool | None = None
    places: Sequence[int] | None = None
    unit: int | None = None

    @property
    def size(self) -> int:
        """How many records such a page holds; 0 if that cannot be told."""
        if self.number == 1 and self.rows and len(self.rows) < (self.total or 0):
            return len(self.rows)  # Per-Page may echo a size that the server does not hold to
        return self.per_page or len(self.rows)

    def place_of(self, row: int) -> int:
        """Where a row stood on the page as it came, from 0."""
        return row if self.places is None else self.places[row]


def read_page(response: ApiResponse, *, number: int, rule: str) -> Page:
    """Read a page from an answer; of ``Link`` only whether there is a next one counts.

    What a list of groups counts may be groups or records, so that says nothing.
    """
    counts = not rule.startswith("groups:")
    return Page(
        number=number,
        rows=unwrap(response.api_json(), rule),
        total=_count(response.headers, "total") if counts else None,
        per_page=_count(response.headers, "per-page") if counts else None,
        has_next=has_next(response.headers.get("link")),
    )


def _count(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
