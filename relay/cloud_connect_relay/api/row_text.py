"""Rows, one a line, turned into the members of a JSON array without being decoded."""

from typing import Final

__all__ = ["LineCounter", "RowJoiner"]

_NEWLINE: Final = b"\n"


class LineCounter:
    """Counts the rows that pass, wherever the pieces are cut."""

    def __init__(self) -> None:
        self.rows = 0
        self._in_row = False

    def feed(self, piece: bytes) -> bytes:
        """Take in a piece, which is not empty, and return it."""
        self.rows += piece.count(_NEWLINE)
        self._in_row = not piece.endswith(_NEWLINE)
        return piece

    @property
    def total(self) -> int:
        """The rows so far, an unended last one included."""
        return self.rows + self._in_row


class RowJoiner(LineCounter):
    """Joins rows with commas: a line's end becomes one as soon as another row follows."""

    def __init__(self) -> None:
        super().__init__()
        self._owed = False

    def feed(self, piece: bytes) -> bytes:
        """Take in a piece of lines and return it as a piece of an array's inside."""
        if not piece:
            return piece
        super().feed(piece)
        ended = piece.endswith(_NEWLINE)
        joined = (piece[:-1] if ended else piece).replace(_NEWLINE, b",")
        if self._owed:
            joined = b"," + joined
        self._owed = ended
        return joined
