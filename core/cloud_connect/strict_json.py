"""JSON that every parser reads alike: what they disagree about is refused.

Two readers of one text who understand it differently are how a check is passed by: the first of
two members with one name for whoever checks, the last for whoever acts. So there are no
repeated members, no ``NaN``, no halves of characters, no numbers without an end, and nothing so
deep or so full that reading it is an attack by itself.
"""

import json
import math
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, Final, TypeVar

from pydantic import BaseModel, TypeAdapter

__all__ = [
    "MAX_DEPTH",
    "MAX_DIGITS",
    "MAX_MEMBERS",
    "MAX_VALUES",
    "StrictJsonError",
    "is_deep",
    "parse",
    "read",
]

MAX_DEPTH: Final = 64  # nested arrays and objects
MAX_DIGITS: Final = 64  # of one number: more only burn time
MAX_MEMBERS: Final = 10_000  # of one object: nobody's record has more
# Of the whole text, and as many arrays and objects: a thousand records of a hundred fields.
MAX_VALUES: Final = 100_000

_ModelT = TypeVar("_ModelT", bound=BaseModel)


class StrictJsonError(ValueError):
    """The text is refused; the message continues a sentence that begins with what it is."""


def parse(text: bytes) -> Any:
    """Return what *text* holds.

    Raises:
        StrictJsonError: If it is no JSON, or some that is refused.
    """
    if (
        text.count(b",") > MAX_VALUES
        or text.count(b"[") + text.count(b"{") > MAX_DEPTH
        or text.count(b":") > MAX_MEMBERS
        or _has_long_number(text)
    ):
        _check_structure(b"".join(_outside_strings(text)))
    if b"\\u" in text:
        _check_escapes(text)
    try:
        return _DECODER.decode(text.decode())
    except UnicodeDecodeError as exc:
        raise StrictJsonError("is not valid JSON: it is not UTF-8") from exc
    except json.JSONDecodeError as exc:
        place = f"line {exc.lineno}, column {exc.colno}"
        raise StrictJsonError(f"is not valid JSON: {exc.msg} at {place}") from exc


def read(model: type[_ModelT], text: bytes) -> _ModelT:
    """Return what *text* says, as a model.

    Raises:
        StrictJsonError: If it is no JSON, or some that is refused.
        ValidationError: If it is not of the model's shape.
    """
    return model.model_validate(parse(text))


def is_deep(value: object) -> bool:
    """Whether what another parser made nests deeper than is read here; looks level by level."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if type(outer) in _CONTAINERS
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in _CONTAINERS
        ]
        if not level:
            return False
    return True


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_MEMBERS:
        raise StrictJsonError(f"holds an object of more than {MAX_MEMBERS} members")
    made = dict(pairs)
    if len(made) < len(pairs):
        raise StrictJsonError("repeats a member of an object")
    return made


def _float(digits: str) -> float:
    if len(digits) > MAX_DIGITS:
        raise StrictJsonError(f"holds a number of more than {MAX_DIGITS} digits")
    value = float(digits)
    if math.isinf(value):
        raise StrictJsonError("holds a number that is out of range")
    return value


def _constant(name: str) -> float:
    raise StrictJsonError(f"is not valid JSON: {name} is no number")


# Built once: json.loads with hooks would build a decoder for every text.
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_constant=_constant
)
_PIECE_BYTES: Final = 64 * 1024  # read in a millisecond or two
_DIGITS: Final = bytes(ord("0") if byte in b"123456789" else byte for byte in range(256))
_LONG_NUMBER: Final = b"0" * (MAX_DIGITS + 1)
_MANY_MEMBERS: Final = b":" * (MAX_MEMBERS + 1)
_NO_MEMBERS: Final = bytes(byte for byte in range(256) if byte not in b":{}")
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_CONTAINERS: Final = frozenset({dict, list})
_ANY: Final = TypeAdapter[Any](Any)


def _outside_strings(text: bytes) -> Iterator[bytes]:
    """Yield what of *text* is no string; in pieces, so that other threads are held up by none."""
    bare = text.replace(b"\\\\", b"").replace(b'\\"', b"")  # each quote now begins or ends one
    inside = False
    for start in range(0, len(bare), _PIECE_BYTES):
        parts = bare[start : start + _PIECE_BYTES].split(b'"')
        yield b"".join(parts[inside::2])
        inside ^= len(parts) % 2 == 0


def _check_structure(bare: bytes) -> None:
    """Refuse, by a text without its strings, what would take long to read; see :func:`parse`."""
    if bare.count(b",") > MAX_VALUES or bare.count(b"[") + bare.count(b"{") > MAX_VALUES:
        raise StrictJsonError(f"holds more than {MAX_VALUES} values")
    if _has_long_number(bare):
        raise StrictJsonError(f"holds a number of more than {MAX_DIGITS} digits")
    # Without a brace between them they are of one object, which the parser would read in one go,
    # while no other thread runs; each end of an object lets others run.
    if _MANY_MEMBERS in bare.translate(None, _NO_MEMBERS):
        raise StrictJsonError(f"holds an object of more than {MAX_MEMBERS} members")
    brackets = bare.translate(None, _NO_BRACKETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise StrictJsonError(f"nests deeper than {MAX_DEPTH} levels")


def _has_long_number(text: bytes) -> bool:
    """Whether so many digits stand side by side; a call for each number would take longer."""
    return text.translate(_DIGITS).find(_LONG_NUMBER) >= 0


def _check_escapes(text: bytes) -> None:
    """Refuse lone surrogates, which Python's parser lets through; the other one does not."""
    try:
        _ANY.validate_json(text)
    except ValueError as exc:
        raise StrictJsonError("is not valid JSON") from exc
