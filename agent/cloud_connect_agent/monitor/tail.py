"""What the log got since the last look, for who looks again and again and must not wait."""

from pathlib import Path
from typing import Final

from cloud_connect_agent.logs import Mark, last_lines, lines_after

__all__ = ["LogTail"]

_FIRST_LINES: Final = 200  # of what is there already: enough for a window
_MOST_LINES: Final = 2000  # of one look; a terminal has no use for more


class LogTail:
    """Goes on from where the last look ended; no file stays open between two looks."""

    def __init__(self, file: Path) -> None:
        self._file: Final = file
        self._mark: Mark | None = None

    def read(self) -> list[str]:
        """Return the whole lines that are new, oldest first; at the first look the latest.

        A log that is missing or may not be read has none.
        """
        try:
            if self._mark is None:
                mark = Mark.end_of(self._file)
                lines = last_lines(self._file, _FIRST_LINES, until=mark)
                self._mark = mark
            else:
                lines, self._mark = lines_after(self._file, self._mark)
        except OSError:
            return []
        return lines[-_MOST_LINES:]
