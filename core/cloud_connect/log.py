"""Configures logging once a process: structlog events, JSON or console, never a secret.

Events and the standard library's records take one way: completed with time, level and what
is bound, masked, rendered, written. Most events hold plain values and nothing that looks like
a secret; telling that is cheap, and only the others are looked through value by value. The last
thing before a line is written is to mask the secrets that this process is known to hold.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, TextIO

import orjson
import structlog
from structlog.typing import EventDict

from cloud_connect.live_secrets import mask_live, mask_live_text
from cloud_connect.log_sinks import FileSink, Keep, StreamSink, is_journal
from cloud_connect.redact import is_secret_name, may_hold_secret, redact_facts

__all__ = ["configure", "render_console"]

# Their messages hold URLs with queries, headers and frames, at any level below this one.
_TALKATIVE: Final = (
    "aiosqlite",
    "asyncio",
    "hpack",
    "httpcore",
    "httpx",
    "sqlalchemy",
    "uvicorn.access",
    "websockets",
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_FIRST: Final = {"time": "", "level": "", "logger": "", "event": ""}  # the order in a line
_RECORD_FIELDS: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
)
_is_secret_name: Final = lru_cache(maxsize=512)(is_secret_name)  # names of facts are few

Format = Literal["json", "console"]


def configure(
    *,
    level: str = "info",
    style: Format = "json",
    stream: TextIO | None = None,
    file: Path | None = None,
    keep: Keep | None = None,
    journal: str | None = None,
) -> None:
    """Send all log events to *stream*, and as JSON lines to *file*.

    Args:
        stream: Standard error by default; standard output is for results.
        file: Its folder must exist; only the running account can read it.
        keep: How much of the file and its predecessors is kept.
        journal: What systemd says of the journal's stream (``$JOURNAL_STREAM``): if that is
            *stream*, each line begins with its priority.
    """
    output = stream or sys.stderr
    handler = _Handler(
        StreamSink(output, prioritised=is_journal(output, journal)),
        None if file is None else FileSink(file, keep or Keep()),
        console=_console(colors=output.isatty()) if style == "console" else None,
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[_for_logger],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda name="root": _Logger(handler, name),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(number)
    logging.captureWarnings(capture=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def render_console(event: dict[str, Any], *, colors: bool) -> str:
    """Return a line for people of an event that a log file holds as JSON."""
    return str(_console(colors=colors)(None, "", dict(event)))


class _Handler(logging.Handler):
    """Writes events, and the records of libraries that use the standard library's logging."""

    def __init__(
        self,
        stream: StreamSink,
        file: FileSink | None,
        *,
        console: structlog.dev.ConsoleRenderer | None,
    ) -> None:
        super().__init__()
        self._stream: Final = stream
        self._file: Final = file
        self._console: Final = console

    def write(self, name: str, level: str, facts: MutableMapping[str, Any]) -> None:
        """Complete, mask and write one event."""
        if facts.get("stack_info"):
            structlog.processors.StackInfoRenderer()(None, level, facts)
        if "exc_info" in facts:
            structlog.processors.format_exc_info(None, level, facts)
        event = {
            **_FIRST,
            **structlog.contextvars.get_contextvars(),
            **facts,
            "time": datetime.now(UTC).isoformat(timespec="microseconds")[:-6] + "Z",
            "level": level,
            "logger": name,
        }
        if self._console is not None:
            event = redact_facts(event)
            text = f"{self._console(None, level, _one_line(event))}\n"
            self._stream.write(mask_live_text(text), level=level)
            if self._file is not None:
                self._file.write(mask_live(_dump(event)))
            return
        line = mask_live(_line_of(event))
        self._stream.write(line.decode("ascii"), level=level)
        if self._file is not None:
            self._file.write(line)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; one that cannot be rendered is its caller's mistake, and dropped."""
        facts = {key: value for key, value in vars(record).items() if key not in _RECORD_FIELDS}
        try:
            facts["event"] = record.getMessage()
        except (TypeError, ValueError, KeyError):
            facts["event"] = str(record.msg)
        if record.exc_info:
            facts["exc_info"] = record.exc_info
        if record.stack_info:
            facts["stack"] = record.stack_info
        self.write(record.name, record.levelname.lower(), facts)

    def close(self) -> None:
        """Close the file."""
        super().close()
        if self._file is not None:
            self._file.close()


class _Logger:
    """What structlog calls by the level's name."""

    __slots__ = ("_handler", "_name")

    def __init__(self, handler: _Handler, name: str) -> None:
        self._handler: Final = handler
        self._name: Final = name

    def write(self, level: str, facts: EventDict) -> None:
        """Write an event."""
        self._handler.write(self._name, level, facts)

    debug = info = warning = error = critical = write


def _for_logger(_: object, level: str, event: EventDict) -> tuple[tuple[str, EventDict], object]:
    return (level, event), {}


def _console(*, colors: bool) -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(
        colors=colors,
        exception_formatter=structlog.dev.plain_traceback,
        timestamp_key="time",
        pad_event_to=28,
    )


def _line_of(event: Mapping[str, Any]) -> bytes:
    """Return an event as a line of JSON in ASCII, its secrets masked."""
    for key, value in event.items():
        if type(value) not in _PLAIN or _is_secret_name(key):
            break
    else:
        try:
            line = orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError:  # huge numbers, lone surrogates
            line = b"\xff"
        # JSON escapes none of the characters by which secrets are told.
        if line.isascii() and not may_hold_secret(line):
            return line
    return _dump(redact_facts(event))


def _dump(event: Mapping[str, object]) -> bytes:
    # The standard library takes what orjson refuses: huge numbers, lone surrogates.
    return f"{json.dumps(event, default=repr, separators=(',', ':'))}\n".encode("ascii")


def _one_line(event: dict[str, Any]) -> EventDict:
    """Escape control characters, so that no value can forge a line; a traceback keeps its own."""
    return {
        key: _CONTROL.sub(lambda match: repr(match[0])[1:-1], value)
        if isinstance(value, str) and key not in {"exception", "stack"}
        else value
        for key, value in event.items()
    }
