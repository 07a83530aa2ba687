"""Masks secrets in any mapping or text, so that none reaches a log or an error.

It is the last line of defence: values are masked by the name that they stand under, and by
their own shape. Each expression is linear in the text's length, whatever the text.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = [
    "MASK",
    "is_secret_name",
    "may_hold_secret",
    "redact",
    "redact_facts",
    "redact_text",
]

MASK: Final = "***"
_MAX_DEPTH: Final = 16  # deeper values are cut off: logs are no place for them

_SECRET_PARTS: Final = ("password", "passwd", "passphrase", "secret", "privatekey")
_SECRET_ENDS: Final = (
    "token",
    "apikey",
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "codeverifier",
    "pepper",
)

_QUOTE: Final = r"\\{0,3}[\"']"
_ASSIGN: Final = rf"(?:{_QUOTE})?\s{{0,4}}(?:[:=]|%3[dD])\s{{0,4}}"
_PEM: Final = "[A-Z ]{0,40}PRIVATE KEY"
_PATTERNS: Final = (
    # Private keys, also when the end is cut off.
    (
        re.compile(rf"-----BEGIN {_PEM}-----(?:[^-]|-(?!----))*(?:-----END {_PEM}-----)?"),
        MASK,
    ),
    # Join tokens, and the relay's keys and tokens.
    (re.compile(r"ccj1\.[A-Za-z0-9_.-]+"), f"ccj1.{MASK}"),
    (re.compile(r"(cc[a-z]_)[A-Za-z0-9_-]{8,}"), rf"\1{MASK}"),
    # Signed tokens (RFC 7519).
    (
        re.compile(
            r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*)?"
        ),
        MASK,
    ),
    (re.compile(r"(?i)\b(bearer|basic)(\s{1,8}|%20)[A-Za-z0-9._~+/=%-]{8,}"), rf"\1 {MASK}"),
    # A password in a URL.
    (re.compile(r"://[^/\s:@]{0,256}:[^/\s@]{1,256}@"), f"://{MASK}@"),
    # Headers, whose values have blanks in them.
    (
        re.compile(rf"(?i)((?:authorization|cookie){_ASSIGN}(?:{_QUOTE})?)[^\r\n\"'\\]+"),
        rf"\1{MASK}",
    ),
    # An authorization code in a callback's query.
    (re.compile(r"([?&]code=)[^&\s\"'\\]+"), rf"\1{MASK}"),
    # Anything that stands under a secret's name, in JSON, forms, options and TOML.
    (
        re.compile(
            r"(?i)((?:password|passwd|passphrase|secret|token|api[_-]?key|code_verifier|private_key)"
            rf"{_ASSIGN})"
            r"(?:\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|\\{1,8}[\"'][^\"'\\]*|[^\s&,;\"'}\\]+)",
            re.DOTALL,
        ),
        rf"\1{MASK}",
    ),
)

# In lower case, one for each pattern above: text without any of them has nothing to mask.
_MARKS: Final = re.compile(
    rb"private key|ccj1\.|cc[a-z]_|eyj|bearer|basic|@|authorization|cookie|code="
    rb"|passw|passphrase|secret|token|api[_-]?key|code_verifier|private_key"
)


def may_hold_secret(line: bytes) -> bool:
    """Whether :func:`redact_text` may find something in *line*; quick, for it is asked often.

    Args:
        line: ASCII; it may be text as JSON writes it.
    """
    return _MARKS.search(line.lower()) is not None


def is_secret_name(name: str) -> bool:
    """Whether a value under this name is a secret, however the name is spelled."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return plain.endswith(_SECRET_ENDS) or any(part in plain for part in _SECRET_PARTS)


def redact_text(text: str) -> str:
    """Return *text* with everything masked that looks like a secret."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact(value: object) -> object:
    """Return *value* with its secrets masked, made of plain containers, at any depth.

    Bytes are replaced by their number: they may be a body.
    """
    return _redact(value, _MAX_DEPTH)


def redact_facts(facts: Mapping[str, object]) -> dict[str, object]:
    """Return *facts* with their secrets masked."""
    return _redact_mapping(facts, _MAX_DEPTH)


def _redact(value: object, depth: int) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        return _redact_mapping(value, depth)
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact(item, depth - 1) for item in value]
    return redact_text(str(value))


def _redact_mapping(facts: Mapping[Any, object], depth: int) -> dict[str, object]:
    return {redact_text(str(key)): _under(str(key), item, depth - 1) for key, item in facts.items()}


def _under(name: str, value: object, depth: int) -> object:
    if value is None or isinstance(value, bool) or not is_secret_name(name):
        return _redact(value, depth)
    return MASK
