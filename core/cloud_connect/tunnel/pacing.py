"""Pacing: a side that cancels much holds cancels back before its peer calls it abuse."""

from typing import TYPE_CHECKING, Final

from cloud_connect.tunnel.abuse import CancelGuard

if TYPE_CHECKING:
    from cloud_connect.tunnel.frames import ResetCode

__all__ = ["CancelPacer"]

# Below what the protocol tolerates (100, 50 %, 10 s): the peer's clock cuts its periods elsewhere.
_BURST: Final = 80
_SHARE: Final = 0.4
_PERIOD: Final = 12.0


class CancelPacer:
    """Decides when a cancel of a stream of ours may go out.

    A cancel counts from when it is sent until a period after its confirmation: the peer
    counted it some time in between.

    Attributes:
        withheld: Streams to cancel later, with their codes; they keep their slots.
    """

    __slots__ = ("_guard", "_unconfirmed", "withheld")

    def __init__(self) -> None:
        self._guard = CancelGuard(_BURST, _SHARE, _PERIOD)
        self._unconfirmed = 0
        self.withheld: dict[int, ResetCode] = {}

    def opened(self, now: float) -> None:
        """Count a stream that this side opened."""
        self._guard.opened(now)

    def may_cancel(self, now: float) -> bool:
        """Return whether one more cancel stays within the limit."""
        return not self._guard.exceeded(now, ahead=self._unconfirmed + 1)

    def cancelled(self) -> None:
        """Count a cancel that goes out."""
        self._unconfirmed += 1

    def confirmed(self, now: float) -> None:
        """Count the confirmation of a cancel."""
        self._unconfirmed -= 1
        self._guard.cancelled(now)
