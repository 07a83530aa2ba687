"""Tests of ``cloud_connect_agent.control`` and ``control_server``."""

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect_agent import control_server
from cloud_connect_agent.control import (
    AgentNotAnsweringError,
    AgentNotRunningError,
    ask,
    reachable_name,
)
from cloud_connect_agent.control_server import serve_control


async def echo(request: Mapping[str, Any]) -> dict[str, Any]:
    if request.get("command") == "fail":
        raise CloudConnectError("It cannot be done.")
    if request.get("command") == "break":
        await asyncio.Event().wait()
    return {"echo": dict(request)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[None]:
    async with asyncio.timeout(15), serve_control(path, echo):
        yield


async def asked(path: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    return await asyncio.to_thread(ask, path, request)


def there(path: Path) -> bool:
    return path.exists()


async def raw(path: Path, data: bytes) -> bytes:
    with reachable_name(path) as name:
        reader, writer = await asyncio.open_unix_connection(name)
    try:
        writer.write(data)
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_request_is_answered(path: Path) -> None:
    async with served(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600  # noqa: ASYNC240 - a test's look
        answer = await asked(path, {"command": "status", "text": "é\n"})
    assert answer == {"ok": True, "echo": {"command": "status", "text": "é\n"}}
    assert not there(path)


async def test_a_refusal_comes_back_as_its_sentence(path: Path) -> None:
    async with served(path):
        with pytest.raises(CloudConnectError, match="It cannot be done"):
            await asked(path, {"command": "fail"})


async def test_without_an_agent_the_sentence_says_how_to_start_it(path: Path) -> None:
    with pytest.raises(AgentNotRunningError, match="cloud-connect run"):
        await asked(path, {"command": "status"})


async def test_a_socket_that_a_dead_agent_left_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with pytest.raises(AgentNotRunningError):
        await asked(path, {})
    async with served(path):
        assert (await asked(path, {}))["ok"]


async def test_a_path_longer_than_an_address_works(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(3):
        folder /= "x" * 60
        folder.mkdir()
    async with served(folder / "control.sock"):
        assert (await asked(folder / "control.sock", {}))["ok"]


async def test_a_place_that_does_not_exist_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="control socket"):
        async with serve_control(tmp_path / "missing" / "control.sock", echo):
            pass


@pytest.mark.parametrize("data", [b"not json\n", b"[1]\n", b"\xff\n"])
async def test_a_request_that_is_none_is_refused(path: Path, data: bytes) -> None:
    async with served(path):
        answer = json.loads(await raw(path, data))
    assert answer["ok"] is False
    assert "request" in answer["error"]


async def test_a_request_without_end_is_cut_off(path: Path) -> None:
    async with served(path):
        assert await raw(path, b"x" * 10_000) == b""
        assert (await asked(path, {}))["ok"]


async def test_who_says_nothing_is_let_go(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_server, "_REQUEST_SECONDS", 0.05)
    async with served(path):
        assert await raw(path, b"") == b""


async def test_who_hangs_up_disturbs_nobody(path: Path) -> None:
    async with served(path):
        for _ in range(10):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.send(b"{}")
        assert (await asked(path, {}))["ok"]


async def test_there_is_a_limit_of_askers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_server, "_MAX_CLIENTS", 1)
    async with served(path):
        reader, writer = await asyncio.open_unix_connection(path)
        await asyncio.sleep(0.01)
        with pytest.raises(AgentNotRunningError):
            await asked(path, {})
        writer.write(b"{}\n")
        assert json.loads(await reader.readline())["ok"]
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(5):
            while True:
                try:
                    assert (await asked(path, {}))["ok"]
                    break
                except AgentNotRunningError:
                    await asyncio.sleep(0.01)


async def test_another_account_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_server, "_peer_account", lambda _: os.geteuid() + 1, raising=True)
    async with served(path):
        with pytest.raises(AgentNotRunningError):
            await asked(path, {})


async def test_the_kernel_says_who_asks(path: Path) -> None:
    async with served(path):
        _, writer = await asyncio.open_unix_connection(path)
        assert control_server._peer_account(writer) == os.geteuid()
        writer.close()
        await writer.wait_closed()


async def test_where_the_kernel_does_not_say_the_mode_decides(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, "SO_PEERCRED")
    async with served(path):
        assert (await asked(path, {}))["ok"]


async def test_an_agent_that_says_nothing_is_told_from_one_that_is_not_there(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
        deaf.listen()
        with pytest.raises(AgentNotAnsweringError, match="has not answered"):
            await asyncio.to_thread(ask, path, {}, timeout=0.05)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another account, as only root may")
def test_an_account_that_may_not_ask_is_told_so_and_not_that_no_agent_runs(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen()
        os.seteuid(65534)
        try:
            with pytest.raises(AgentNotAnsweringError, match="may not ask"):
                ask(path, {})
        finally:
            os.seteuid(0)


async def test_an_answer_that_is_none_counts_as_no_agent(path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"[]\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(talk, path)
    async with server:
        with pytest.raises(AgentNotRunningError, match="cannot be read"):
            await asked(path, {})
