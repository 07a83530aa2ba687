"""The control pipe, over real sockets in the place of Windows' pipes."""

import asyncio
import json
from pathlib import Path

import pytest

from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect_agent.hosting import windows_pipe
from cloud_connect_agent.hosting.windows_access import ADMINISTRATORS, SYSTEM, service_sid
from cloud_connect_agent.hosting.windows_pipe import exchange, pipe_name, serve_pipe
from doubles.pipes import Pipes, Stream

PATH = Path("state") / "control.sock"


async def echo(line: bytes) -> bytes:
    return json.dumps({"ok": True, "echo": line.decode()}).encode() + b"\n"


def asking(pipes: Pipes, line: bytes = b"hello\n", *, timeout: float = 10.0) -> bytes:
    return exchange(PATH, line, timeout=timeout, client=pipes)


async def test_a_line_is_answered_by_the_agents_own_loop() -> None:
    pipes, loops = Pipes(), []

    async def answer(line: bytes) -> bytes:
        loops.append(asyncio.get_running_loop())
        return line.upper()

    async with asyncio.timeout(15), serve_pipe(PATH, answer, maker=pipes):
        assert await asyncio.to_thread(asking, pipes) == b"HELLO\n"
    assert loops == [asyncio.get_running_loop()]
    assert all(end.closed for end in pipes.ends)


async def test_many_ask_at_once_and_each_gets_its_own_answer() -> None:
    pipes = Pipes()
    lines = [f"{number}\n".encode() for number in range(30)]
    async with (
        asyncio.timeout(15),
        serve_pipe(PATH, echo, maker=pipes),
        asyncio.TaskGroup() as group,
    ):
        asked = [group.create_task(asyncio.to_thread(asking, pipes, line)) for line in lines]
    assert [json.loads(one.result())["echo"].encode() for one in asked] == lines


async def test_a_large_answer_arrives_whole() -> None:
    pipes = Pipes()

    async def answer(line: bytes) -> bytes:
        return b"x" * 200_000 + line

    async with asyncio.timeout(15), serve_pipe(PATH, answer, maker=pipes):
        assert await asyncio.to_thread(asking, pipes) == b"x" * 200_000 + b"hello\n"


async def test_whoever_says_nothing_or_too_much_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(windows_pipe, "_SECONDS", 0.1)
    monkeypatch.setattr(windows_pipe, "_INSTANCES", 1)
    pipes = Pipes()
    async with asyncio.timeout(15), serve_pipe(PATH, echo, maker=pipes):
        silent = pipes.open(pipe_name(PATH), seconds=10)
        endless = pipes.open(pipe_name(PATH), seconds=10)
        endless.write(b"x" * 100_000, seconds=5)
        assert b"hello" in await asyncio.to_thread(asking, pipes)
        for one in (silent, endless):
            assert await asyncio.to_thread(one.read, 1, seconds=10) == b""
            one.close()


async def test_an_agent_that_ends_waits_for_no_client_that_is_silent() -> None:
    pipes = Pipes()
    async with asyncio.timeout(4):  # less than a client may take for its request
        async with serve_pipe(PATH, echo, maker=pipes):
            silent = pipes.open(pipe_name(PATH), seconds=10)
            assert b"hello" in await asyncio.to_thread(asking, pipes)
        assert await asyncio.to_thread(silent.read, 1, seconds=10) == b""
    silent.close()


async def test_a_pipe_that_another_program_has_is_not_shared() -> None:
    pipes = Pipes()
    async with asyncio.timeout(15), serve_pipe(PATH, echo, maker=pipes):
        with pytest.raises(ConfigurationError, match="Another program"):
            async with serve_pipe(PATH, echo, maker=pipes):
                pass
    first, *others = pipes.specs
    assert first.open_mode & 0x80000
    assert not any(spec.open_mode & 0x80000 for spec in others)


def test_nothing_is_said_to_a_program_of_another_account() -> None:
    pipes = Pipes()
    with pipes.squatted("S-1-5-21-9-9-9-1002") as squatter:
        with pytest.raises(CloudConnectError, match="in the agent's place"):
            asking(pipes)
        assert squatter.recv(1) == b""


@pytest.mark.parametrize("owner", [SYSTEM, ADMINISTRATORS, service_sid("CloudConnect")])
def test_the_system_administrators_and_services_are_trusted(owner: str) -> None:
    pipes = Pipes()
    with pipes.squatted(owner) as service:
        service.sendall(b"{}\n")
        assert asking(pipes) == b"{}\n"


def test_without_an_agent_there_is_nothing_to_ask() -> None:
    with pytest.raises(FileNotFoundError):
        asking(Pipes())


def test_who_may_not_ask_is_told_who_may() -> None:
    with pytest.raises(CloudConnectError, match="Run as administrator"):
        asking(Pipes(account="S-1-5-21-9-9-9-1002"))


def test_an_agent_that_does_not_answer_is_not_waited_for_long() -> None:
    pipes = Pipes()
    with pipes.squatted(SYSTEM), pytest.raises(TimeoutError):
        asking(pipes, timeout=0.05)


def test_each_home_has_a_pipe_of_its_own_whatever_its_case() -> None:
    one, same = Path("C:/ProgramData/CloudConnect/state"), Path("c:/programdata/CLOUDCONNECT/state")
    assert pipe_name(one) == pipe_name(same)
    assert pipe_name(one) != pipe_name(Path("C:/ProgramData/CloudConnect-2/state"))


def test_a_talk_that_broke_reads_as_its_end() -> None:
    import socket

    mine, theirs = socket.socketpair()
    theirs.close()
    with mine:
        assert Stream(mine).read(1, seconds=1) == b""
