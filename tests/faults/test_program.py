"""Processes of the test bed: signals, wrong clocks, and what they say they hold."""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from doubles.observing import until
from doubles.program import Program, ProgramFailedError, command, running, wrong_clock

pytestmark = pytest.mark.timeout(60)
CLOCKS = "import time; print(time.time(), time.monotonic())"


async def clocks(environment: dict[str, str]) -> tuple[float, float]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLOCKS),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    wall, monotonic = output.split()
    return float(wall), float(monotonic)


@pytest.mark.parametrize(("offset", "seconds"), [("+24h", 86_400.0), ("-15m", -900.0)])
async def test_wrong_clock_is_wrong_by_so_much_and_leaves_timers_alone(
    offset: str, seconds: float
) -> None:
    wall, monotonic = await clocks(wrong_clock(offset))
    assert wall - time.time() == pytest.approx(seconds, abs=5)
    assert monotonic == pytest.approx(time.monotonic(), abs=5)


@pytest.fixture
def simulator(tmp_path: Path) -> Program:
    ports = [
        word for name in ("", "login-", "admin-", "storage-") for word in (f"--{name}port", "0")
    ]
    return Program(
        "procore_simulator", "--json", *ports, log=tmp_path / "simulator.log", watched=True
    )


async def test_program_can_be_frozen_thawed_killed_and_started_again(simulator: Program) -> None:
    async with running(simulator):
        first = simulator.pid
        assert "Task-1" in await simulator.tasks()
        assert simulator.usage.descriptors == len(simulator.open_files())
        simulator.freeze()
        await until(lambda: stands(first), within=5)
        simulator.thaw()
        assert await simulator.tasks()
        await simulator.crash()
        assert not simulator.alive
        await simulator.start()
        assert simulator.pid != first
    assert not simulator.alive


async def stands(pid: int) -> bool:
    stat = await asyncio.to_thread(Path(f"/proc/{pid}/stat").read_text)
    return stat.rsplit(")", 1)[1].split()[0] == "T"


async def test_program_that_does_not_start_says_why(tmp_path: Path) -> None:
    program = Program("procore_simulator", "--no-such-option", log=tmp_path / "log")
    with pytest.raises(ProgramFailedError, match="no-such-option"):
        await program.start()


def test_command_runs_our_interpreter() -> None:
    assert command("cloud_connect_agent", ["run"])[:2] == [sys.executable, "-m"]
