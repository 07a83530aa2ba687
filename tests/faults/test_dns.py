"""The relay's name cannot be resolved for a while, and stands for another address afterwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from doubles.name_server import NameServer
from doubles.namespaces import PrivateNetwork, with_resolver
from doubles.secure_pair import SecurePair, open_pair

RELAY: Final = "relay.test"
OLD: Final = "127.0.0.1"
NEW: Final = "127.0.0.2"
BEYOND_CAP: Final = 5.0  # seconds


@asynccontextmanager
async def dead_end(port: int) -> AsyncIterator[list[str]]:
    """Take connections at the old address, where no relay is any longer; yields who came."""
    came: list[str] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append("somebody")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(take, OLD, port)
    async with server:
        yield came


async def fail_and_move(folder: Path, *, outage: float, cap: float) -> None:
    """Let DNS fail for *outage* seconds, move the relay, and see the agent follow."""
    resolver = folder / "resolv.conf"
    resolver.write_text(f"nameserver {OLD}\noptions timeout:1 attempts:1\n")
    settings = {"CLOUD_CONNECT_TUNNEL__BACKOFF_CAP": str(cap)}
    async with (
        NameServer.serve(RELAY, OLD) as names,
        open_pair(folder, host=RELAY, prefix=with_resolver(resolver), settings=settings) as pair,
    ):
        agent = pair.agent.program
        await agent.start()
        try:
            await pair.until_listed(within=30, status="online")
            port = pair.tunnel_port
            await pair.relay.crash()
            names.address = None
            asked = names.asked
            await asyncio.sleep(outage / 2)
            names.silent = True  # a resolver that is gone is another failure than one that says so
            await asyncio.sleep(outage / 2)
            assert names.asked > asked, "each dial asks anew"
            assert agent.alive
            async with dead_end(port) as came:
                await move(pair)
                names.address, names.silent = NEW, False
                took = await pair.until_listed(within=cap + BEYOND_CAP, status="online")
                print(  # noqa: T201
                    f"T28: {took:.1f} s after DNS was back, {outage:.0f} s of outage,"
                    f" cap {cap:.0f} s; {len(came)} dials to the old address"
                )
                assert not came, "no address is kept from before"
        finally:
            await agent.stop()


async def move(pair: SecurePair) -> None:
    """Start the relay again, on the same ports of another address."""
    pair.relay.arguments = (*pair.relay.arguments, "--host", NEW)
    await pair.relay.start()


@pytest.mark.catalogue("T28")
@pytest.mark.timeout(120)
async def test_agent_follows_its_relay_to_another_address_after_dns_was_down(
    network: PrivateNetwork,  # noqa: ARG001 - the test and its processes are in it
    tmp_path: Path,
) -> None:
    await fail_and_move(tmp_path, outage=8.0, cap=2.0)


@pytest.mark.catalogue("T28")
@pytest.mark.nightly
@pytest.mark.timeout(600)
async def test_agent_follows_its_relay_after_five_minutes_without_dns(
    network: PrivateNetwork,  # noqa: ARG001 - the test and its processes are in it
    tmp_path: Path,
) -> None:
    await fail_and_move(tmp_path, outage=300.0, cap=60.0)
