"""Procore's error answers, of whatever shape, as one form; and as our errors."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from cloud_connect.errors import (
    CloudConnectError,
    Outcome,
    OutcomeUnknownError,
    RateLimitedError,
    SourceRejectedError,
    SourceUnavailableError,
)
from cloud_connect_agent.foreign_answers import page_in_between

__all__ = [
    "UNCLEAR",
    "Failure",
    "ProcoreAnswerError",
    "error_of",
    "is_throttled",
    "read_failure",
    "restated",
    "sentence",
]

_MAX_RAW: Final = 4096  # characters of a body that are kept
_MAX_PARSED: Final = 64 * 1024  # bytes of a body that is read as an error message
_MAX_DEPTH: Final = 8  # levels below which nobody hides a reason
_MAX_MESSAGE: Final = 600  # characters of Procore's words in a sentence of ours
_MAX_FIELDS: Final = 50  # fields of a validation error that are kept
_NO_WORDS: Final = "no reason given"
UNCLEAR: Final = "Whether the change was carried out is not known."
_MEANINGS: Final = {
    401: "the account is not signed in any more",
    403: "the account may not do this, or the app is not connected to the company",
    404: "there is no such thing, or the account may not see it",
    409: "something in Procore stands against it, such as another record of that name",
    413: "it is too much at once",
    429: "the limit of calls is used up",
    **dict.fromkeys((301, 302, 303, 307, 308), "it points elsewhere, which is not followed"),
    **dict.fromkeys((502, 503, 504), "it is not available at the moment"),
}
_VERB: Final = re.compile(
    r"(is|are|was|has|have|had|can|can't|cannot|could|must|may|should|does|do|did|doesn't|needs?"
    r"|contains?|exceeds?|already)\b",
    re.IGNORECASE,
)
_ADJECTIVE: Final = re.compile(
    r"(required|invalid|missing|blank|empty|taken|unknown|duplicate|reserved|unsupported|not|too)\b",
    re.IGNORECASE,
)
# How Rails, and so Procore, says that a parameter is not there.
_MISSING: Final = re.compile(
    r"param is missing or the value is empty(?: or invalid)?: ([\w.\[\]-]{1,100})(?: \(\1\))?"
)
_NAMES: Final = re.compile(r"[A-Za-z_][\w.]*(\s*,\s*[A-Za-z_][\w.]*)*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What Procore said.

    Attributes:
        code: Its own code or reason code, if there was one.
        message: Its own words, on one line, with the fields they are about.
        fields: Reasons by field, of a validation error.
        raw: The decoded JSON body, or the text's first 4 kB.
        request_id: What Procore's support asks for.
    """

    status: int
    message: str
    code: str | None = None
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    raw: object = None
    request_id: str | None = None


def is_throttled(status: int, headers: Mapping[str, str]) -> bool:
    """Whether Procore put the request off without carrying it out."""
    return status == 429 or (status == 503 and "retry-after" in headers)


