"""What the window asks and explains on top of itself."""

from dataclasses import dataclass
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

__all__ = ["HelpDialog", "PauseChoice", "PauseDialog"]

_KEYS: Final = (
    ("p", "pause: take no new calls for a while"),
    ("r", "resume: take calls again"),
    ("c", "clear the log shown here; its file stays"),
    ("↑ ↓ PgUp PgDn", "look back in the log; End follows it again"),
    ("q", "close this window; the agent goes on"),
)
_STATUSES: Final = (
    ("CONNECTED", "green", "calls come through"),
    ("PAUSED", "yellow", "connected, but takes no calls until it resumes"),
    ("CONNECTING", "yellow", "the agent dials the relay"),
    ("OFFLINE", "red", "the relay is out of reach; the reason is shown"),
    ("INTERCEPTED", "red", "a proxy reads along, so the relay refuses"),
    ("REVOKED", "red", "the relay removed this PC: enrol it again"),
    ("STOPPED", "red", "no agent runs; this window waits for one"),
    ("NOT ANSWERING", "red", "an agent is there, but silent: restart it"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseChoice:
    """For how long; ``None`` is until somebody resumes."""

    seconds: float | None


class _Dialog(ModalScreen[PauseChoice | None]):
    """A box over the window that Escape closes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "Close"),
    ]

    def action_close(self) -> None:
        """Close the box and change nothing."""
        self.dismiss(None)


class PauseDialog(_Dialog):
    """Asks for how long to pause."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "choose(600)", "10 minutes"),
        Binding("2", "choose(3600)", "1 hour"),
        Binding("3", "choose(0)", "Until resumed"),
    ]

    def compose(self) -> ComposeResult:
        """Lay out the question."""
        lines = [
            Content.styled("Pause this PC?", "bold"),
            Content(""),
            Content("No new calls are taken then; those that run are finished, and the"),
            Content("connection stays. A restart of the agent does not end a pause."),
            Content(""),
            *(
                Content.assemble((f" {key:^3} ", "bold reverse"), f"  {words}")
                for key, words in (
                    ("1", "for 10 minutes"),
                    ("2", "for 1 hour"),
                    ("3", "until somebody resumes"),
                    ("Esc", "not at all"),
                )
            ),
        ]
        with VerticalScroll(classes="dialog"):
            yield Static(Content("\n").join(lines))

    def action_choose(self, seconds: int) -> None:
        """Answer: so many seconds, or 0 for no end."""
        self.dismiss(PauseChoice(seconds=float(seconds) or None))


class HelpDialog(_Dialog):
    """Explains keys and statuses."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1", "close", "Close", show=False),
    ]

    def compose(self) -> ComposeResult:
        """Lay out the explanation."""
        width = max(len(key) for key, _ in _KEYS)
        named = max(len(word) for word, *_ in _STATUSES)
        lines = [
            Content.styled("Keys", "bold"),
            *(Content.assemble((key.ljust(width), "bold"), f"  {words}") for key, words in _KEYS),
            Content(""),
            Content.styled("Status", "bold"),
            *(
                Content.assemble((f"● {word.ljust(named)}", f"ansi_{colour}"), f"  {words}")
                for word, colour, words in _STATUSES
            ),
            Content(""),
            Content.styled("Esc closes this. `cloud-connect doctor` finds causes.", "dim"),
        ]
        with VerticalScroll(classes="dialog"):
            yield Static(Content("\n").join(lines))
