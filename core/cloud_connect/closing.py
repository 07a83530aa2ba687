"""The close codes of the link: why a relay or an agent ended a session."""

from enum import IntEnum
from typing import Final

__all__ = ["CloseCode", "reconnect_window_of", "restart_reason"]

_WINDOW_PREFIX: Final = "reconnect_window_ms="
_MAX_WINDOW_MS: Final = 600_000  # nobody may send an agent away for longer than ten minutes


class CloseCode(IntEnum):
    """WebSocket close codes: the registered ones we use, and ours from 4000 on.

    What an agent does about each stands in ``docs/protocol.md``.
    """

    NORMAL = 1000
    GOING_AWAY = 1001  # stopped, or the peer fell silent or took nothing: the reason says which
    PROTOCOL_ERROR = 1002
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012  # drained; the reason may carry a window to reconnect in
    TRY_AGAIN_LATER = 1013  # too many sockets are waiting to authenticate
    UNAUTHORIZED = 4001  # unknown connector, wrong key, wrong signature: the answer is the same
    REVOKED = 4003
    HANDSHAKE_TIMEOUT = 4008
    SUPERSEDED = 4009  # a newer session of the same connector took over
    CLONE_SUSPECTED = 4010
    INTERCEPTED = 4011  # the agent saw another certificate than the relay's
    UNSUPPORTED_VERSION = 4012


def restart_reason(window: float) -> str:
    """Write the close reason that spreads redials over so many seconds."""
    return f"{_WINDOW_PREFIX}{int(window * 1000)}"


def reconnect_window_of(reason: str) -> float | None:
    """Read the seconds that :func:`restart_reason` wrote; ``None`` if it wrote none."""
    number = reason.removeprefix(_WINDOW_PREFIX)
    if number == reason or not number.isascii() or not number.isdigit() or len(number) > 7:
        return None
    return min(int(number), _MAX_WINDOW_MS) / 1000
