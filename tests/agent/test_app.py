"""Tests of ``cloud_connect_agent.app``, where a whole process would be too slow to look at."""

import asyncio
import signal
from pathlib import Path

import pytest

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent import app
from cloud_connect_agent.app import run_agent
from cloud_connect_agent.identity import AgentKeys, Generation
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.settings import AgentSettings
from cloud_connect_agent.stopping import StopSignal
from cloud_connect_agent.vault import open_vault

KEY = "_TPdZ_gpPVVE1kJY5udNrW0jZrZ2Uyqe8m2XdmHjHVM"


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_outlives_the_drain_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_CLOSE_SECONDS", 0.01)
    stop = StopSignal()
    async with (
        asyncio.timeout(5),
        asyncio.TaskGroup() as group,
        app._until_drained(group, stop, seconds=0.01),
    ):
        stop.request()
        await asyncio.Event().wait()


async def test_a_second_wish_does_not_wait_for_the_drain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(app, "_CLOSE_SECONDS", 0.01)
    stop = StopSignal()
    async with (
        asyncio.timeout(5),
        asyncio.TaskGroup() as group,
        app._until_drained(group, stop, seconds=1000),
    ):
        stop.request()
        stop.request()
        await asyncio.Event().wait()


async def test_what_ends_in_time_is_left_alone() -> None:
    stop = StopSignal()
    async with (
        asyncio.timeout(5),
        asyncio.TaskGroup() as group,
        app._until_drained(group, stop, seconds=10),
    ):
        stop.request()
        await settle()


async def test_another_timeout_is_not_hidden() -> None:
    async def late() -> None:
        async with (
            asyncio.TaskGroup() as group,
            app._until_drained(group, StopSignal(), seconds=10),
        ):
            raise TimeoutError

    with pytest.raises(ExceptionGroup):
        await late()


@pytest.fixture
def settings() -> AgentSettings:
    return AgentSettings.model_validate(
        {
            "relay": {
                "tunnel_url": "ws://127.0.0.1:9/tunnel",
                "connector_id": "con_1",
                "relay_id": "rel_1",
                "relay_public_key": KEY,
            },
            "tunnel": {"drain_timeout": 1.0},
        }
    )


async def test_an_agent_stops_when_told_and_frees_the_signals(
    tmp_path: Path, settings: AgentSettings
) -> None:
    paths = AgentPaths.of(tmp_path)
    paths.create()
    async with open_vault(paths) as vault:
        keys = AgentKeys(vault)
        await keys.adopt(await keys.candidate())
    await Generation(paths.generation_file).store(1)
    stop = StopSignal()
    before = signal.getsignal(signal.SIGTERM)  # coverage's, where lines are counted
    try:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            running = group.create_task(run_agent(paths, load=lambda: settings, stop=stop))
            while signal.getsignal(signal.SIGTERM) is before:
                await asyncio.sleep(0.01)
            signal.raise_signal(signal.SIGTERM)
            assert await running == 0
        assert stop.requested
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_an_agent_without_its_key_says_so(tmp_path: Path, settings: AgentSettings) -> None:
    paths = AgentPaths.of(tmp_path)
    with pytest.raises(ConfigurationError, match="enrol"):
        await run_agent(paths, load=lambda: settings)
