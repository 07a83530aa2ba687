"""What an agent makes of the checkpoints that its relay shows it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cloud_connect.audit import AuditExchange, Checkpoint
from cloud_connect.calls import Operation
from cloud_connect.errors import TunnelClosedError, TunnelError
from cloud_connect.exchange import Exchange
from cloud_connect.session import Role, Session
from cloud_connect.signing import SigningKey
from cloud_connect.tunnel import ResponseHead
from cloud_connect_agent.audit import AuditFolder, AuditTrail, CheckpointExchange, exchange
from doubles.memory_link import link_pair
from doubles.waiting import until

KEY, RELAY = SigningKey.generate(), SigningKey.generate()


def of_relay(seq: int, *, log: str = "sub_1", digest: bytes = b"h" * 32) -> Checkpoint:
    return Checkpoint.sign(RELAY, log=log, seq=seq, digest=digest, at=seq)


@dataclass
class Relay:
    """Answers as it is told to."""

    told: list[AuditExchange] = field(default_factory=list)
    own: Checkpoint | None = None
    held: Checkpoint | None = None
    status: int = 200
    body: bytes | None = None

    async def __call__(self, exchange: Exchange) -> None:
        assert exchange.request.operation == Operation.AUDIT
        body = b"".join([chunk async for chunk in exchange])
        self.told.append(AuditExchange.model_validate_json(body))
        await exchange.send_head(ResponseHead(status=self.status))
        said = AuditExchange(own=self.own, held=self.held).model_dump_json().encode()
        await exchange.send(said if self.body is None else self.body, end_stream=True)


@dataclass
class Bench:
    relay: Relay
    trail: AuditTrail
    exchange: CheckpointExchange

    @asynccontextmanager
    async def session(self) -> AsyncIterator[asyncio.Task[None]]:
        one, other = link_pair()
        relay = Session(one, role=Role.RELAY, handler=self.relay)
        agent = Session(other, role=Role.AGENT)

        async def run(session: Session) -> None:
            with suppress(TunnelError):
                await session.run()

        async def work() -> None:
            with suppress(TunnelClosedError):
                await self.exchange.run(agent)

        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(run(session)) for session in (relay, agent)]
            working = tasks.create_task(work())
            try:
                yield working
            finally:
                working.cancel()
                for task in running:
                    task.cancel()

    def problem(self) -> str:
        return " ".join(self.trail.problems)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    folder = AuditFolder(tmp_path / "audit")
    async with AuditTrail.open(folder, signer=KEY, digest_key=b"k" * 32) as trail:
        yield Bench(Relay(), trail, CheckpointExchange(trail, relay_key=RELAY.public_key))


async def test_newest_checkpoints_are_traded_at_once_and_at_each_new_one(bench: Bench) -> None:
    bench.relay.own = of_relay(7)
    async with bench.session():
        await until(lambda: len(bench.relay.told) == 1)
        assert bench.relay.told[0] == AuditExchange()
        bench.trail.event("test.done")
        await bench.trail.sign()
        await until(lambda: len(bench.relay.told) == 2)
        assert bench.relay.told[1].own == bench.trail.checkpoint
        assert bench.relay.told[1].held == of_relay(7)
    assert bench.trail.folder.relay().own == of_relay(7)
    assert not bench.problem()


async def test_person_who_asks_gets_what_the_relay_holds_now(bench: Bench) -> None:
    assert await bench.exchange.now() is None
    async with bench.session():
        await until(lambda: bool(bench.relay.told))
        bench.trail.event("test.done")
        said = await bench.exchange.now()
        assert said is not None
        assert bench.relay.told[-1].own is not None
        assert bench.relay.told[-1].own.seq == 1
        bench.relay.status = 503
        assert await bench.exchange.now() is None
    assert await bench.exchange.now() is None


async def test_older_relay_is_left_alone(bench: Bench) -> None:
    bench.relay.status = 405
    async with bench.session() as working:
        await asyncio.wait([working])
    assert len(bench.relay.told) == 1


@pytest.mark.parametrize("body", [b"rubbish", b"{" * 20_000, b'{"own":{"seq":1}}'])
async def test_answer_that_is_none_is_asked_for_again(
    bench: Bench, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "_RETRY_SECONDS", 0.01)
    bench.relay.body = body
    async with bench.session():
        await until(lambda: len(bench.relay.told) >= 2)
        bench.relay.body = None
        bench.relay.own = of_relay(7)
        await until(lambda: bench.trail.folder.relay().own == of_relay(7))
    assert not bench.problem()


async def test_relay_that_goes_back_on_its_log_is_told_to_people(bench: Bench) -> None:
    bench.trail.folder.keep_relay(AuditExchange(own=of_relay(9)))
    for shown in (of_relay(4), of_relay(9, digest=b"x" * 32), of_relay(12, log="sub_2"), None):
        bench.trail.mismatch = None
        bench.relay.own = shown
        async with bench.session():
            await until(lambda: bool(bench.problem()))
        assert "does not go on from its record 9" in bench.problem()
        assert bench.trail.folder.relay().own == of_relay(9)  # the evidence stays


async def test_checkpoint_of_a_stranger_is_not_believed(bench: Bench) -> None:
    bench.relay.own = Checkpoint.sign(KEY, log="sub_1", seq=3, digest=b"h" * 32, at=0)
    async with bench.session():
        await until(lambda: "not signed with its key" in bench.problem())
    assert bench.trail.folder.relay().own is None


async def test_relay_that_knows_more_of_this_log_than_it_has_is_told_to_people(
    bench: Bench,
) -> None:
    bench.trail.event("test.done")
    log = bench.trail.log
    bench.relay.held = Checkpoint.sign(KEY, log=log, seq=9, digest=b"h" * 32, at=0)
    async with bench.session():
        await until(lambda: "record 9" in bench.problem())


async def test_relay_that_knows_another_log_is_told_to_people(bench: Bench) -> None:
    bench.relay.held = Checkpoint.sign(KEY, log="aud_other", seq=9, digest=b"h" * 32, at=0)
    async with bench.session():
        await until(lambda: "was begun anew" in bench.problem())


async def test_older_checkpoint_that_fits_is_no_mismatch(bench: Bench) -> None:
    for _ in range(3):
        bench.trail.event("test.done")
        await bench.trail.sign()
    first = bench.trail.folder.checkpoints()[0]
    bench.relay.held, bench.relay.own = first, of_relay(1)
    async with bench.session():
        await until(lambda: bench.trail.folder.relay().own == of_relay(1))
    assert not bench.problem()
