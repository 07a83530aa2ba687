import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cloud_connect.calls import Report
from cloud_connect.closing import CloseCode
from cloud_connect_relay.gateway.registry import (
    ConnectorStatus,
    LiveSession,
    Registry,
    status_of,
)
from cloud_connect_relay.storage.connectors import Connector, ConnectorFlag


@dataclass
class SessionFacts:
    in_flight: int = 0
    round_trip: float | None = None
    draining: bool = False
    peer_draining: bool = False
    fenced: list[CloseCode] = field(default_factory=list)

    def fence(self, code: CloseCode, reason: str) -> None:
        assert reason
        self.fenced.append(code)


@dataclass
class Link:
    closed: list[tuple[int, str]] = field(default_factory=list)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.closed.append((code, reason))


def live(connector_id: str = "con_a", subscription_id: str = "sub_a") -> Any:
    facts: Any = SessionFacts()
    return LiveSession(
        connector_id=connector_id,
        subscription_id=subscription_id,
        name="pc",
        group=None,
        hosted=False,
        session=facts,
        link=Link(),
        connected_since=1.0,
    )


CONNECTOR = Connector(
    id="con_a",
    subscription_id="sub_a",
    name="renamed",
    machine="",
    os="",
    version="",
    group="east",
    hosted=False,
    flag=ConnectorFlag.ACTIVE,
    policy_class="read-write",
    public_key=bytes(32),
    key_id="key_a",
    generation=0,
    enrolled_at=0.0,
    last_seen_at=None,
    connected_since=None,
    report=None,
)


def test_sessions_are_found_by_connector_and_by_subscription() -> None:
    registry = Registry()
    first, second, foreign = live("con_a"), live("con_b"), live("con_c", "sub_b")
    for session in (first, second, foreign):
        assert registry.add(session) is None
    assert registry.get("con_a") is first
    assert registry.get("con_x") is None
    assert registry.sessions("sub_a") == [first, second]
    assert registry.sessions("sub_b") == [foreign]
    assert registry.sessions("sub_x") == []
    assert len(registry) == 3
    assert list(registry) == [first, second, foreign]


def test_newest_session_takes_over() -> None:
    registry = Registry()
    older, newer = live(), live()
    registry.add(older)
    assert registry.add(newer) is older
    assert registry.sessions("sub_a") == [newer]


def test_removing_one_session_removes_exactly_that_one() -> None:
    registry = Registry()
    older, newer, sibling = live(), live(), live("con_b")
    for session in (older, newer, sibling):
        registry.add(session)
    assert not registry.remove(older)
    assert registry.sessions("sub_a") == [newer, sibling]
    assert registry.remove(newer)
    assert not registry.remove(newer)
    assert registry.sessions("sub_a") == [sibling]
    registry.remove(sibling)
    assert registry._by_subscription == {}


async def test_waiters_learn_of_every_change() -> None:
    registry = Registry()
    session = live()
    changes = (
        lambda: registry.add(session),
        lambda: registry.reported(session, Report(paused=True)),
        lambda: registry.refresh(CONNECTOR),
        lambda: registry.remove(session),
    )
    for change in changes:
        async with asyncio.TaskGroup() as tasks:
            waiter = tasks.create_task(registry.changed())
            await asyncio.sleep(0)
            assert not waiter.done()
            change()


async def test_cut_unlists_first_and_closes_then() -> None:
    registry = Registry()
    session = live()
    registry.add(session)
    assert await registry.cut("con_a")
    assert session.session.fenced == [CloseCode.REVOKED]
    assert session.link.closed == [(CloseCode.REVOKED, "revoked")]
    assert registry.get("con_a") is None
    assert not await registry.cut("con_a", CloseCode.CLONE_SUSPECTED)


def test_echo_under_way_is_no_call() -> None:
    session = live()
    session.session.in_flight = 3
    session.echo.running = True
    assert session.in_flight == 2


def test_administrators_changes_reach_a_live_session() -> None:
    registry = Registry()
    session = live()
    registry.add(session)
    registry.refresh(replace(CONNECTOR, flag=ConnectorFlag.DRAINING))
    assert (session.name, session.group, session.draining) == ("renamed", "east", True)
    registry.refresh(CONNECTOR)
    registry.refresh(replace(CONNECTOR, id="con_x"))
    assert [found.draining for found in registry] == [False]


def test_round_trip_is_shown_in_milliseconds() -> None:
    for seconds, milliseconds in ((None, None), (0.0123456, 12.346)):
        session = live()
        session.session = SessionFacts(round_trip=seconds, in_flight=3)
        assert (session.round_trip_ms, session.in_flight) == (milliseconds, 3)


@pytest.mark.parametrize(
    ("flag", "facts", "paused", "status"),
    [
        (ConnectorFlag.ACTIVE, None, False, ConnectorStatus.OFFLINE),
        (ConnectorFlag.DRAINING, None, False, ConnectorStatus.OFFLINE),
        (ConnectorFlag.ACTIVE, SessionFacts(), False, ConnectorStatus.ONLINE),
        (ConnectorFlag.ACTIVE, SessionFacts(), True, ConnectorStatus.PAUSED),
        (ConnectorFlag.DRAINING, SessionFacts(), True, ConnectorStatus.DRAINING),
        (ConnectorFlag.ACTIVE, SessionFacts(peer_draining=True), True, ConnectorStatus.DRAINING),
        (ConnectorFlag.ACTIVE, SessionFacts(draining=True), False, ConnectorStatus.DRAINING),
        (ConnectorFlag.REVOKED, SessionFacts(), False, ConnectorStatus.REVOKED),
        (ConnectorFlag.CLONE_SUSPECTED, None, False, ConnectorStatus.CLONE_SUSPECTED),
    ],
)
def test_status_says_what_matters_most(
    flag: ConnectorFlag, facts: Any, status: ConnectorStatus, *, paused: bool
) -> None:
    session = None
    if facts is not None:
        session = live()
        session.session = facts
        session.report = Report(paused=paused)
    assert status_of(replace(CONNECTOR, flag=flag), session) is status


async def test_drain_by_an_administrator_is_news_to_whoever_waits_for_the_connector() -> None:
    registry = Registry()
    session = live()
    registry.add(session)
    for draining in (True, False):
        async with asyncio.timeout(5):
            news = asyncio.create_task(registry.changed())
            await asyncio.sleep(0)
            registry.flagged(session, draining=draining)
            await news
        assert session.draining is draining


async def test_pause_by_an_administrator_is_news_and_ends_by_itself() -> None:
    registry = Registry()
    session = live()
    registry.add(session)
    news = asyncio.create_task(registry.changed())
    await asyncio.sleep(0)
    registry.flagged(session, draining=False, held_until=time.time() + 0.2)
    async with asyncio.timeout(5):
        await news
        assert status_of(CONNECTOR, session) is ConnectorStatus.PAUSED
        while session.paused:
            await asyncio.sleep(0.01)
    assert status_of(CONNECTOR, session) is ConnectorStatus.ONLINE
