"""JSON in and out: strict about what comes, fast about what goes."""

import json
import re
from typing import Any, Final, NoReturn

import orjson

from cloud_connect.errors import InvalidRequestError

__all__ = ["MAX_DEPTH", "check_json", "to_json"]

MAX_DEPTH: Final = 64  # nested arrays and objects
MAX_DIGITS: Final = 64  # of one number
_STRINGS: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_OTHERS: Final = re.compile(r"[^\[\]{}]+")
_PAIRS: Final = re.compile(r"\[\]|\{\}")
_OPTIONS: Final = orjson.OPT_NON_STR_KEYS


def to_json(document: object) -> bytes:
    """Encode a document compactly, in UTF-8."""
    return orjson.dumps(document, option=_OPTIONS)


def check_json(body: bytes) -> Any:
    """Decode a JSON body, refusing what parsers disagree about.

    Raises:
        InvalidRequestError: If it is malformed, too deep, repeats a member, or holds a number
            that is none or endless.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequestError("The body is not valid JSON: it is not UTF-8.") from error
    try:
        document = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidRequestError(
            f"The body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from error
    except RecursionError as error:
        raise _too_deep() from error
    if _is_deep(text):
        raise _too_deep()
    return document


def _is_deep(text: str) -> bool:
    """Whether valid JSON nests too deep: peel the innermost brackets off, level by level."""
    brackets = _OTHERS.sub("", _STRINGS.sub("", text))
    for _ in range(MAX_DEPTH):
        if not brackets:
            return False
        brackets = _PAIRS.sub("", brackets)
    return bool(brackets)


def _too_deep() -> InvalidRequestError:
    return InvalidRequestError(f"The body nests deeper than {MAX_DEPTH} levels.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise InvalidRequestError("The body repeats a member of an object.")
    return made


def _number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise InvalidRequestError(f"The body holds a number of more than {MAX_DIGITS} digits.")
    return int(digits)


def _fraction(digits: str) -> float:
    if len(digits) > MAX_DIGITS:
        raise InvalidRequestError(f"The body holds a number of more than {MAX_DIGITS} digits.")
    return float(digits)


def _constant(name: str) -> NoReturn:
    raise InvalidRequestError(f"The body is not valid JSON: {name} is no number.")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_number,
    parse_float=_fraction,
    parse_constant=_constant,
)
