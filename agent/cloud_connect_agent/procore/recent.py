"""Pure: which records of a list came before, so that each is delivered once as the list shifts."""

import hashlib
from collections import OrderedDict
from typing import Final

import orjson

from cloud_connect_agent.procore.rows import Row

__all__ = ["Recent"]

_REMEMBERED_IDS: Final = 65_536  # of a list; records shift by a few places, not by so many


class Recent:
    """Remembers the last ids seen, to drop what comes twice as a list shifts."""

    def __init__(self, identity: str) -> None:
        self._identity: Final = identity
        self._ids: OrderedDict[object, None] = OrderedDict()
        self._nameless = b""

    @property
    def named(self) -> bool:
        """Whether records came that have ids: only those are known when they come again."""
        return bool(self._ids)

    def fresh(self, rows: list[Row]) -> list[Row]:
        """Return the rows that did not come before; without ids, a whole page counts as one."""
        if not any(self._identity in row for row in rows):
            digest = hashlib.sha256(orjson.dumps(rows)).digest()
            repeated, self._nameless = digest == self._nameless, digest
            return [] if repeated else rows
        kept = []
        for row in rows:
            record_id = row.get(self._identity)
            if isinstance(record_id, (int, str)):
                if record_id in self._ids:
                    continue
                self._ids[record_id] = None
                if len(self._ids) > _REMEMBERED_IDS:
                    self._ids.popitem(last=False)
            kept.append(row)
        return kept
