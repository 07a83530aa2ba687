"""Identifiers: a prefix that says of what, and random text that nobody can guess."""

import re
import secrets
from typing import Final

__all__ = ["ALPHABET", "is_id", "new_id", "random_text"]

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_LENGTH: Final = 16  # 80 bits: no two alike in the life of a relay
_TAIL: Final = re.compile(r"[0-9a-hjkmnp-tv-z]{16}", re.ASCII)


def random_text(length: int = _LENGTH) -> str:
    """Return *length* random characters of the id alphabet, 5 bits each."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def new_id(prefix: str) -> str:
    """Return a fresh id such as ``con_4k2m…``."""
    return f"{prefix}_{random_text()}"


def is_id(prefix: str, text: str) -> bool:
    """Whether *text* could be an id with *prefix*; anything else cannot exist."""
    head, separator, tail = text.partition("_")
    return head == prefix and bool(separator) and _TAIL.fullmatch(tail) is not None
