"""The window itself: lays out the parts, asks the agent each second, heeds the keys."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Final, Protocol

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid
from textual.content import Content
from textual.widgets import Footer, Static
from textual.worker import WorkerFailed

from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.durations import time_of_day
from cloud_connect_agent.monitor.accounts import AccountLine
from cloud_connect_agent.monitor.dialogs import HelpDialog, PauseChoice, PauseDialog
from cloud_connect_agent.monitor.log_view import LogView
from cloud_connect_agent.monitor.reading import CallError, Reading
from cloud_connect_agent.monitor.tail import LogTail

__all__ = ["MonitorWindow"]

_ASK_SECONDS: Final = 1.0  # between two looks at the agent
_LOG_SECONDS: Final = 0.3  # between two looks at the log file
_FACTS: Final = 10
_LABEL: Final = 12  # columns of a fact's name
_MAX_NOTES: Final = 3
_SHOWN_ERRORS: Final = 3
_MAX_PART_LINES: Final = 4  # of accounts or errors: the log is what the room is for
_NOTHING: Final = "-"


class _Agent(Protocol):
    def read(self) -> Reading: ...
    def pause(self, seconds: float | None) -> None: ...
    def resume(self) -> None: ...


def _now() -> datetime:
    return datetime.now(UTC)


class MonitorWindow(App[None]):
    """Shows one agent until it is closed; the agent never notices.

    Args:
        agent: Whom to ask; its methods may block for seconds.
        log_file: What the agent logs to.
        clock: Tells the time of day.
    """

    CSS_PATH = Path(__file__).with_name("window.tcss")
    TITLE = "Cloud Connect"
    ENABLE_COMMAND_PALETTE = False
    # textual does not say that these two belong to the class, so neither can we.
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-narrow"),
        (76, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-short"),
        (12, "-low"),
        (20, "-high"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "Pause"),
        Binding("r", "resume", "Resume"),
        Binding("c", "clear", "Clear log"),
        Binding("question_mark,f1", "explain", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),
    ]

    def __init__(
        self, agent: _Agent, *, log_file: Path, clock: Callable[[], datetime] = _now
    ) -> None:
        super().__init__()
        self._agent: Final = agent
        self._log_file: Final = log_file
        self._clock: Final = clock
        self._reading: Reading | None = None
        self._shown: Final[dict[str, str]] = {}
        self.theme = "ansi-dark"  # the terminal's own colours, be it dark or light

    def compose(self) -> ComposeResult:
        """Lay out the parts."""
        yield Static(id="title")
        yield Static(id="status")
        yield Static(id="notes")
        with Grid(id="facts"):
            for number in range(_FACTS):
                yield Static(id=f"fact-{number}", classes="fact")
        accounts = Static(id="accounts", classes="part")
        accounts.border_title = "Procore accounts"
        yield accounts
        errors = Static(id="errors", classes="part")
        errors.border_title = "Last errors"
        yield errors
        yield LogView()
        yield Footer()

    @property
    def failure(self) -> BaseException | None:
        """What broke the window, if it broke; the command line tells people."""
        error = self._exception
        return error.error if isinstance(error, WorkerFailed) else error

    def _print_error_renderables(self) -> None:
        """Print no traceback with values in it, as textual would."""
        self._exit_renderables.clear()

    def on_mount(self) -> None:
        """Begin to look."""
        self._show_title("")
        self.query_one("#status", Static).update(Content.styled("asks the agent …", "dim"))
        self.query_one(LogView).focus()
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        self.run_worker(self._watch_agent(), name="watch-agent", group="agent")
        self.run_worker(self._watch_log(), name="watch-log", group="log")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what can be done at the moment."""
        del parameters
        reading = self._reading
        match action:
            case "pause":
                return reading is not None and reading.can_pause
            case "resume":
                return reading is not None and reading.can_resume
            case _:
                return True

    async def action_pause(self) -> None:
        """Ask for how long, and pause."""

        def answered(choice: PauseChoice | None) -> None:
            if choice is not None:
                self._order(lambda: self._agent.pause(choice.seconds))

        await self.push_screen(PauseDialog(), answered)

    def action_resume(self) -> None:
        """Take calls again."""
        self._order(self._agent.resume)

    def action_clear(self) -> None:
        """Clear the log that is shown."""
        self.query_one(LogView).forget(at=time_of_day(self._clock()))

    async def action_explain(self) -> None:
        """Explain keys and statuses."""
        await self.push_screen(HelpDialog())

    def _order(self, command: Callable[[], None]) -> None:
        self.run_worker(self._carry_out(command), name="order", group="order")

    async def _carry_out(self, command: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(command)
        except CloudConnectError as exc:
            self.notify(exc.message, title="Not done", severity="error", markup=False)
        self._show(await asyncio.to_thread(self._agent.read))

    async def _watch_agent(self) -> None:
        while True:
            self._show(await asyncio.to_thread(self._agent.read))
            await asyncio.sleep(_ASK_SECONDS)

    async def _watch_log(self) -> None:
        view = self.query_one(LogView)
        tail = LogTail(self._log_file)
        while True:
            view.add(await asyncio.to_thread(tail.read))
            await asyncio.sleep(_LOG_SECONDS)

    def _show(self, reading: Reading) -> None:
        before, self._reading = self._reading, reading
        self._show_title(reading.version)
        word = (f"● {_plain(reading.word)}", f"bold ansi_{reading.tone.value}")
        self._put("#status", Content.assemble(word, f"  {reading.detail}"))
        self.query_one("#notes").display = bool(reading.notes)
        self._put("#notes", _notes(reading))
        for number in range(_FACTS):
            widget = self.query_one(f"#fact-{number}", Static)
            widget.display = number < len(reading.facts)
            if widget.display:
                name, value = reading.facts[number]
                fact = Content.assemble((name.ljust(_LABEL), "dim"), _plain(value))
                self._put(f"#fact-{number}", fact)
        self._put_lines("#accounts", _accounts(reading.accounts))
        self._put_lines("#errors", _errors(reading.errors))
        if before is None or _offers(before) != _offers(reading):
            self.refresh_bindings()

    def _put(self, place: str, content: Content) -> None:
        """Show *content*, unless it is shown already: what stays the same costs nothing."""
        marked = content.markup
        if self._shown.get(place) != marked:
            self._shown[place] = marked
            self.query_one(place, Static).update(content)

    def _put_lines(self, place: str, content: Content) -> None:
        """Show lines that are never wrapped, in a part that is as high as they are many.

        The height is set rather than left to textual, which may keep that of what stood there
        before the first layout.
        """
        self._put(place, content)
        lines = min(content.plain.count("\n") + 1, _MAX_PART_LINES)
        self.query_one(place).styles.height = lines + 1  # its title

    def _show_title(self, version: str) -> None:
        title = self.query_one("#title", Static)
        words = f"agent {version}  " if version else ""
        right = f"{words}{time_of_day(self._clock())}"
        gap = max(2, title.content_size.width - len(self.TITLE) - len(right))
        self._put("#title", Content.assemble((self.TITLE, "bold"), " " * gap, (right, "dim")))


def _offers(reading: Reading) -> tuple[bool, bool]:
    return reading.can_pause, reading.can_resume


def _notes(reading: Reading) -> Content:
    shown = [_plain(note) for note in reading.notes[:_MAX_NOTES]]
    more = len(reading.notes) - len(shown)
    if more > 0:
        shown.append(f"and {more} more: `cloud-connect status` shows them")
    return Content("\n").join(Content(line) for line in shown)


def _accounts(lines: tuple[AccountLine, ...] | None) -> Content:
    if lines is None:
        return Content.styled("not known while no agent answers", "dim")
    if not lines:
        return Content.assemble(
            ("none; ", "dim"), ("`cloud-connect procore app` stores one", "dim")
        )
    width = max(len(line.name) for line in lines)
    shown = []
    for line in lines:
        rest = ", ".join(part for part in (line.budget, line.facts) if part)
        shown.append(
            Content.assemble(
                _plain(line.name).ljust(width),
                "  ",
                (
                    f"{'✓' if line.well else '!'} {line.word}",
                    "ansi_green" if line.well else "ansi_yellow",
                ),
                (f"  {_plain(rest)}", "dim"),
            )
        )
    return Content("\n").join(shown)


def _errors(errors: tuple[CallError, ...] | None) -> Content:
    if errors is None:
        return Content.styled(_NOTHING, "dim")
    if not errors:
        return Content.styled("none since the agent started", "dim")
    shown = []
    for error in errors[:_SHOWN_ERRORS]:
        code = error.code or ("" if error.status is None else f"status {error.status}")
        shown.append(
            Content.assemble(
                (f"{time_of_day(error.at)}  ", "dim"),
                (_plain(code), "ansi_red"),
                f"  {_plain(' '.join((error.operation, error.resource or '')).strip())}",
                (f"  {_plain(error.call_id)}", "dim"),
            )
        )
    return Content("\n").join(shown)


def _plain(text: str) -> str:
    """Return one line that cannot steer the terminal."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
