"""Pure: the opaque cursor that says where the next part of an answer begins."""

import base64
import hashlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud_connect.calls import Source
from cloud_connect.errors import InvalidRequestError
from cloud_connect_agent.procore.selection import Selection
from cloud_connect_agent.procore.values import SortKey

__all__ = ["Position", "read_cursor", "write_cursor"]

_REFUSAL: Final = "“paging” does not belong to this query; start again without it."
_TEXT_RANK: Final = 2  # see values.sort_key: from here on keys are text


class Position(BaseModel):
    """Where a reading stopped.

    Attributes:
        target: The list: its scope ids.
        page: The page of it, from 1.
        taken: Rows of that page that were delivered; of a sorted answer, of those that stand
            at its last place.
        per_page: The page size that the numbers refer to.
        last_id: The last record that was looked at, to find the place again if the list shifted.
        total: Records that the list had then, if Procore said: fewer now have moved up.
        unit: Records that such a page really holds, if that is another number than was asked for.
        keys: Of a sorted answer instead: the last record's place in the order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: dict[str, str] = Field(default_factory=dict, alias="t")
    page: int = Field(default=1, ge=1, alias="p")
    taken: int = Field(default=0, ge=0, alias="n")
    per_page: int = Field(default=1, ge=1, le=2000, alias="s")
    last_id: int | str | None = Field(default=None, alias="i")
    total: int | None = Field(default=None, ge=0, alias="c")
    unit: int | None = Field(default=None, ge=1, alias="u")
    keys: tuple[tuple[int, str], ...] | None = Field(default=None, alias="k")

    @property
    def sort_keys(self) -> tuple[SortKey, ...]:
        """The place in the order, as sort keys."""
        return tuple(
            (rank, text if rank >= _TEXT_RANK else _finite(text)) for rank, text in self.keys or ()
        )

    @classmethod
    def in_order(cls, keys: Sequence[SortKey], taken: int = 1) -> "Position":
        """The position behind a record of a sorted answer, *taken* of its equals included."""
        return cls(k=tuple((rank, str(key)) for rank, key in keys), n=taken)

    def came(self, size: int, total: int | None) -> int:
        """Up to which place of the list, in pages of *size*, all came, counted from 1.

        Args:
            total: What Procore counts now. Records that are gone count as having stood before.
        """
        gone = 0 if self.total is None or total is None else max(0, self.total - total)
        return (self.page - 1) * size + self.taken - gone

    def in_pages_of(self, size: int) -> "Position":
        """The same position in pages of another size; of a sorted answer it is in none."""
        if self.keys is not None:
            return self
        before = (self.page - 1) * (self.unit or self.per_page) + self.taken
        moved = {"page": before // size + 1, "taken": before % size, "per_page": size, "unit": None}
        return self.model_copy(update=moved)


def _finite(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError("a key is no number")
    return number


def write_cursor(position: Position, selection: Selection, source: Source) -> str:
    """Make the cursor of a position in a query's answer."""
    document = position.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    packed = orjson.dumps([_mark(selection, source), document])
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_cursor(selection: Selection, source: Source) -> Position | None:
    """Read a selection's cursor, if it has one.

    Raises:
        InvalidRequestError: If it is not a cursor of this query.
    """
    if selection.cursor is None:
        return None
    text = selection.cursor
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        mark, document = orjson.loads(packed)
        position = Position.model_validate(document)
        _ = position.sort_keys
    except (ValueError, TypeError, ArithmeticError, ValidationError) as exc:
        raise InvalidRequestError(_REFUSAL) from exc
    if mark != _mark(selection, source) or (position.keys is None) == bool(selection.order):
        raise InvalidRequestError(_REFUSAL)
    return position


def _mark(selection: Selection, source: Source) -> str:
    """What must be the same for a cursor to mean the same."""
    condition = selection.condition
    parts = [
        selection.resource.name,
        condition.model_dump(mode="json") if condition else None,
        [[order.field, order.descending] for order in selection.order],
        dict(selection.scope),
        source.model_dump(mode="json"),
    ]
    packed = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(packed).hexdigest()[:16]
