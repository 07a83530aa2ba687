"""Programs of this distribution as child processes: start, ready line, result, end."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from cloud_connect.errors import CloudConnectError

__all__ = ["ProgramError", "last_words", "program", "run_program"]

READY_TIMEOUT: Final = 30.0  # seconds until a program has said that it is ready
STOP_TIMEOUT: Final = 40.0  # seconds: longer than a drain, so that a kill is the exception
COMMAND_TIMEOUT: Final = 60.0  # seconds for a command that ends by itself
_REASONS: Final = ("reason", "detail", "error")  # where a log's line says why


class ProgramError(CloudConnectError):
    """A program did not start, or ended with an error; the message holds its last words."""


@asynccontextmanager
async def program(
    module: str, *arguments: str, log: Path, says_ready: bool = True
) -> AsyncIterator[dict[str, Any]]:
    """Run ``python -m module`` until the block ends, then stop it with SIGTERM.

    Args:
        log: File that receives what the program says on stderr.
        says_ready: Wait for its first line of stdout and yield it, decoded from JSON.

    Yields:
        The ready line's members, ``pid``, and ``ended``: a function that tells whether it ended.

    Raises:
        ProgramError: If it ends, or stays silent, before it is ready.
    """
    with log.open("ab") as sink:
        process = await asyncio.create_subprocess_exec(
            *_command(module, arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if says_ready else asyncio.subprocess.DEVNULL,
            stderr=sink,
            start_new_session=True,  # Ctrl-C is ours to pass on, in order
        )
    try:
        ready = await _ready_line(process, module, log) if says_ready else {}
        yield {**ready, "pid": process.pid, "ended": lambda: process.returncode is not None}
    finally:
        await _stop(process)


async def run_program(module: str, *arguments: str, stdin: str = "") -> dict[str, Any]:
    """Run a command of ours with ``--json`` to its end and return what it printed.

    Args:
        stdin: Text that the command reads, such as a secret.

    Raises:
        ProgramError: If it exits with another status than 0.
    """
    process = await asyncio.create_subprocess_exec(
        *_command(module, (*arguments, "--json")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT):
            output, errors = await process.communicate(stdin.encode())
    finally:
        await _stop(process)
    if process.returncode != 0:
        words = errors.decode(errors="replace").strip() or f"exit status {process.returncode}"
        raise ProgramError(f"{module} {arguments[0]}: {words}")
    decoded: dict[str, Any] = json.loads(output) if output.strip() else {}
    return decoded


def _command(module: str, arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


async def _ready_line(
    process: asyncio.subprocess.Process, module: str, log: Path
) -> dict[str, Any]:
    if process.stdout is None:
        raise ProgramError(f"{module} has no stdout to read.")
    try:
        async with asyncio.timeout(READY_TIMEOUT):
            line = await process.stdout.readline()
    except TimeoutError as exc:
        raise ProgramError(f"{module} was not ready after {READY_TIMEOUT:.0f} s.") from exc
    if not line:
        raise ProgramError(f"{module} did not start: {await last_words(log)}")
    decoded: dict[str, Any] = json.loads(line)
    return decoded


async def last_words(log: Path) -> str:
    """Return the end of what a program said on stderr."""
    text = await asyncio.to_thread(log.read_text, errors="replace")
    return "\n".join(map(_readable, text.splitlines()[-5:])).strip()[-600:] or "no reason given"


def _readable(line: str) -> str:
    """Return a line of a log as people say it: what happened, and why if it says so."""
    try:
        event = json.loads(line)
    except ValueError:
        return line
    if not isinstance(event, dict) or "event" not in event:
        return line
    happened = str(event["event"]).replace("_", " ")
    return ": ".join([happened, *(str(event[why]) for why in _REASONS if event.get(why))])


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
