"""What is told of connectors: what has changed since the last look, while somebody listens."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from cloud_connect_relay.events.hub import About
from cloud_connect_relay.gateway.registry import ConnectorStatus, status_of
from cloud_connect_relay.times import iso_time

if TYPE_CHECKING:
    from cloud_connect_relay.call_statistics import CallStatistics
    from cloud_connect_relay.events.hub import EventHub
    from cloud_connect_relay.gateway.registry import LiveSession, Registry
    from cloud_connect_relay.storage import Storage
    from cloud_connect_relay.storage.connectors import ConnectorBrief

__all__ = ["ConnectorWatch"]

log = structlog.get_logger(__name__)

_INTERVAL: Final = 5.0  # seconds between two looks when no session comes, goes or reports
_REST: Final = 0.1  # seconds between two looks at least: what comes together is told together
_REST_SHARE: Final = 5  # times a look: looking is a small part of what the process does
_AT_ONCE: Final = 200  # connectors looked at before others go on, and told of in one event
_FARTHER: Final = 0.2  # a share by which a round trip changes before it is told again,
_FARTHER_MS: Final = 1.0  # and at least so much


@dataclass(slots=True, kw_only=True)
class _Known:
    """What the listeners were told of one connector.

    Attributes:
        facts: That a change of is told at once.
        since: When its session began.
        measures: That change all the time, and are told calmly.
    """

    status: ConnectorStatus
    facts: tuple[object, ...]
    name: str
    since: float | None
    measures: dict[str, Any]


class ConnectorWatch:
    """Compares the connectors of watched subscriptions with what was told of them.

    What other processes change in the store is noticed, too: nobody has to tell.
    """

    def __init__(
        self,
        hub: "EventHub",
        *,
        registry: "Registry",
        storage: "Storage",
        statistics: "CallStatistics",
        interval: float = _INTERVAL,
    ) -> None:
        self._hub: Final = hub
        self._registry: Final = registry
        self._storage: Final = storage
        self._statistics: Final = statistics
        self._interval: Final = interval
        self._known: Final[dict[str, dict[str, _Known]]] = {}

    async def prime(self, subscription_id: str) -> None:
        """Take note of how a subscription's connectors are: what changes from here on is told."""
        if subscription_id not in self._known:
            briefs = await self._storage.of(subscription_id).connectors.briefs()
            if subscription_id not in self._known:  # a look may have come between
                self._known[subscription_id] = {
                    brief.id: self._seen(brief, self._registry.get(brief.id)) for brief in briefs
                }

    async def run(self) -> None:
        """Look and tell, as long as somebody listens; until cancelled."""
        while True:
            await self._hub.somebody()
            began, version = time.monotonic(), self._registry.version
            watched = self._hub.subscriptions()
            for subscription_id in self._known.keys() - set(watched):
                del self._known[subscription_id]
            for subscription_id in watched:
                try:
                    await self._look(subscription_id)
                except SQLAlchemyError:
                    log.warning("store_unavailable", exc_info=True)
            await asyncio.sleep(max(_REST, _REST_SHARE * (time.monotonic() - began)))
            if self._registry.version == version:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._interval):
                        await self._registry.changed()

    async def _look(self, subscription_id: str) -> None:
        known = self._known.get(subscription_id)
        if known is None:
            await self.prime(subscription_id)
            return
        briefs = await self._storage.of(subscription_id).connectors.briefs()
        measured: list[dict[str, Any]] = []
        for place, brief in enumerate(briefs):
            if place % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            live = self._registry.get(brief.id)
            before, seen = known.get(brief.id), self._seen(brief, live)
            for change in _changes(before, seen):
                data = {"change": change, "connector": _document(brief, live, seen)}
                self._hub.publish(subscription_id, "connector", data, about=About.CONNECTORS)
            if before is None or _differ(before.measures, seen.measures):
                measured.append({"id": brief.id, **seen.measures})
            else:
                seen.measures = before.measures  # so that small steps add up
            known[brief.id] = seen
        for place in range(0, len(measured), _AT_ONCE):
            some = measured[place : place + _AT_ONCE]
            self._hub.publish(
                subscription_id, "measures", {"connectors": some}, about=About.CONNECTORS
            )

    def _seen(self, brief: "ConnectorBrief", live: "LiveSession | None") -> _Known:
        return _Known(
            status=status_of(brief, live),
            name=brief.name,
            since=live.connected_since if live else None,
            facts=(
                (brief.machine, brief.os, brief.version, brief.group, brief.hosted),
                *_reported(live).values(),
            ),
            measures=self._measures(brief.id, live),
        )

    def _measures(self, connector_id: str, live: "LiveSession | None") -> dict[str, Any]:
        return {
            "round_trip_ms": live.round_trip_ms if live else None,
            "echo_ms": live.echo.milliseconds if live else None,
            "echo_error": live.echo.error if live else None,
            "in_flight": live.in_flight if live else 0,
            **self._statistics.of(connector_id).document(),
        }


def _changes(before: _Known | None, seen: _Known) -> Iterator[str]:
    """Yield what has become of a connector, in the order in which it is told."""
    if before is None:
        yield "joined"
        if seen.status is not ConnectorStatus.OFFLINE:
            yield seen.status.value
        return
    if before.name != seen.name:
        yield "renamed"
    if before.status is not seen.status:
        yield seen.status.value
    elif seen.since is not None and before.since is not None and before.since != seen.since:
        yield "reconnected"
    elif before.facts != seen.facts:
        yield "changed"


def _reported(live: "LiveSession | None") -> dict[str, Any]:
    """Return what a live agent tells of itself that a list shows."""
    if live is None:
        return {"policy": None, "procore": None, "paused_until": None}
    report = live.report
    return {
        "policy": report.policy.get("class"),
        "procore": [
            {"environment": one.environment.value, "account": one.account, "state": one.state}
            for one in report.procore
        ],
        "paused_until": report.paused_until.isoformat() if report.paused_until else None,
    }


def _document(brief: "ConnectorBrief", live: "LiveSession | None", seen: _Known) -> dict[str, Any]:
    return {
        "id": brief.id,
        "name": brief.name,
        "machine": brief.machine,
        "os": brief.os,
        "version": brief.version,
        "group": brief.group,
        "hosted": brief.hosted,
        "status": seen.status.value,
        "connected_since": iso_time(seen.since),
        "last_seen_at": None if live else iso_time(brief.last_seen_at),
        **_reported(live),
        **seen.measures,
    }


def _differ(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether the difference is worth telling; trips of a network that is as usual are not."""
    if any(before[name] != after[name] for name in _EXACT):
        return True
    return any(_is_far(before[name], after[name]) for name in ("round_trip_ms", "echo_ms"))


_EXACT: Final = ("echo_error", "in_flight", "calls", "error_rate", "last_error")


def _is_far(before: float | None, after: float | None) -> bool:
    if before is None or after is None:
        return before is not after
    return abs(after - before) > max(_FARTHER_MS, _FARTHER * before)
