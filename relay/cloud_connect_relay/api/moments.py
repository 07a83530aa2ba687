"""Moments as query parameters give them: a time, or how long ago."""

from cloud_connect.audit import parse_moment
from cloud_connect.errors import InvalidRequestError

__all__ = ["moment"]


def moment(name: str, text: str | None, *, now: float) -> float | None:
    """Return the UNIX seconds that the parameter *name* means.

    Raises:
        InvalidRequestError: If it is no moment.
    """
    if text is None:
        return None
    try:
        return parse_moment(text, now=now)
    except ValueError as error:
        raise InvalidRequestError(f"The parameter '{name}': {error}.") from error
