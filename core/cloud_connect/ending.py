"""Endings: why a session is over, and how its link says so."""

from dataclasses import dataclass
from typing import Final

from cloud_connect.closing import CloseCode
from cloud_connect.errors import (
    LocalProtocolError,
    RemoteProtocolError,
    TunnelClosedError,
    TunnelError,
)

__all__ = ["DRAINED", "STOPPED", "Ending", "ending_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What the session raises, if it does, and what the peer reads.

    Attributes:
        code: Close code of the link.
        reason: Close reason of the link.
    """

    error: TunnelError | None
    code: CloseCode
    reason: str = ""


DRAINED: Final = Ending(error=None, code=CloseCode.GOING_AWAY, reason="drained")
STOPPED: Final = Ending(
    error=TunnelClosedError("the session was stopped"), code=CloseCode.GOING_AWAY, reason="stopped"
)


def ending_of(exc: Exception, *, orderly: bool) -> Ending:
    """Tell how a session ends that met *exc*.

    Args:
        orderly: Whether one of the sides drains and no exchange is left.
    """
    match exc:
        case RemoteProtocolError(message=message):
            error = TunnelClosedError(f"the peer broke the tunnel protocol: {message}")
            error.__cause__ = exc
            return Ending(error=error, code=CloseCode.PROTOCOL_ERROR, reason=message)
        case TunnelClosedError(message=message):
            return Ending(error=exc, code=CloseCode.GOING_AWAY, reason=message)
        case LocalProtocolError():
            return Ending(error=exc, code=CloseCode.INTERNAL_ERROR, reason="internal error")
        case _ if orderly:
            return Ending(error=None, code=CloseCode.NORMAL)
        case _:
            error = TunnelClosedError(f"the link was lost: {str(exc) or type(exc).__name__}")
            error.__cause__ = exc
            return Ending(error=error, code=CloseCode.GOING_AWAY)
