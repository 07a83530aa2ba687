"""Which connectors serve a data source, which of them may come back, and why none does."""

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from cloud_connect.errors import (
    AgentOfflineError,
    ConnectorDrainingError,
    ConnectorPausedError,
)
from cloud_connect_relay.storage.connectors import ConnectorFlag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cloud_connect_relay.calls.spec import Target
    from cloud_connect_relay.gateway.registry import LiveSession
    from cloud_connect_relay.storage.connectors import Connector

__all__ = ["did_not_come", "expected", "pause_holds", "serves", "serves_live"]

_SEEN_LATELY: Final = 60.0  # seconds after which nobody waits for a connector to come back
_MOST_NAMED: Final = 5  # connectors in one sentence


def serves(target: "Target", connector: "Connector") -> bool:
    """Whether *connector* may run the calls of *target*, connected or not."""
    return connector.flag is not ConnectorFlag.REVOKED and target.includes(
        connector.id, group=connector.group, hosted=connector.hosted
    )


def serves_live(target: "Target", live: "LiveSession") -> bool:
    """Whether the connector of *live* may run the calls of *target*."""
    return target.includes(live.connector_id, group=live.group, hosted=live.hosted)


def expected(
    target: "Target",
    enrolled: "Sequence[Connector]",
    sessions: "Mapping[str, LiveSession]",
    *,
    now: float,
) -> "list[Connector]":
    """Return those of the *enrolled* connectors of *target* that may be there in a moment.

    Args:
        sessions: The live ones of them.
        now: UNIX time.

    Raises:
        AgentOfflineError: If none is enrolled, or none was here lately.
        ConnectorDrainingError: If the only ones finish their calls.
        ConnectorPausedError: If the only ones are paused.
    """
    if not enrolled:
        raise _none_enrolled(target)
    coming = [one for one in enrolled if _may_come(one, sessions.get(one.id), now=now)]
    if coming:
        return coming
    draining = [one for one in enrolled if _draining(one, sessions.get(one.id))]
    if draining:
        # Its agent or this relay stops soon and comes back; an administrator takes his time.
        kept = all(one.flag is ConnectorFlag.DRAINING for one in draining)
        until = ", until an administrator lets it take calls again" if kept else ""
        raise ConnectorDrainingError(
            f"{_named(draining)} is finishing its calls and takes no new ones{until}"
            f"{_others(draining, enrolled)}; repeat the request later.",
            retry_after=_PAUSE_RETRY if kept else 5,
        )
    paused = [one for one in enrolled if _paused(one, sessions.get(one.id), now=now)]
    if paused:
        raise _all_paused(paused, enrolled, sessions, now=now)
    if all(one.flag is ConnectorFlag.CLONE_SUSPECTED for one in enrolled):
        raise _offline(target, "its identity seems to be copied, so it has to be enrolled anew")
    if all(one.flag is ConnectorFlag.PENDING for one in enrolled):
        raise _offline(target, "an administrator has to approve it under Connectors first")
    raise _offline(target, _HOSTED_HINT if target.hosted else _HINT)


_PAUSE_RETRY: Final = 30.0  # seconds: somebody may resume it at any moment
_HINT: Final = "start Cloud Connect on its PC, or see 'cloud-connect doctor' there"
_HOSTED_HINT: Final = (
    "it runs on the hosted connector of the subscription, which the relay's operator has to start"
)


def did_not_come(
    target: "Target", connectors: "Sequence[Connector]", *, waited: float, now: float
) -> AgentOfflineError:
    """Return the error of a call that waited for *connectors* in vain.

    Args:
        waited: Seconds.
        now: UNIX time.
    """
    seen = max((one.last_seen_at or 0.0 for one in connectors), default=0.0)
    heard = f", last heard {max(0.0, now - seen):.0f} s ago," if seen else ""
    named = _names(connectors) or "the connector"
    return _offline(
        target, f"{named}{heard} did not come back within the {waited:.1f} s that the call waited"
    )


