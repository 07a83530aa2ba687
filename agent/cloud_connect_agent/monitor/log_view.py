"""The live log in the window: the latest lines, wrapped to its width, and cleared on wish."""

from collections import deque
from collections.abc import Iterable
from typing import Final

from rich.text import Text
from textual.events import Resize
from textual.widgets import RichLog

from cloud_connect_agent.monitor.log_lines import LogLine

__all__ = ["LogView"]

_MAX_LINES: Final = 500  # that can be looked back at; the file has them all
_STYLES: Final = {
    "debug": "dim",
    "warning": "yellow",
    "error": "bold red",
    "critical": "bold red",
}
_MARKS: Final = {"warning": "! ", "error": "✗ ", "critical": "✗ "}  # colour is never alone


class LogView(RichLog):
    """The log; it follows its end until somebody looks back."""

    def __init__(self) -> None:
        super().__init__(id="log", classes="part", max_lines=4 * _MAX_LINES, wrap=True, min_width=1)
        self._lines: Final[deque[LogLine]] = deque(maxlen=_MAX_LINES)
        self._width = 0
        self._following = True
        self._away = False  # seen above the end since somebody began to look back
        self.border_title = "Log"

    def add(self, lines: Iterable[str]) -> None:
        """Show lines of the log file below the others; who looks back is left there."""
        if not self._following:
            at_end = self.is_vertical_scroll_end
            self._following, self._away = self._away and at_end, not at_end
        for line in lines:
            shown = LogLine.of(line)
            self._lines.append(shown)
            self.write(_text(shown), scroll_end=self._following)

    def forget(self, *, at: str) -> None:
        """Clear what is shown.

        Args:
            at: The time of day, which stands in the frame.
        """
        self._lines.clear()
        self.clear()
        self.border_title = f"Log since {at}"

    def action_scroll_up(self) -> None:
        """Look back a line."""
        self._look_back()
        super().action_scroll_up()

    def action_page_up(self) -> None:
        """Look back a page."""
        self._look_back()
        super().action_page_up()

    def action_scroll_home(self) -> None:
        """Look back to the first line."""
        self._look_back()
        super().action_scroll_home()

    def action_scroll_end(self) -> None:
        """Follow the log again."""
        self._following = True
        super().action_scroll_end()

    def _look_back(self) -> None:
        if self.max_scroll_y > 0:
            self._following = self._away = False

    def on_resize(self, event: Resize) -> None:
        """Wrap what is shown anew, and stay at its end where that was in sight."""
        changed = self._width not in {0, event.size.width}
        self._width = event.size.width
        if changed:
            self.clear()
            for line in self._lines:
                self.write(_text(line), scroll_end=False)
        if self._following:
            self.call_after_refresh(self.scroll_end, animate=False)


def _text(line: LogLine) -> Text:
    style = _STYLES.get(line.level, "")
    text = Text(overflow="fold")
    if line.time:
        text.append(f"{line.time} ", "dim")
    text.append(f"{_MARKS.get(line.level, '  ')}{line.event}", style)
    if line.facts:
        text.append(f"  {line.facts}", "dim")
    return text
