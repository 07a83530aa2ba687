from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud_connect.signing import SigningKey
from cloud_connect_relay.storage.connector_sessions import ConnectorSessions
from cloud_connect_relay.storage.connectors import ConnectorFlag
from cloud_connect_relay.storage.subscriptions import Subscriptions
from doubles.link_bench import Relay, open_relay


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    async with open_relay(tmp_path) as relay:
        yield relay


async def test_connectors_are_listed_by_name(relay: Relay) -> None:
    for name in ("b", "a"):
        await relay.enrol(SigningKey.generate(), name=name)
    listed = await relay.tenant.connectors.list()
    assert [connector.name for connector in listed] == ["a", "b"]


async def test_other_subscription_sees_and_changes_nothing(relay: Relay) -> None:
    connector = await relay.enrol(SigningKey.generate())
    stranger = relay.storage.of("sub_b").connectors
    assert await stranger.list() == ()
    assert await stranger.get(connector.id) is None
    assert (
        await stranger.change(connector.id, name="mine", draining=True, actor="test", at=1.0)
        is None
    )
    assert not await stranger.revoke(connector.id, actor="test", at=1.0)
    assert await relay.connector(connector.id) == connector


async def test_only_what_is_given_changes(relay: Relay) -> None:
    mine = relay.tenant.connectors
    connector = await relay.enrol(SigningKey.generate())
    changed = await mine.change(connector.id, name="renamed", group="east", actor="test", at=1.0)
    assert changed is not None
    assert (changed.name, changed.group, changed.flag) == ("renamed", "east", ConnectorFlag.ACTIVE)
    changed = await mine.change(connector.id, group="", draining=True, actor="test", at=1.0)
    assert changed is not None
    assert (changed.name, changed.group) == ("renamed", None)
    assert changed.flag is ConnectorFlag.DRAINING
    assert await mine.change(connector.id, actor="test", at=1.0) == changed
    changed = await mine.change(connector.id, draining=False, actor="test", at=1.0)
    assert changed is not None
    assert changed.flag is ConnectorFlag.ACTIVE


async def test_revoked_connector_stays_revoked(relay: Relay) -> None:
    mine = relay.tenant.connectors
    connector = await relay.enrol(SigningKey.generate())
    assert await mine.revoke(connector.id, actor="test", at=1.0)
    assert await mine.revoke(connector.id, actor="test", at=1.0)
    await mine.change(connector.id, draining=True, actor="test", at=1.0)
    sessions = ConnectorSessions(relay.storage)
    await sessions.suspect(connector, sign="generation", now=1.0)
    assert (await relay.connector(connector.id)).flag is ConnectorFlag.REVOKED
    actions = [entry.action for entry in await relay.tenant.audit.newest(limit=9)]
    assert actions == [
        "connector.change",
        "connector.revoke",
        "connector.revoke",
        "connector.enrol",
        "join_token.create",
    ]


async def test_generation_never_goes_back(relay: Relay) -> None:
    sessions = ConnectorSessions(relay.storage)
    connector = await relay.enrol(SigningKey.generate())
    for confirmed in (1, 3, 2):
        await sessions.confirm(connector.id, confirmed)
    assert (await relay.connector(connector.id)).generation == 3


async def test_revoked_subscription_has_no_connectors_for_the_gateway(relay: Relay) -> None:
    sessions = ConnectorSessions(relay.storage)
    connector = await relay.enrol(SigningKey.generate())
    assert await sessions.find(connector.id) is not None
    assert await sessions.flagged(now=5.0) == {}
    await Subscriptions(relay.storage).revoke("sub_a", actor="test", at=1.0)
    assert await sessions.find(connector.id) is None
    assert await sessions.flagged(now=5.0) == {connector.id: (ConnectorFlag.REVOKED, 0.0)}


async def test_pause_by_an_administrator_is_known_until_it_ends(relay: Relay) -> None:
    sessions = ConnectorSessions(relay.storage)
    connector = await relay.enrol(SigningKey.generate())
    change = relay.tenant.connectors.change
    await change(connector.id, paused_until=9.0, actor="test", at=5.0)
    assert await sessions.flagged(now=8.0) == {connector.id: (ConnectorFlag.ACTIVE, 9.0)}
    assert await sessions.flagged(now=9.0) == {}
    ended = await change(connector.id, paused_until=6.0, actor="test", at=6.0)
    assert ended is not None
    assert ended.paused_until is None


async def test_nobody_heard_means_nothing_written(relay: Relay) -> None:
    sessions = ConnectorSessions(relay.storage)
    connector = await relay.enrol(SigningKey.generate())
    await sessions.seen({})
    assert (await relay.connector(connector.id)).last_seen_at is None
    await sessions.seen({connector.id: 7.0})
    assert (await relay.connector(connector.id)).last_seen_at == 7.0
