"""The live sessions of this node."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol

from cloud_connect.calls import Report
from cloud_connect.closing import CloseCode
from cloud_connect.echo import MAX_HELD
from cloud_connect.handshake_messages import CertificateCheck
from cloud_connect.session import Session
from cloud_connect_relay.storage.connectors import Connector, ConnectorFlag

__all__ = ["ConnectorStatus", "EchoNotes", "LiveSession", "Registry", "status_of"]

_AVOIDED_SECONDS: Final = 5.0  # after a call broke, its connector is not the first choice
_MISSED_HEARTBEAT: Final = 18.0  # seconds of silence: the heartbeat's 15, and a slow network's 3
_USABLE_GRANTS: Final = frozenset({"ready", "at_risk"})


class ConnectorStatus(StrEnum):
    """A connector's state as the API shows it."""

    ONLINE = "online"
    OFFLINE = "offline"
    DRAINING = "draining"
    PAUSED = "paused"
    PENDING = "pending"
    REVOKED = "revoked"
    CLONE_SUSPECTED = "clone_suspected"


@dataclass(slots=True, kw_only=True)
class EchoNotes:
    """What is known of one session's echoes: round trips through both ends' whole stacks.

    Attributes:
        seconds: How long the last one took; ``None`` if it failed, or there was none yet.
        at: When the last one succeeded, in UNIX time.
        error: Why the last one failed.
        due: When the next one is, on the monotonic clock.
        running: Whether one is under way.
        told: Which :attr:`LiveSession.kept_away` the last one told.
    """

    seconds: float | None = None
    at: float | None = None
    error: str | None = None
    due: float = 0.0
    running: bool = False
    told: tuple[bool, float] = (False, 0.0)

    @property
    def milliseconds(self) -> float | None:
        """The same for people."""
        return None if self.seconds is None else round(self.seconds * 1000, 3)


class ClosableLink(Protocol):
    """What ends a session from outside."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the link."""
        ...


@dataclass(slots=True, kw_only=True, eq=False, weakref_slot=True)
class LiveSession:
    """One connected agent.

    Attributes:
        connected_since: UNIX time.
        instance: Which process of the agent it is; a restart has another one.
        certificate: Whether the agent saw the certificate that this relay knows.
        policy_class: The most that its join token allows.
        flagged_draining: An administrator drains it.
        held_until: Until then an administrator keeps calls from it; UNIX time.
        clock: UNIX time.
        waiting: Calls that wait for their turn at it.
        echo: How the last echoes went.
        broke_at: When it broke a call off, on the sessions' clock.
    """

    connector_id: str
    subscription_id: str
    name: str
    group: str | None
    hosted: bool
    session: Session
    link: ClosableLink
    connected_since: float
    instance: str = ""
    certificate: CertificateCheck = "unverified"
    report: Report = field(default_factory=Report)
    policy_class: str = "read-write"
    flagged_draining: bool = False
    held_until: float = 0.0
    clock: Callable[[], float] = time.time
    echo: EchoNotes = field(default_factory=EchoNotes)
    waiting: int = 0
    broke_at: float | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended, and only has to be unlisted yet."""
        return self.session.multiplexer is None

    @property
    def full(self) -> bool:
        """Whether it carries as many calls as its agent allows."""
        multiplexer = self.session.multiplexer
        return multiplexer is None or not multiplexer.has_room

    @property
    def in_flight(self) -> int:
        """Streams that are open, but for the relay's own echo."""
        return max(0, self.session.in_flight - self.echo.running)

    @property
    def round_trip_ms(self) -> float | None:
        """The last round trip to the agent."""
        seconds = self.session.round_trip
        return None if seconds is None else round(seconds * 1000, 3)

    @property
    def paused(self) -> bool:
        """Whether it takes no calls for a while: somebody paused it, on its PC or here."""
        return self.report.paused or self.held_seconds is not None

    @property
    def held_seconds(self) -> float | None:
        """For how long an administrator still keeps calls from it; ``None`` if nobody does."""
        left = self.held_until - self.clock()
        return min(left, MAX_HELD) if left > 0 else None

    @property
    def kept_away(self) -> tuple[bool, float]:
        """How an administrator keeps calls from it: whether drained, and paused until when."""
        return self.flagged_draining, self.held_until

    @property
    def leaving(self) -> bool:
        """Whether this session ends soon: its agent or this relay drains it."""
        return self.session.peer_draining or self.session.draining

    @property
    def draining(self) -> bool:
        """Whether it takes no new calls: an administrator, its agent or this relay drains it."""
        return self.flagged_draining or self.leaving

    def is_shaky(self, now: float) -> bool:
        """Whether another connector is the better choice, if there is one.

        Args:
            now: On the sessions' clock.
        """
        if self.broke_at is not None and now - self.broke_at < _AVOIDED_SECONDS:
            return True
        silence = now - self.session.last_received
        return self.echo.error is not None or silence > _MISSED_HEARTBEAT

    def is_signed_in(self, source: Mapping[str, Any]) -> bool:
        """Whether its agent can ask Procore for the company, as far as it has told."""
        grants = [
            grant for grant in self.report.procore if grant.environment == source.get("environment")
        ]
        if not grants:
            return not self.report.procore
        return any(
            grant.state in _USABLE_GRANTS
            and all(circuit.company_id != source.get("company_id") for circuit in grant.circuits)
            for grant in grants
        )


