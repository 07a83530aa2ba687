import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from cloud_connect_relay.caller import EXTENSION, Caller
from cloud_connect_relay.live_requests import LiveRequests
from cloud_connect_relay.storage.keys import Grants
from doubles.relay_node import Founded, founded
from doubles.waiting import until


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Founded]:
    async with founded(tmp_path) as store:
        yield store


def request(cut: list[str], name: str) -> dict[str, Any]:
    return {"extensions": {EXTENSION: {"caller": Caller(lambda: cut.append(name))}}}


def principal(credential_id: str) -> Any:
    return SimpleNamespace(credential_id=credential_id)


@contextlib.asynccontextmanager
async def following(requests: LiveRequests) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(requests.follow())
        yield
        task.cancel()


async def test_requests_of_a_dead_credential_are_cut_and_no_others(store: Founded) -> None:
    cut: list[str] = []
    forgotten: list[bool] = []
    requests = LiveRequests(
        store.storage, clock=lambda: 0.0, forget=lambda: forgotten.append(True), interval=0.2
    )
    live = f"key_{store.api_key.split('_')[2]}"
    scopes = {name: request(cut, name) for name in ("mine", "dead", "ended")}
    requests.enter(scopes["mine"], principal(live))
    requests.enter(scopes["dead"], principal("key_0000000000000000"))
    requests.enter(scopes["ended"], principal("tok_0000000000000000"))
    requests.leave(scopes["ended"])
    requests.enter(request(cut, "no credential"), principal(""))
    requests.enter({}, principal(live))  # of a server that does not tell of its callers
    assert len(requests) == 2
    async with following(requests):
        await until(lambda: "dead" in cut)  # and is cancelled between two looks, not in one
    assert set(cut) == {"dead"}
    assert forgotten, "nothing is believed of it any more"
    requests.leave(scopes["mine"])
    requests.leave({})


async def test_store_that_is_away_cuts_nobody(
    store: Founded, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def fail(*_: object) -> None:
        nonlocal asked
        asked += 1
        raise OperationalError("statement", {}, OSError("gone"))

    monkeypatch.setattr(Grants, "find", fail)
    cut: list[str] = []
    requests = LiveRequests(store.storage, clock=lambda: 0.0, forget=lambda: None, interval=0.01)
    requests.enter(request(cut, "mine"), principal("key_0000000000000000"))
    async with following(requests):
        await until(lambda: asked > 1)
    assert cut == []
