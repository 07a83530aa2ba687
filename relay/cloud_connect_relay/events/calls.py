"""What is told of calls: that they began, how they ended, and what was found out later."""

from typing import TYPE_CHECKING, Final, Protocol

from cloud_connect_relay.call_documents import call_document
from cloud_connect_relay.events.hub import About

if TYPE_CHECKING:
    from cloud_connect_relay.events.hub import EventHub
    from cloud_connect_relay.storage.calls import CallRecord

__all__ = ["CallEvents"]


class _Call(Protocol):
    def record(self) -> "CallRecord":
        """Return what the store keeps of it."""
        ...


class CallEvents:
    """Tells of calls; whoever does so asks ``hub.watched`` first, which is all that it costs."""

    __slots__ = ("hub",)

    def __init__(self, hub: "EventHub") -> None:
        self.hub: Final = hub

    def began(self, subscription_id: str, call: _Call) -> None:
        """Tell that a call was let in."""
        self._tell(subscription_id, "began", call)

    def ended(self, subscription_id: str, call: _Call) -> None:
        """Tell how a call ended."""
        self._tell(subscription_id, "ended", call)

    def settled(self, record: "CallRecord") -> None:
        """Tell that more is certain of a call that had ended."""
        if self.hub.watched:
            data = {"change": "settled", "call": call_document(record)}
            self.hub.publish(record.subscription_id, "call", data, about=About.CALLS)

    def _tell(self, subscription_id: str, change: str, call: _Call) -> None:
        if self.hub.takes_call(subscription_id):
            data = {"change": change, "call": call_document(call.record())}
            self.hub.publish(subscription_id, "call", data, about=About.CALLS)