class Flagged(Protocol):
    """A connector, as far as its state is stored."""

    @property
    def flag(self) -> ConnectorFlag:
        """What is stored of its state."""
        ...


def status_of(connector: Flagged, live: LiveSession | None) -> ConnectorStatus:
    """Return what to show of a connector and its session, if it has one."""
    if not connector.flag.may_connect:
        return ConnectorStatus(connector.flag.value)
    if live is None:
        return ConnectorStatus.OFFLINE
    if live.draining or connector.flag is ConnectorFlag.DRAINING:
        return ConnectorStatus.DRAINING
    return ConnectorStatus.PAUSED if live.paused else ConnectorStatus.ONLINE


class Registry:
    """Who is connected: at most one session of a connector.

    Attributes:
        intercepted: When a connector was refused last because somebody sat in between, in UNIX
            time; until it connects without.
        version: Another number after each change.
    """

    def __init__(self) -> None:
        self.version = 0
        self.intercepted: Final[dict[str, float]] = {}
        self._by_connector: Final[dict[str, LiveSession]] = {}
        self._by_subscription: Final[dict[str, dict[str, LiveSession]]] = {}
        self._change = asyncio.Event()

    def __len__(self) -> int:
        return len(self._by_connector)

    def __iter__(self) -> Iterator[LiveSession]:
        return iter(tuple(self._by_connector.values()))

    def get(self, connector_id: str) -> LiveSession | None:
        """Return the connector's session, if it is connected."""
        return self._by_connector.get(connector_id)

    def sessions(self, subscription_id: str) -> list[LiveSession]:
        """Return the live sessions of a subscription."""
        return list(self._by_subscription.get(subscription_id, {}).values())

    async def changed(self) -> None:
        """Wait until the next session comes, goes, or tells something else of itself."""
        await self._change.wait()

    def add(self, live: LiveSession) -> LiveSession | None:
        """List a session; return the older one that it takes over from, already unlisted."""
        self.intercepted.pop(live.connector_id, None)
        older = self._by_connector.get(live.connector_id)
        if older is not None:
            self._unlist(older)
        self._by_connector[live.connector_id] = live
        self._by_subscription.setdefault(live.subscription_id, {})[live.connector_id] = live
        self._notify()
        return older

    def remove(self, live: LiveSession) -> bool:
        """Unlist exactly this session, and no newer one; whether it was listed."""
        if self._by_connector.get(live.connector_id) is not live:
            return False
        self._unlist(live)
        self._notify()
        return True

    async def cut(self, connector_id: str, reason: CloseCode = CloseCode.REVOKED) -> bool:
        """Unlist the connector's session, take no frame of it, close its link.

        Returns:
            Whether there was one.
        """
        live = self._by_connector.get(connector_id)
        if live is None:
            self._notify()  # who lists the connector looks again
            return False
        self.remove(live)
        live.session.fence(reason, reason.name.lower())
        await live.link.close(reason, reason.name.lower())
        return True

    def reported(self, live: LiveSession, report: Report) -> None:
        """Take in what an agent tells of itself."""
        live.report = report
        self._notify()

    def flagged(self, live: LiveSession, *, draining: bool, held_until: float = 0.0) -> None:
        """Take in whether an administrator drains or pauses it: what waits for it goes elsewhere.

        Args:
            held_until: Of a pause; UNIX time.
        """
        if live.kept_away != (draining, held_until):
            live.flagged_draining, live.held_until = draining, held_until
            self._notify()

    def refresh(self, connector: Connector) -> None:
        """Take in what an administrator changed of a connector."""
        live = self._by_connector.get(connector.id)
        if live is not None:
            live.name, live.group = connector.name, connector.group
            live.flagged_draining = connector.flag is ConnectorFlag.DRAINING
            live.held_until = connector.paused_until or 0.0
        self._notify()  # of one that is not connected, too: who lists it looks again

    def _unlist(self, live: LiveSession) -> None:
        del self._by_connector[live.connector_id]
        siblings = self._by_subscription[live.subscription_id]
        del siblings[live.connector_id]
        if not siblings:
            del self._by_subscription[live.subscription_id]

    def _notify(self) -> None:
        self.version += 1
        self._change.set()
        self._change = asyncio.Event()