def _may_come(connector: "Connector", live: "LiveSession | None", *, now: float) -> bool:
    if connector.flag is not ConnectorFlag.ACTIVE or _paused(connector, live, now=now):
        return False
    if live is not None:
        # It became usable a moment ago, or it is dead and about to be unlisted.
        return not live.draining
    seen = connector.last_seen_at
    return seen is not None and now - seen <= _SEEN_LATELY


def _draining(connector: "Connector", live: "LiveSession | None") -> bool:
    return connector.flag is ConnectorFlag.DRAINING or (live is not None and live.draining)


def _all_paused(
    paused: "Sequence[Connector]",
    enrolled: "Sequence[Connector]",
    sessions: "Mapping[str, LiveSession]",
    *,
    now: float,
) -> ConnectorPausedError:
    ends = [_pause_end(one, sessions.get(one.id), now=now) for one in paused]
    left = min(ends, default=math.inf) - now
    how_long = "" if left == math.inf else f" for another {_duration(left)}"
    places, ends_it = [], []
    if any(_paused_there(one, sessions.get(one.id), now=now) for one in paused):
        places.append("on its PC")
        ends_it.append("'cloud-connect resume' there")
    if any((one.paused_until or 0.0) > now for one in paused):
        places.append("by an administrator")
        ends_it.append("Resume in the console")
    told = f"is paused {' and '.join(places)}{how_long}"
    verb = "continues" if len(ends_it) == 1 else "continue"
    return ConnectorPausedError(
        f"{_named(paused)} {told}{_others(paused, enrolled)}; {' and '.join(ends_it)} {verb}.",
        retry_after=min(max(1.0, left), _PAUSE_RETRY),
    )


def _pause_end(connector: "Connector", live: "LiveSession | None", *, now: float) -> float:
    """Return when its pause ends by itself in UNIX time: infinite if never, 0 without a pause."""
    held = connector.paused_until or 0.0
    if not _paused_there(connector, live, now=now):
        return held
    told = (connector.report or {}).get("paused_until")
    until = live.report.paused_until if live is not None else None
    if live is None and isinstance(told, str):
        until = datetime.fromisoformat(told)
    return math.inf if until is None else max(held, until.timestamp())


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _paused(connector: "Connector", live: "LiveSession | None", *, now: float) -> bool:
    return (connector.paused_until or 0.0) > now or _paused_there(connector, live, now=now)


def _paused_there(connector: "Connector", live: "LiveSession | None", *, now: float) -> bool:
    """Whether the PC's administrator paused it."""
    if live is not None:
        return live.report.paused
    return pause_holds(connector.report or {}, now=now)


def pause_holds(report: "Mapping[str, Any]", *, now: float) -> bool:
    """Whether a PC that is away is paused still, by the last *report* that it gave of itself."""
    until = report.get("paused_until")
    over = isinstance(until, str) and datetime.fromisoformat(until).timestamp() <= now
    return bool(report.get("paused")) and not over


def _names(connectors: "Iterable[Connector]") -> str:
    names = [f"'{connector.name}'" for connector in connectors]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _others(told: "Sequence[Connector]", enrolled: "Sequence[Connector]") -> str:
    """Return what is to be said of those of the data source that are not *told* of."""
    return "" if len(told) == len(enrolled) else ", and no other of the data source is connected"


def _named(connectors: "Sequence[Connector]") -> str:
    names = _names(connectors)
    if len(connectors) == 1:
        return f"The connector {names}"
    return f"Each of the connectors {names}"


def _none_enrolled(target: "Target") -> AgentOfflineError:
    if target.hosted:
        return AgentOfflineError(
            "This data source does not use Cloud Connect and the subscription has no hosted"
            " connector. Switch on 'Use Kianda Cloud Connect' and choose a connector."
        )
    if target.group is not None:
        return AgentOfflineError(
            f"The connector group '{target.group}' has no connector; enrol one, or choose another."
        )
    return AgentOfflineError(
        "The connector of this data source was revoked; choose another one under Connectors."
    )


def _offline(target: "Target", reason: str) -> AgentOfflineError:
    which = "hosted connector" if target.hosted else "connector"
    of_group = f"of group '{target.group}' " if target.group else ""
    return AgentOfflineError(
        f"No {which} {of_group}is connected for this data source: {reason}.", retry_after=5
    )
