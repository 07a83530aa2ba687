"""How long a call may take, as its caller may say."""

from typing import TYPE_CHECKING, Final

from cloud_connect.errors import InvalidRequestError

if TYPE_CHECKING:
    from cloud_connect_relay.settings import CallSettings

__all__ = ["hop_deadline_ms", "timeout_of"]

_HOP_MS: Final = 500  # what the way back may take, so that the agent gives up before the relay
_HOP_SHARE: Final = 10  # but of a short deadline no more than a tenth


def timeout_of(header: str | None, settings: "CallSettings") -> float:
    """Return the seconds that ``Cloud-Connect-Deadline-Ms`` grants, or the default.

    Raises:
        InvalidRequestError: If the value is no whole number within the bounds.
    """
    if header is None:
        return settings.default_deadline
    text = header.strip()
    most = int(settings.max_deadline * 1000)
    # isdecimal alone lets other scripts' digits through; nine digits bound the parse
    if text.isascii() and text.isdecimal() and len(text) <= 9 and 1 <= int(text) <= most:
        return int(text) / 1000
    raise InvalidRequestError(f"Cloud-Connect-Deadline-Ms must be a whole number from 1 to {most}.")


def hop_deadline_ms(seconds: float) -> int:
    """Return the milliseconds of *seconds* that the agent has, after this hop's way back."""
    remaining = seconds * 1000
    return max(1, int(remaining - min(_HOP_MS, remaining / _HOP_SHARE)))
