from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from cloud_connect_relay.gateway.misconduct import Misconduct
from cloud_connect_relay.storage.audit import AuditLog
from doubles.link_bench import Relay, open_relay

LIVE: Any = SimpleNamespace(connector_id="con_a", subscription_id="sub_a")


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    async with open_relay(tmp_path) as relay:
        yield relay


async def test_the_same_is_noted_once_a_minute_and_something_else_at_once(relay: Relay) -> None:
    now = 0.0
    misconduct = Misconduct(relay.storage, clock=lambda: 1.0, ticks=lambda: now)
    for moment in (0.0, 1.0, 59.0, 60.0):
        now = moment
        await misconduct.note(LIVE, "connector.protocol_broken", reason="a rule")
    await misconduct.note(LIVE, "connector.forged_result")
    noted = [(one.action, one.detail) for one in await relay.tenant.audit.newest(limit=9)]
    assert noted == [
        ("connector.forged_result", {}),
        ("connector.protocol_broken", {"reason": "a rule"}),
        ("connector.protocol_broken", {"reason": "a rule"}),
    ]


async def test_store_that_is_away_keeps_nobody_from_being_cut_off(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise OperationalError("statement", {}, OSError("gone"))

    monkeypatch.setattr(AuditLog, "add", fail)
    await Misconduct(relay.storage, clock=lambda: 1.0).note(LIVE, "connector.forged_result")
