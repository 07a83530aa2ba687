"""Pure: how far a list has been read, though records leave it and those behind them move up."""

from typing import Final

__all__ = ["Coverage"]


class Coverage:
    """Tells up to which place of a list each record came, whenever it is looked at again.

    Pages are read at different moments, and Procore's ``Total`` tells these apart: with *n*
    records fewer, what stood at a place stands up to *n* places before it. The other way round
    nothing is lost: what had come up to a place at a later moment had come up to it before, too,
    but for what has left. Of records that leave and others that come at the same time, a count
    tells nothing.
    """

    def __init__(self) -> None:
        # Counts and places; none that another one tells as much as.
        self._known: Final[list[tuple[int, int]]] = []

    def upto(self, total: int) -> int:
        """The place, counted from 1, up to which all came, in a list of so many records."""
        return max(
            (place - max(0, then - total) for then, place in self._known),
            default=0,
        )

    def note(self, total: int, place: int) -> None:
        """All came up to that place of a list of so many records."""
        if place <= self.upto(total):
            return
        self._known[:] = [
            (then, before) for then, before in self._known if before > place - max(0, total - then)
        ]
        self._known.append((total, place))
