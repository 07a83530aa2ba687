"""A gigabyte that was packed into a megabyte: the relay never unpacks what passes through it."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResponseHead
from doubles.fleet import Fleet, fleet
from doubles.scripted_agent import ScriptedAgent

MEBIBYTE: Final = 1024 * 1024
MORE_RSS: Final = 32 * MEBIBYTE
MEMBER: Final = 16 * MEBIBYTE
# RFC 1952, 2.2: members one behind the other unpack to what they hold, joined.
BOMB: Final = gzip.compress(bytes(MEMBER), mtime=0) * (1024 * MEBIBYTE // MEMBER)


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet(tmp_path) as made:
        yield made


async def explode(exchange: Exchange, _: bytes) -> None:
    """Answer with the bomb."""
    headers = (("content-type", "application/json"), ("content-encoding", "gzip"))
    head = ResponseHead(status=200, headers=headers, outcome=Outcome.COMPLETED)
    await exchange.send_head(head)
    await exchange.send(BOMB, end_stream=True)


@pytest.mark.catalogue("T91")
@pytest.mark.timeout(60)
async def test_packed_gigabyte_is_refused_or_passed_on_as_it_is(relay: Fleet) -> None:
    assert len(BOMB) < 2 * MEBIBYTE
    agent = ScriptedAgent(
        script={
            Operation.PASSTHROUGH: explode,
            Operation.LIST: explode,
            Operation.GET: explode,
            Operation.TREE: explode,
        }
    )
    [member] = await relay.enlist(1, handler=agent)
    await relay.until_online(within=20)
    source = await relay.datasource(member)
    packed = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    before = most = relay.relay.usage.rss_bytes
    for place in (f"{source}/query", f"{source}/records/rfis", "/api/datasources", "/Token"):
        for body in (BOMB, BOMB[: len(BOMB) // 64]):
            answer = await relay.api.post(
                place, content=body, headers={**packed, "Idempotency-Key": f"bomb-{len(body)}"}
            )
            assert 400 <= answer.status_code < 500, (place, answer.text)
            most = max(most, relay.relay.usage.rss_bytes)
    async with relay.api.stream("GET", f"{source}/procore/rest/v1.0/me") as passed:
        assert passed.headers["content-encoding"] == "gzip"
        assert b"".join([piece async for piece in passed.aiter_raw()]) == BOMB
    for place in ("records/rfis", "records/rfis/1", "tree"):
        method = "POST" if place == "tree" else "GET"
        async with asyncio.timeout(20), relay.api.stream(method, f"{source}/{place}") as answered:
            size = 0
            async for piece in answered.aiter_raw():
                size += len(piece)
                most = max(most, relay.relay.usage.rss_bytes)
            assert size <= len(BOMB) + MEBIBYTE
    print(f"T91: RSS +{(most - before) / MEBIBYTE:.1f} MiB")  # noqa: T201
    assert most - before <= MORE_RSS
    assert member.connects == 1
