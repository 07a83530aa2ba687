"""A line of the log file, as the window shows it; pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from cloud_connect_agent.durations import time_of_day

__all__ = ["LogLine"]

_HIDDEN: Final = frozenset({"time", "level", "logger", "event", "exception", "stack", "call_id"})
_MAX_VALUE: Final = 160  # characters; the whole is in the file
_NUMBERS: Final[Mapping[str, str]] = {"rows": "{:.0f} rows", "duration_ms": "{:.0f} ms"}
_CALL: Final = "request_"
_BARE: Final = ("operation", "status", "code")  # values that say by themselves what they are


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One event.

    Attributes:
        time: Of day; empty if the line is no event.
        level: As the log has it, in lower case.
        event: What happened, in words.
        facts: The rest, shorter than in the file.
    """

    time: str
    level: str
    event: str
    facts: str

    @classmethod
    def of(cls, line: str) -> Self:
        """Read a line; what is no event is shown as it is, without control characters."""
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict) or "event" not in event:
            return cls(time="", level="info", event=_printable(line), facts="")
        return cls(
            time=_time(event.get("time")),
            level=str(event.get("level", "info")),
            event=_words(event),
            facts=", ".join(_facts(event)),
        )


def _words(event: Mapping[str, object]) -> str:
    """Return what happened; of a call its end and what it was, since most lines tell of calls."""
    name = str(event["event"])
    if name.startswith(_CALL) and event.get("operation"):
        return _printable(f"{name.removeprefix(_CALL)} {event['operation']}")
    return _printable(name.replace("_", " "))


def _facts(event: Mapping[str, object]) -> list[str]:
    of_call = str(event["event"]).startswith(_CALL)
    bare = [
        _printable(event[name])
        for name in _BARE
        if event.get(name) is not None and not (of_call and name == "operation")
    ]
    numbers = [
        form.format(value)
        for name, form in _NUMBERS.items()
        if isinstance(value := event.get(name), int | float) and value
    ]
    rest = [
        f"{name}={_printable(value)}"
        for name, value in _flat(event)
        if name not in _HIDDEN and name not in _BARE and name not in _NUMBERS and value is not None
    ]
    call = event.get("call_id")
    return [*bare, *numbers, *rest, *([] if call is None else [_printable(call)])]


def _flat(event: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield the facts, of a fact that holds some those instead."""
    for name, value in event.items():
        if isinstance(value, dict):
            yield from value.items()
        else:
            yield name, value


def _time(value: object) -> str:
    try:
        return time_of_day(datetime.fromisoformat(str(value)))
    except ValueError:
        return ""


def _printable(value: object) -> str:
    """Return one line that cannot steer a terminal, whoever chose the value."""
    text = "".join(sign if sign.isprintable() else " " for sign in str(value)[: _MAX_VALUE + 1])
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}…"
