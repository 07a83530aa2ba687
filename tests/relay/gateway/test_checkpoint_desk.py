"""What a relay makes of the checkpoints that agents show it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.audit import AuditExchange, Checkpoint
from cloud_connect.signing import SigningKey
from cloud_connect_relay.audit_keeper import AuditKeeper
from cloud_connect_relay.gateway.checkpoint_desk import CheckpointDesk
from cloud_connect_relay.storage.audit import AuditFilter
from cloud_connect_relay.storage.audit_checkpoints import AuditPeers
from doubles.relay_node import NOW, Founded, founded

KEY = SigningKey.generate()
LOG = "aud_1"


def at(seq: int, *, log: str = LOG, key: SigningKey = KEY, digest: bytes = b"h" * 32) -> Checkpoint:
    return Checkpoint.sign(key, log=log, seq=seq, digest=digest, at=NOW + seq)


@dataclass
class Bench:
    store: Founded
    connector_id: str
    desk: CheckpointDesk

    async def trade(
        self, own: Checkpoint | None = None, held: Checkpoint | None = None
    ) -> AuditExchange:
        told = AuditExchange(own=own, held=held)
        return await self.desk.trade(self.connector_id, self.store.subscription_id, told)

    async def mismatches(self) -> list[dict[str, Any]]:
        log = self.store.storage.of(self.store.subscription_id).audit
        found = await log.newest(AuditFilter(action="connector.audit_mismatch"), limit=10)
        assert {entry.target for entry in found} <= {self.connector_id}
        return [dict(entry.detail) for entry in found]

    async def signed(self) -> Checkpoint:
        await AuditKeeper(self.store.storage, self.store.identity.key).sign(all_now=True)
        newest = (await self.trade()).own
        assert newest is not None
        return newest


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with founded(tmp_path) as store:
        yield Bench(
            store=store,
            connector_id=await store.connector(public_key=KEY.public_key),
            desk=CheckpointDesk(store.storage, key=store.identity.public_key, clock=lambda: NOW),
        )


async def test_each_holds_the_other_s_newest(bench: Bench) -> None:
    assert await bench.trade() == AuditExchange()
    assert (await bench.trade(own=at(5))).held == at(5)
    assert (await bench.trade(own=at(9))).held == at(9)
    own = await bench.signed()
    assert own.log == bench.store.subscription_id
    assert await bench.trade(own=at(9), held=own) == AuditExchange(own=own, held=at(9))
    assert await bench.mismatches() == []


@pytest.mark.parametrize("shown", [at(4), at(9, digest=b"x" * 32), at(12, log="aud_2")])
async def test_log_that_does_not_go_on_is_recorded_and_its_signature_kept(
    bench: Bench, shown: Checkpoint
) -> None:
    await bench.trade(own=at(9))
    assert (await bench.trade(own=shown)).held == at(9)
    (facts,) = await bench.mismatches()
    assert (facts["signed"]["seq"], facts["shown"]["seq"]) == (9, shown.seq)
    again = at(shown.seq + 1, log=shown.log)
    assert (await bench.trade(own=again)).held == at(9)  # however far it goes from there
    assert len(await bench.mismatches()) == 1
    ((peer, name),) = await AuditPeers(bench.store.storage).of(bench.store.subscription_id)
    assert (peer.evidence, peer.theirs, name) == (at(9), again, "pc")


async def test_forged_checkpoint_changes_nothing(bench: Bench) -> None:
    stranger = SigningKey.generate()
    await bench.trade(own=at(5))
    for forged in (at(9, key=stranger), at(9).model_copy(update={"seq": 10})):
        assert (await bench.trade(own=forged)).held == at(5)
    assert await bench.mismatches() == []


async def test_checkpoint_of_ours_that_we_do_not_have_is_recorded_once(bench: Bench) -> None:
    own = await bench.signed()
    ours = bench.store.identity.key
    beyond = at(own.seq + 5, log=own.log, key=ours)
    await bench.trade(held=beyond)
    await bench.trade(held=beyond)
    await bench.trade(held=own)  # an older one says no more
    (facts,) = await bench.mismatches()
    assert facts["signed"]["seq"] == own.seq + 5


async def test_checkpoint_of_ours_with_another_hash_is_recorded(bench: Bench) -> None:
    own = await bench.signed()
    await bench.trade(held=at(own.seq, log=own.log, key=bench.store.identity.key))
    assert len(await bench.mismatches()) == 1


async def test_checkpoint_that_we_did_not_sign_proves_nothing(bench: Bench) -> None:
    own = await bench.signed()
    ours = bench.store.identity.key
    for strange in (at(99, log=own.log), at(99, log="other", key=ours)):
        await bench.trade(held=strange)
    assert await bench.mismatches() == []


async def test_checkpoint_of_records_that_went_for_their_age_is_no_mismatch(bench: Bench) -> None:
    own = await bench.signed()
    keeper = AuditKeeper(bench.store.storage, bench.store.identity.key, clock=lambda: NOW + 10**9)
    assert await keeper.cut(retention=0)
    await bench.trade(held=own)
    assert await bench.mismatches() == []
