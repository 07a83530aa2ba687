"""Calls that wait for a connector to come back: how many may, and how many bytes they hold."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from cloud_connect.errors import QuotaExceededError

__all__ = ["WaitingLines"]

_RETRY_AFTER: Final = 5.0  # seconds; a wait ends within fifteen


@dataclass(slots=True)
class _Line:
    calls: int = 0
    held_bytes: int = 0


class WaitingLines:
    """A bounded line before each connector that is expected back.

    Args:
        max_calls: Calls in one line.
        max_bytes: Bytes of their bodies; the last one may go beyond.
    """

    def __init__(self, *, max_calls: int, max_bytes: int) -> None:
        self._max_calls: Final = max_calls
        self._max_bytes: Final = max_bytes
        self._lines: Final[dict[str, _Line]] = {}
        self._waiting = 0
        self._held_bytes = 0

    def __len__(self) -> int:
        return self._waiting

    @property
    def held_bytes(self) -> int:
        """Bytes of the bodies of those that wait."""
        return self._held_bytes

    @contextlib.contextmanager
    def place(self, connector_ids: Iterable[str], *, held_bytes: int) -> Iterator[None]:
        """Hold a place in each line that has one, until the block ends.

        Args:
            connector_ids: Whoever of them comes first takes the call.
            held_bytes: Bytes of the body that is kept meanwhile.

        Raises:
            QuotaExceededError: If all of the lines are full.
        """
        lines = {one: self._lines.get(one) or _Line() for one in connector_ids}
        entered = {one: line for one, line in lines.items() if self._has_room(line, held_bytes)}
        if not entered:
            raise QuotaExceededError(self._full(lines.values()), retry_after=_RETRY_AFTER)
        self._lines.update(entered)
        self._waiting += 1
        self._held_bytes += held_bytes
        for line in entered.values():
            line.calls += 1
            line.held_bytes += held_bytes
        try:
            yield
        finally:
            self._waiting -= 1
            self._held_bytes -= held_bytes
            for connector_id, line in entered.items():
                line.calls -= 1
                line.held_bytes -= held_bytes
                if not line.calls:
                    del self._lines[connector_id]

    def _has_room(self, line: _Line, held_bytes: int) -> bool:
        if line.calls >= self._max_calls:
            return False
        return not held_bytes or line.held_bytes < self._max_bytes

    def _full(self, lines: Iterable[_Line]) -> str:
        if all(line.calls >= self._max_calls for line in lines):
            limit = f"{self._max_calls} calls"
        else:
            limit = f"calls with {self._max_bytes / (1024 * 1024):g} MiB"
        return (
            f"The connector is not connected, and {limit} wait for it to come back already, which"
            " is the most; nothing was executed, so repeat the request in a moment."
        )
