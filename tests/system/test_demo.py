"""The README's first command, as far as it runs after installation."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from system.conftest import cli

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.usefixtures("cold_start"),
]


def test_demo_tells_every_step_and_ends_well() -> None:
    told = cli("cloud_connect_relay", "demo", "--once")
    assert told.returncode == 0, told.stdout + told.stderr
    for step in (
        "Agent enrolled",
        "Listed under Connectors",
        "Connection test succeeded",
        "Created",
        "Read back",
        "Updated",
        "500 rows",
        "Deleted",
        "Ran on the hosted agent",
        "Every step succeeded.",
    ):
        assert step in told.stdout
    assert "Traceback" not in told.stdout + told.stderr


def child_with(pid: int, argument: bytes) -> int:
    """Return the child of process *pid* that was started with *argument*."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    (found,) = (
        int(child)
        for child in children.split()
        if argument in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
    )
    return found


async def test_demo_ends_with_the_program_that_has_ended() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cloud_connect_relay", "demo"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=1024 * 1024,
    )
    assert process.stdout is not None
    told = b""
    async with asyncio.timeout(110):
        while b"Running until Ctrl-C" not in told:
            told += await process.stdout.readline()
        relay = child_with(process.pid, b"serve")
        os.kill(relay, signal.SIGKILL)
        told += await process.stdout.read()
        assert await process.wait() == 1
    assert b"The relay has ended, so the demo ends, too." in told
    assert b'{"' not in told  # its last words as people say them, not as the log has them
    assert b"Traceback" not in told
