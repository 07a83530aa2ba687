"""What fits as the key of a write, on both ends of the API."""

from typing import Final

__all__ = ["MAX_KEY_CHARS", "is_key"]

MAX_KEY_CHARS: Final = 255


def is_key(text: str) -> bool:
    """Whether *text* can be an ``Idempotency-Key``: printable ASCII, of at most 255 characters."""
    return bool(text) and len(text) <= MAX_KEY_CHARS and text.isascii() and text.isprintable()
