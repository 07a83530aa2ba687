"""JSON in and out: strict about what comes, fast about what goes."""

import json
from typing import Any, Final, NoReturn

import orjson

from cloud_connect.errors import InvalidRequestError

__all__ = ["MAX_DEPTH", "check_json", "to_json"]

MAX_DEPTH: Final = 64  # nested arrays and objects
MAX_DIGITS: Final = 64  # of one number
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
    if _depth(text) > MAX_DEPTH:
        raise InvalidRequestError(f"The body nests deeper than {MAX_DEPTH} levels.")
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidRequestError(
            f"The body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from error


def _depth(text: str) -> int:
    """Return an upper bound of the nesting: brackets inside strings do not count."""
    depth = deepest = 0
    in_string = escaped = False
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


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
