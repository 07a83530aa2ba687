"""Long answers of a Procore that hangs up at once: whole, or an error, never a part (T20)."""

import hashlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest

from doubles.agent_bench import Bench, bench
from doubles.call_relay import CallRelay, call_relay
from doubles.checker import check
from doubles.fake_procore import Reply
from doubles.history import Delivery, History

SIZE: Final = 20 * 1024 * 1024
ANSWERS: Final = 200
SEED: Final = 20


@dataclass(kw_only=True)
class Chain:
    """Caller, relay and agent, in front of a Procore that does as it is told."""

    agent: Bench
    relay: CallRelay
    url: str

    async def deliver(self, name: str, reply: Reply, sent_sha256: str) -> Delivery:
        """Ask for the answer and note what its caller got, and was told of it."""
        self.agent.procore.api.then(reply)
        digest, whole = hashlib.sha256(), False
        try:
            async with self.relay.api.stream("GET", self.url) as answer:
                async for piece in answer.aiter_raw():
                    digest.update(piece)
                whole = answer.status_code == 200
        except httpx.TransportError:
            whole = False
        return Delivery(
            name=name, sent_sha256=sent_sha256, got_sha256=digest.hexdigest(), whole=whole
        )


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Chain]:
    (tmp_path / "relay").mkdir()
    async with bench(tmp_path) as agent, call_relay(tmp_path / "relay") as relay:
        connected = await relay.connect(agent.dispatcher)  # type: ignore[arg-type]  # a handler
        base = await relay.datasource(connected.live.connector_id)
        yield Chain(agent=agent, relay=relay, url=f"{base}/procore/rest/v1.0/projects/1/everything")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def all_whole(chain: Chain, size: int) -> None:
    body = random.Random(SEED).randbytes(size)
    digest = sha256(body)
    reply = Reply(body=body, close=True)
    found = [await chain.deliver(f"whole-{n}", reply, digest) for n in range(ANSWERS)]
    assert not check(History(deliveries=tuple(found)))
    assert sum(one.whole for one in found) == ANSWERS


@pytest.mark.catalogue("T20")
@pytest.mark.timeout(90)
async def test_answer_whose_sender_hangs_up_behind_it_arrives_whole(chain: Chain) -> None:
    await all_whole(chain, SIZE // 10)  # the end is what matters; all of it takes minutes


@pytest.mark.nightly
@pytest.mark.catalogue("T20")
@pytest.mark.timeout(300)
async def test_long_answer_whose_sender_hangs_up_behind_it_arrives_whole(chain: Chain) -> None:
    await all_whole(chain, SIZE)


@pytest.mark.catalogue("T20")
async def test_answer_that_lacks_its_end_is_an_error(chain: Chain) -> None:
    dice = random.Random(SEED)
    body = dice.randbytes(300_000)
    digest = sha256(body)
    found = []
    for number in range(40):
        cut = len(body) - 1 if number < 10 else dice.randrange(len(body))
        reply = Reply(body=body, cut=cut)
        if number % 2:  # nothing but the last chunk says that there is no more
            reply = Reply(chunks=[body[:cut]], cut=0)
        found.append(await chain.deliver(f"cut-{cut}", reply, digest))
    assert not check(History(deliveries=tuple(found)))
    assert not any(one.whole for one in found)
