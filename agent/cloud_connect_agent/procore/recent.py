"""Pure: which records of a list came before, so that each is delivered once as the list shifts."""

import hashlib
from collections import OrderedDict
from typing import Final

import orjson

from cloud_connect_agent.procore.rows import Row

__all__ = ["Recent"]

_REMEMBERED_IDS: Final = 65_536  # of a list; records shift by a few places, not by so many


class Recent:
    """Remembers the last ids seen.

    Args:
        identity: The field that holds a record's id.
    """

    def __init__(self, identity: str) -> None:
        self._identity: Final = identity
        self._ids: OrderedDict[object, None] = OrderedDict()
        self._nameless = b""

    @property
    def named(self) -> bool:
        """Whether records came that have ids: only those are known when they come again."""
        return bool(self._ids)

    def knows(self, row: Row) -> bool:
        """Whether this very record came before."""
        record_id = row.get(self._identity)
        return isinstance(record_id, (int, str)) and record_id in self._ids

    def fresh(self, rows: list[Row], *, skip: int = 0) -> list[int]:
        """Return the places of those that did not come before, from 0.

        Without ids, a whole page counts as one record.

        Args:
            skip: Rows at the beginning that have been delivered another time.
        """
        if not any(self._identity in row for row in rows):
            digest = hashlib.sha256(orjson.dumps(rows)).digest()
            repeated, self._nameless = digest == self._nameless, digest
            return [] if repeated else list(range(min(skip, len(rows)), len(rows)))
        kept = []
        for place, row in enumerate(rows):
            record_id = row.get(self._identity)
            if isinstance(record_id, (int, str)):
                if record_id in self._ids:
                    continue
                self._ids[record_id] = None
                if len(self._ids) > _REMEMBERED_IDS:
                    self._ids.popitem(last=False)
            if place >= skip:
                kept.append(place)
        return kept
