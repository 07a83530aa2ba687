"""Configures logging once a process: structlog events, JSON or console, never a secret."""

import json
import logging
import logging.handlers
import os
import re
import sys
from pathlib import Path
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from cloud_connect.redact import redact_facts

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

Format = Literal["json", "console"]


def configure(
    *,
    level: str = "info",
    style: Format = "json",
    stream: TextIO | None = None,
    file: Path | None = None,
    max_file_bytes: int = 5 * 1024 * 1024,
    files: int = 4,
) -> None:
    """Send all log events to *stream*, and as JSON lines to *file*.

    Args:
        stream: Standard error by default; standard output is for results.
        file: Its folder must exist; only the running account can read it.
        max_file_bytes: After that, a new file begins.
        files: How many files are kept, the newest included.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    output = stream or sys.stderr
    handlers: list[logging.Handler] = [_QuietStreamHandler(output)]
    handlers[0].setFormatter(_formatter(style, shared, colors=output.isatty()))
    if file is not None:
        rotating = _PrivateFileHandler(
            file, maxBytes=max_file_bytes, backupCount=files - 1, encoding="utf-8", delay=True
        )
        rotating.setFormatter(_formatter("json", shared, colors=False))
        handlers.append(rotating)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def render_console(event: dict[str, Any], *, colors: bool) -> str:
    """Return a line for people of an event that a log file holds as JSON."""
    return str(_console(colors=colors)(None, "", dict(event)))


def _formatter(
    style: Format, shared: list[Processor], *, colors: bool
) -> structlog.stdlib.ProcessorFormatter:
    renderers: list[Processor]
    if style == "json":
        renderers = [structlog.processors.JSONRenderer(serializer=_dump)]
    else:
        renderers = [_one_line, _console(colors=colors)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    )


def _console(*, colors: bool) -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(
        colors=colors,
        exception_formatter=structlog.dev.plain_traceback,
        timestamp_key="time",
        pad_event_to=28,
    )


def _dump(event: Any, **_: Any) -> str:
    # The standard library takes what orjson refuses: huge numbers, lone surrogates.
    return json.dumps(event, default=repr, separators=(",", ":"))


def _redact_event(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Mask secrets in every value but structlog's own, which begin with an underscore."""
    private = {key: value for key, value in event.items() if key.startswith("_")}
    clean = redact_facts({key: value for key, value in event.items() if key not in private})
    event.clear()
    event.update(private)
    event.update(clean)
    return event


def _one_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Escape control characters, so that no value can forge a line; a traceback keeps its own."""
    for key, value in event.items():
        if isinstance(value, str) and key not in {"exception", "stack"}:
            event[key] = _CONTROL.sub(lambda match: repr(match[0])[1:-1], value)
    return event


class _QuietStreamHandler(logging.StreamHandler[TextIO]):
    """Writes to a stream; a reader who went away must not disturb a call."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Drop the record."""


class _PrivateFileHandler(logging.handlers.RotatingFileHandler):
    """Writes to files that only the running account can read; a full disk drops records."""

    def _open(self) -> Any:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Drop the record."""
