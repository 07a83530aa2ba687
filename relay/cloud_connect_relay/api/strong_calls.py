"""What signed and sealed calls need of the relay: it passes on what it cannot read or make.

A signature and a seal are good for one connector. The call names it, so that the relay sends
it nowhere else.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from cloud_connect.call_signatures import SIGNATURE_HEADER
from cloud_connect.errors import AgentOfflineError, InvalidRequestError

if TYPE_CHECKING:
    from starlette.requests import Request

    from cloud_connect_relay.calls.spec import Target
    from cloud_connect_relay.gateway.registry import Registry

__all__ = [
    "CONNECTOR_HEADER",
    "STRONG_PARAMETERS",
    "is_signed",
    "on_named_connector",
    "signature_headers",
]

CONNECTOR_HEADER: Final = "cloud-connect-connector"
STRONG_PARAMETERS: Final = (
    {
        "name": "Cloud-Connect-Connector",
        "in": "header",
        "description": "Run the call on this connector of the data source and on no other.",
        "schema": {"type": "string"},
    },
    {
        "name": "Cloud-Connect-Signature",
        "in": "header",
        "description": "The caller's signature for that connector; passed on unread.",
        "schema": {"type": "string", "maxLength": 512},
    },
)
_SIGNATURE: Final = re.compile(r"[A-Za-z0-9_.-]{1,512}", re.ASCII)


def signature_headers(values: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return a call's signature as the header that goes on to the connector, unread.

    Raises:
        InvalidRequestError: If it cannot be one, or there are two.
    """
    found = list(values)
    if not found:
        return ()
    if len(found) > 1 or _SIGNATURE.fullmatch(found[0]) is None:
        raise InvalidRequestError("The header Cloud-Connect-Signature holds no signature.")
    return ((SIGNATURE_HEADER, found[0]),)


def is_signed(request: "Request") -> bool:
    """Whether a request came with a signature."""
    return SIGNATURE_HEADER in request.headers


def on_named_connector(
    registry: "Registry", target: "Target", subscription_id: str, connector_id: str | None
) -> "Target":
    """Return *target*, confined to the connector that the call names, if it names one.

    Raises:
        AgentOfflineError: If it is not connected, or not one of the data source's.
    """
    if connector_id is None:
        return target
    known = connector_id in target.connector_ids
    live = registry.get(connector_id)
    if live is not None and live.subscription_id == subscription_id:
        known = target.includes(connector_id, group=live.group, hosted=live.hosted)
    if not known:
        raise AgentOfflineError(
            "The connector that the call names is not connected, or the data source does not run"
            " on it."
        )
    return target.only(connector_id)
