"""What a connector's join token allows at most: its own policy decides within that."""

from typing import TYPE_CHECKING, Final

from cloud_connect.calls import Operation
from cloud_connect.errors import PolicyDeniedError

if TYPE_CHECKING:
    from cloud_connect_relay.calls.spec import CallSpec
    from cloud_connect_relay.gateway.registry import LiveSession

__all__ = ["check_policy_class"]

_EVERYTHING: Final = "read-write"
_READS: Final = "read-only"


def check_policy_class(spec: "CallSpec", live: "LiveSession") -> None:
    """Refuse a call that the connector may not be sent, whatever its PC's policy says.

    Raises:
        PolicyDeniedError: If its join token does not allow it.
    """
    allowed = live.policy_class
    if allowed == _EVERYTHING or spec.operation is Operation.TEST:
        return
    if allowed != _READS or spec.writes:
        raise PolicyDeniedError(
            f"The connector {live.name!r} was enrolled as {allowed}, which does not allow this"
            " call; enrol it with a join token that does."
        )
