"""After a restored backup: connectors come back once, and what does not fit is accepted once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud_connect.signing import SigningKey
from cloud_connect_relay.gateway.checkpoint_desk import CheckpointDesk
from cloud_connect_relay.storage.audit_checkpoints import AuditPeers, disputed, verify
from cloud_connect_relay.storage.connectors import ConnectorFlag
from doubles.link_bench import serve_relay
from doubles.raw_agent import agent_side, greet, refused_with, socket_to
from doubles.relay_node import NOW, founded
from relay.gateway.test_checkpoint_desk import KEY, Bench, at

WHY = "the disk failed"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with founded(tmp_path) as store:
        yield Bench(
            store=store,
            connector_id=await store.connector(public_key=KEY.public_key),
            desk=CheckpointDesk(store.storage, key=store.identity.public_key, clock=lambda: NOW),
        )


async def accepted(bench: Bench) -> list[int]:
    """Accept what does not fit; return the numbers of the records that were lost."""
    store = bench.store
    lost = await disputed(store.storage, store.subscription_id)
    await AuditPeers(store.storage).accept(
        store.subscription_id, lost, reason=WHY, actor="test", at=NOW
    )
    return [one.seq for _, checkpoints in lost for one in checkpoints]


async def test_connector_s_loss_is_accepted_once_and_for_what_it_was(bench: Bench) -> None:
    await bench.trade(own=at(9))
    await bench.trade(own=at(4))
    assert await accepted(bench) == [9]
    ((peer, _),) = await AuditPeers(bench.store.storage).of(bench.store.subscription_id)
    assert (peer.evidence, peer.theirs) == (None, at(4))
    assert (await bench.trade(own=at(5))).held == at(5)
    assert len(await bench.mismatches()) == 1
    await bench.trade(own=at(3))
    assert len(await bench.mismatches()) == 2, "the next loss is one again"
    assert await accepted(bench) == [5]
    assert await accepted(bench) == []


async def test_log_of_a_restored_relay_is_whole_once_that_was_accepted(bench: Bench) -> None:
    store = bench.store
    beyond = at(900, log=store.subscription_id, key=store.identity.key)  # it was signed, and lost
    within = at(1, log=store.subscription_id, key=store.identity.key)
    for lost in (beyond, within):
        await bench.trade(held=lost)
    held = [(beyond, "connector pc"), (within, "connector pc")]

    async def judged() -> tuple[bool, list[str]]:
        verdict = await verify(
            store.storage, store.subscription_id, held=held, key=store.identity.public_key
        )
        return verdict.fault is None, [one.reason for one in verdict.accepted]

    assert await judged() == (False, [])
    assert await accepted(bench) == [900], "the newest is what a connector holds"
    ((peer, _),) = await AuditPeers(store.storage).of(store.subscription_id)
    assert peer.held is None
    await bench.trade(held=within)
    assert await accepted(bench) == [1]
    assert await judged() == (True, [WHY, WHY])


async def test_all_connectors_but_the_revoked_come_back_once(tmp_path: Path) -> None:
    async with serve_relay(tmp_path) as relay:
        known = relay.tenant.connectors
        key = SigningKey.generate()
        suspected = await relay.enrol(key)
        active, revoked = [await relay.enrol(SigningKey.generate()) for _ in range(2)]
        assert await refused_with(relay, suspected.id, key, generation=7)
        await known.revoke(revoked.id, actor="test", at=1.0)
        assert await known.recover_all(actor="test", at=2.0) == 2
        found = {one.id: one for one in await known.list()}
        assert (found[active.id].flag, found[active.id].recovery) == (ConnectorFlag.ACTIVE, True)
        assert found[suspected.id].recovery
        assert (found[revoked.id].flag, found[revoked.id].recovery) == (
            ConnectorFlag.REVOKED,
            False,
        )
        actions = [entry.action for entry in await relay.tenant.audit.newest(limit=5)]
        assert actions.count("connector.recover_all") == 1


async def test_connector_that_is_ahead_of_a_restored_store_comes_back_once(tmp_path: Path) -> None:
    async with serve_relay(tmp_path) as relay:
        connector = await relay.enrol(KEY)
        await relay.tenant.connectors.recover_all(actor="test", at=2.0)
        async with socket_to(relay) as socket:
            agent = agent_side(relay, connector.id, KEY, generation=57)
            assert await greet(socket, agent) > 57
            await socket.send(agent.confirm())
            await relay.session_of(connector.id)
        await relay.gone(connector.id)
        stored = await relay.connector(connector.id)
        assert (stored.recovery, stored.flag) == (False, ConnectorFlag.ACTIVE)
        assert await refused_with(relay, connector.id, KEY, generation=30), "only once"
