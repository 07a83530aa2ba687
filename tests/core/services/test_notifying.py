import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_connect.services.notifying import ServiceManager


class Agent:
    is_stuck = False
    summary = "Connected"


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving:
        receiving.bind(str(tmp_path / "notify"))
        receiving.setblocking(False)
        yield receiving


def manager(heard: socket.socket, **more: str) -> ServiceManager:
    return ServiceManager.of({"NOTIFY_SOCKET": heard.getsockname(), **more}, pid=7)


async def words(heard: socket.socket) -> str:
    async with asyncio.timeout(5):
        return (await asyncio.get_running_loop().sock_recv(heard, 4096)).decode()


async def test_signs_of_life_come_thrice_in_the_watchdogs_time(heard: socket.socket) -> None:
    told = manager(heard, WATCHDOG_USEC="60000", WATCHDOG_PID="7")
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(told.attend(Agent()))
        for _ in range(4):
            assert await words(heard) == "STATUS=Connected\nWATCHDOG=1"
        task.cancel()
    assert told._interval == pytest.approx(0.02)


async def test_a_program_with_nothing_to_do_is_ready_before_it_ends(heard: socket.socket) -> None:
    manager(heard).done("Not enrolled.")
    assert await words(heard) == "READY=1\nSTATUS=Not enrolled."


async def test_an_agent_that_gets_nowhere_gives_no_sign_of_life(heard: socket.socket) -> None:
    agent = Agent()
    agent.is_stuck = True
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(manager(heard, WATCHDOG_USEC="30000").attend(agent))
        assert await words(heard) == await words(heard) == "STATUS=Connected"
        agent.is_stuck = False
        while "WATCHDOG=1" not in await words(heard):
            pass
        task.cancel()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "x"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "8"},
    ],
)
async def test_without_a_watchdog_only_the_state_is_told(
    heard: socket.socket, environ: dict[str, str]
) -> None:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(manager(heard, **environ).attend(Agent()))
        assert await words(heard) == "STATUS=Connected"
        task.cancel()


async def test_start_and_end_are_told(heard: socket.socket) -> None:
    told = manager(heard)
    told.ready()
    told.stopping()
    assert await words(heard) == "READY=1"
    assert (await words(heard)).startswith("STOPPING=1\nSTATUS=")


async def test_abstract_sockets_are_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving:
        receiving.bind("\0cloud-connect-test-notify")
        receiving.setblocking(False)
        ServiceManager("@cloud-connect-test-notify").ready()
        assert await words(receiving) == "READY=1"


async def test_nobody_listens_and_nothing_happens(tmp_path: Path) -> None:
    ServiceManager(str(tmp_path / "gone")).ready()
    ServiceManager.of({}).ready()
    await ServiceManager().attend(Agent())