def read_failure(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """Read an answer that is not 2xx; nothing in it makes this fail."""
    request_id = headers.get("x-request-id")
    text = body[: 4 * _MAX_RAW].decode("utf-8", "replace").strip()
    try:
        document = orjson.loads(body) if len(body) <= _MAX_PARSED else None
    except orjson.JSONDecodeError:
        document = None
    if isinstance(document, (dict, list, str)) and document:
        code, message, fields = _read_document(document)
        return Failure(
            status=status,
            code=code,
            message=_MISSING.sub(r"“\1” is missing or empty", _one_line(message))
            or _fallback(headers),
            fields=fields,
            raw=document if len(body) <= _MAX_RAW else text[:_MAX_RAW],
            request_id=request_id,
        )
    words = "" if _is_markup(headers, text) else _one_line(text)
    words = words or page_in_between(status, headers, host="Procore") or ""
    return Failure(
        status=status,
        message=words or _fallback(headers),
        raw=text[:_MAX_RAW] or None,
        request_id=request_id,
    )


class ProcoreAnswerError(Exception):
    """Procore's answer, as the cause of an error of ours.

    Attributes:
        failure: What it said.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"Procore answered {failure.status}")
        self.failure: Final = failure


def error_of(
    failure: Failure, *, write: bool, throttled: bool, retry_after: float | None = None
) -> CloudConnectError:
    """Turn a failure into the error that says what is certain about the call.

    Args:
        write: Whether the request may have changed something.
        throttled: See :func:`is_throttled`.
    """
    said = sentence(f"Procore answered {failure.status}: {failure.message}")
    error: CloudConnectError
    if throttled:
        error = RateLimitedError(said, retry_after=retry_after)
    elif 400 <= failure.status < 500 and failure.status != 408:
        error = SourceRejectedError(said, status=failure.status, body=failure.raw)
    elif write:
        error = OutcomeUnknownError(f"{said} {UNCLEAR}")
    else:
        error = SourceUnavailableError(said, outcome=Outcome.NOT_EXECUTED)
    error.body = failure.raw
    error.__cause__ = ProcoreAnswerError(failure)
    return error


def restated(error: CloudConnectError, about: str) -> CloudConnectError:
    """Say what it was that Procore did not do; an error without its answer stays as it is.

    Args:
        about: A noun, such as ``the new RFI``.
    """
    cause = error.__cause__
    if not about or not isinstance(cause, ProcoreAnswerError):
        return error
    said = cause.failure
    reason = said.message
    if reason == _NO_WORDS:
        reason = _MEANINGS.get(said.status, reason)
    told: CloudConnectError
    if isinstance(error, SourceRejectedError):
        refused = sentence(f"Procore refused {about}: {reason}")
        told = SourceRejectedError(refused, status=error.status)
    elif isinstance(error, RateLimitedError):
        put_off = sentence(f"Procore put off {about}: {reason}")
        told = RateLimitedError(put_off, retry_after=error.retry_after)
    else:
        failed = sentence(f"Procore failed at {about} with status {said.status}: {reason}")
        if isinstance(error, OutcomeUnknownError):
            told = OutcomeUnknownError(f"{failed} {UNCLEAR}")
        else:
            told = SourceUnavailableError(failed, outcome=error.outcome)
    told.body = error.body
    return told


def _read_document(
    document: dict[str, object] | list[object] | str,
) -> tuple[str | None, str, dict[str, tuple[str, ...]]]:
    if isinstance(document, str):
        return None, document, {}
    if isinstance(document, list):
        return None, _join(_texts(document)), {}
    code = _word(document.get("code"))
    error, errors = document.get("error"), document.get("errors")
    if isinstance(error, dict):
        return _read_error_object(error, code)
    if isinstance(errors, dict):
        fields = {str(name): tuple(_texts(said)) for name, said in _first(errors.items())}
        return _word(document.get("error_type")) or code, _join(_by_field(fields)), fields
    if isinstance(errors, (list, str)) and errors:
        return code, _join(_texts(errors)), {}
    if isinstance(error, str) and error:
        words = document.get("error_description") or document.get("message")
        return error, _join(_texts(words)) or error, {}
    return code, *_read_message(document)


def _read_message(document: Mapping[str, object]) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Read Procore's commonest shape: ``message``, ``reason`` and ``fields``, all optional."""
    message, reason = _join(_texts(document.get("message"))), _join(_texts(document.get("reason")))
    if message and reason and reason not in message:
        message = f"{message.rstrip('.')} ({reason})"
    message = message or reason
    named = _word(document.get("fields"))
    if not named:
        return message, {}
    if message and _NAMES.fullmatch(named) and _is_predicate(message):
        fields: dict[str, tuple[str, ...]] = {name.strip(): (message,) for name in named.split(",")}
        return _join(_by_field(fields)), fields
    return f"{message} ({named})" if message else named, {}


def _read_error_object(
    error: Mapping[str, object], outer: str | None
) -> tuple[str | None, str, dict[str, tuple[str, ...]]]:
    code = _word(error.get("code")) or outer
    message = _join(_texts(error.get("message")) or _texts(error.get("error")))
    fields: dict[str, tuple[str, ...]] = {}
    reasons: list[str] = []
    details = error.get("details")
    for detail in details[:_MAX_FIELDS] if isinstance(details, list) else ():
        if not isinstance(detail, dict):
            reasons += _texts(detail)
            continue
        # Procore: act on the reason code, show the message.
        code = _word(detail.get("reason_code")) or code
        said, source = _join(_texts(detail.get("message"))), _word(detail.get("source"))
        if source:
            fields[source] = (*fields.get(source, ()), said)
        elif said:
            reasons.append(said)
    reasons += _by_field(fields)
    unsaid = [reason for reason in reasons if reason not in message]
    return (
        code,
        f"{message.rstrip('.')} ({_join(unsaid)})"
        if message and unsaid
        else message or _join(unsaid),
        fields,
    )


def _by_field(fields: Mapping[str, tuple[str, ...]]) -> list[str]:
    return [
        _join(reasons) if name == "base" else _of_field(name, reasons)
        for name, reasons in fields.items()
    ]


def _of_field(name: str, reasons: Iterable[str]) -> str:
    """Say what is wrong with a field: “subject” is required."""
    said = _join(reason.rstrip(".") for reason in reasons)
    if _ADJECTIVE.match(said):
        return f"“{name}” is {said[:1].lower()}{said[1:]}"
    return f"“{name}” {said}" if _is_predicate(said) else f"“{name}”: {said}"


def _is_predicate(reason: str) -> bool:
    """Whether a field's name before it makes a sentence of it."""
    return _VERB.match(reason) is not None or _ADJECTIVE.match(reason) is not None


def _first(items: Iterable[tuple[object, object]]) -> list[tuple[object, object]]:
    return [item for item, _ in zip(items, range(_MAX_FIELDS), strict=False)]


def _texts(value: object, depth: int = 0) -> list[str]:
    """Collect the words of a value, wherever it hides them."""
    if depth > _MAX_DEPTH:
        return []
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, (int, float)):
        return [str(value)]
    if isinstance(value, list):
        return [text for item in value[:_MAX_FIELDS] for text in _texts(item, depth + 1)]
    if isinstance(value, dict):
        return [
            f"{name}: {_join(said)}"
            for name, inner in _first(value.items())
            if (said := _texts(inner, depth + 1))
        ]
    return []


def _word(value: object) -> str | None:
    if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
        return str(value)[:200]
    return None


def _join(texts: Iterable[str]) -> str:
    return "; ".join(texts)


def _one_line(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:_MAX_RAW]).split())
    return line if len(line) <= _MAX_MESSAGE else f"{line[:_MAX_MESSAGE]}…"


def sentence(text: str) -> str:
    """A text that ends as a sentence does."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _is_markup(headers: Mapping[str, str], text: str) -> bool:
    return "html" in headers.get("content-type", "") or text.startswith("<")


def _fallback(headers: Mapping[str, str]) -> str:
    challenge = headers.get("www-authenticate", "")
    _, found, words = challenge.partition('error_description="')
    return _one_line(words.partition('"')[0]) if found else _NO_WORDS
