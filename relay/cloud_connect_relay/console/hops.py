"""Where the time of a call went, in words for people."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

__all__ = ["Hop", "hop_documents", "hops_of"]

# What the agent tells as parts of its own time, and what people call each.
_ON_AGENT: Final = {
    "journal": "PC's journal",
    "lane": "Behind other calls of the PC",
    "limit": "Procore's rate limit",
    "signin": "Sign-in to Procore",
    "procore": "Procore",
    "body": "Procore, rest of the answer",
    "retry": "Pauses before a retry",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A part of the time of a call.

    Attributes:
        name: As ``Server-Timing`` has it.
        share: Of the whole, from 0 to 1.
    """

    name: str
    text: str
    milliseconds: float
    share: float


def hops_of(told: Mapping[str, float]) -> list[Hop]:
    """Return the parts, in the order in which a call meets them; what took no time is left out."""
    whole = told.get("relay", 0.0)
    if whole <= 0:
        return []
    parts: dict[str, tuple[str, float]] = {
        "queue": ("Waiting on the relay", told.get("queue", 0.0)),
        "record": ("Relay's record", told.get("record", 0.0)),
        "tunnel": ("Tunnel", told.get("tunnel", 0.0)),
    }
    inside = {name: (text, told.get(name, 0.0)) for name, text in _ON_AGENT.items()}
    own = told.get("agent", 0.0) - sum(spent for _, spent in inside.values())
    parts["agent"] = ("Connector's PC", max(0.0, own))
    parts |= inside
    return [
        Hop(name=name, text=text, milliseconds=spent, share=min(1.0, spent / whole))
        for name, (text, spent) in parts.items()
        if spent >= 0.05  # shown with one digit
    ]


def hop_documents(told: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the parts as a script reads them."""
    return [asdict(hop) for hop in hops_of(told)]
