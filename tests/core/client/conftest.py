"""A client of a scripted relay."""

from collections.abc import AsyncIterator

import pytest

from cloud_connect.client import CloudConnect
from doubles.scripted_relay import ScriptedRelay


@pytest.fixture
def relay() -> ScriptedRelay:
    return ScriptedRelay()


@pytest.fixture
async def client(relay: ScriptedRelay) -> AsyncIterator[CloudConnect]:
    async with CloudConnect.open(
        "https://relay.example", "cck_test_key", timeout=5, transport=relay.transport
    ) as opened:
        yield opened
