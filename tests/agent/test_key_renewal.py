"""The end of a session whose key another one follows."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from cloud_connect.closing import CloseCode
from cloud_connect.signing import SigningKey
from cloud_connect_agent import key_renewal
from cloud_connect_agent.key_renewal import renew


async def test_session_that_does_not_end_by_itself_is_cut_for_the_next_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_renewal, "_QUIET_SECONDS", 0.05)
    monkeypatch.setattr(key_renewal, "_QUIET_LOOK", 0.01)
    said: list[object] = []

    async def close(code: int, reason: str) -> None:
        said.append((code, reason))

    session: Any = SimpleNamespace(in_flight=1, drain=lambda: said.append("drain"))
    link: Any = SimpleNamespace(close=close)
    keyring: Any = SimpleNamespace(following=None, renewed=asyncio.Event())
    key = SigningKey.generate()
    ending = asyncio.create_task(renew(session, link, keyring, key, drain=0.05))
    await asyncio.sleep(0.02)
    assert said == []
    keyring.renewed.set()
    async with asyncio.timeout(10):
        await ending
    assert said == ["drain", (CloseCode.GOING_AWAY, "The agent has a new key.")]
