"""What tests start as a warm copy does what an executed program does."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doubles.warm_start import cold_starts, warm_starts

COMMAND = (sys.executable, "-m", "doubles.surroundings")


@pytest.fixture(autouse=True)
def _warmly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    with warm_starts():
        yield


def both_ways(*arguments: str, **options: Any) -> list[subprocess.CompletedProcess[str]]:
    """Run the program warmly, and executed."""

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run([*COMMAND, *arguments], text=True, timeout=60, check=False, **options)

    warm = run()
    with cold_starts():
        return [warm, run()]


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("new_session", [False, True])
def test_a_warm_program_finds_what_an_executed_one_does(
    tmp_path: Path,
    unbuffered: str,
    new_session: bool,  # noqa: FBT001 - as the standard library takes it
) -> None:
    warm, cold = both_ways(
        *("7", "the ümlaut", ""),
        input="a line\nand another",
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered, "WHO": "a test"},
        start_new_session=new_session,
    )
    found, expected = json.loads(warm.stdout), json.loads(cold.stdout)
    assert found == expected
    assert expected["parent"] == os.getpid()
    assert expected["environment"]["WHO"] == "a test"
    assert (warm.returncode, warm.stderr) == (cold.returncode, cold.stderr) == (7, "heard")


@pytest.mark.parametrize(("how", "status"), [("killed", -9), ("hurt", 1), ("said", 1)])
def test_a_warm_program_ends_as_an_executed_one_does(how: str, status: int) -> None:
    warm, cold = both_ways(how, capture_output=True)
    assert warm.returncode == cold.returncode == status
    assert warm.stderr.splitlines()[-1:] == cold.stderr.splitlines()[-1:]


def test_a_warm_program_may_be_hung_up_on() -> None:
    found = []
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    for starting in (warm_starts, cold_starts):
        reading, writing = os.pipe()
        os.close(reading)
        with starting():
            ended = subprocess.run(
                [*COMMAND, "hung up on"],
                stdout=writing,
                stderr=subprocess.PIPE,
                check=False,
                env=environment,
            )
        os.close(writing)
        found.append((ended.returncode, ended.stderr.splitlines()[-1]))
    assert found[0] == found[1] == (120, b"BrokenPipeError: [Errno 32] Broken pipe")


async def test_asyncio_starts_one_and_waits_for_it() -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "3", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate(b"from afar")
    assert json.loads(output)["input"] == "from afar"
    assert process.returncode == 3


def test_another_interpreter_is_executed(tmp_path: Path) -> None:
    """What takes effect before the first line of Python cannot be had from a warm one."""
    for name, value in (("PYTHONWARNINGS", "error"), ("LD_PRELOAD", ""), ("LC_ALL", "C.UTF-8")):
        warm, cold = both_ways(
            "0", input="", capture_output=True, env={**os.environ, name: value}, cwd=tmp_path
        )
        assert json.loads(warm.stdout) == json.loads(cold.stdout)
