"""A program of ours as a process of its own, which a test may kill, freeze and start again."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from doubles.canaries import note, remember_document

__all__ = [
    "Program",
    "ProgramFailedError",
    "Usage",
    "command",
    "cpu_seconds",
    "running",
    "running_relay",
    "usage_of",
    "wrong_clock",
]

READY_TIMEOUT: Final = 60.0  # seconds: the machine may be busy with other tests
TELL_TIMEOUT: Final = 10.0  # seconds: it tells between two steps of its loop
STOP_TIMEOUT: Final = 45.0  # seconds: longer than a drain
TESTS: Final = Path(__file__).parent.parent
FAKETIME: Final = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


class ProgramFailedError(Exception):
    """A program did not start, or a command failed; the message holds its last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a process holds at the moment."""

    rss_bytes: int
    descriptors: int
    threads: int


def usage_of(pid: int) -> Usage:
    """Return what the process holds.

    Raises:
        ProcessLookupError: If it is gone.
    """
    status = dict(
        line.split(":", 1)
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if ":" in line
    )
    if "VmRSS" not in status:  # it has died and nobody has looked yet
        raise ProcessLookupError(pid)
    return Usage(
        rss_bytes=int(status["VmRSS"].split()[0]) * 1024,
        descriptors=sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        threads=int(status["Threads"]),
    )


def cpu_seconds(*pids: int) -> float:
    """Return what processes have used of the CPU so far, in user and kernel."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def wrong_clock(offset: str) -> dict[str, str]:
    """Return the environment of a process whose wall clock is wrong by *offset*, such as ``+24h``.

    Its monotonic clock stays right: asyncio's timers run by that one.
    """
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), FAKETIME)
    if not library.exists():
        pytest.skip("faketime is not installed; `bash .ci/run` installs it")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        # Without it the forked SQLite thread may see a cached moment.
        "FAKETIME_NO_CACHE": "1",
    }


class Program:
    """``python -m module arguments``, started as often as the test wants.

    Attributes:
        ready: The members of its first line, if it says one.
        environment: Variables beside the test's own; they take effect at the next start.
        prefix: Words before the command, such as ``("strace", "-f")``.
        watched: Whether it can be asked for its tasks.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        log: Path,
        says_ready: bool = True,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        watched: bool = False,
    ) -> None:
        self.module = module
        self.arguments = arguments
        self.log = log
        self.environment = dict(environment or {})
        self.prefix = tuple(prefix)
        self.watched = watched
        self.ready: dict[str, Any] = {}
        self._says_ready = says_ready
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Its process id; with a prefix that forks, the prefix's."""
        return self._running.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def usage(self) -> Usage:
        """What it holds at the moment."""
        return usage_of(self.pid)

    async def tasks(self) -> list[str]:
        """Return the names of the asyncio tasks that run in it, if it is watched."""
        names: list[str] = (await self._told())["tasks"]
        return names

    async def blocks(self) -> int:
        """Return how many blocks of memory Python has allocated in it, if it is watched."""
        count: int = (await self._told())["blocks"]
        return count

    async def _told(self) -> dict[str, Any]:
        self._told_file.unlink(missing_ok=True)
        self.signal(signal.SIGUSR2)
        async with asyncio.timeout(TELL_TIMEOUT):
            while not self._told_file.exists():
                await asyncio.sleep(0.02)
        told: dict[str, Any] = json.loads(self._told_file.read_text())
        return told

    @property
    def _told_file(self) -> Path:
        return self.log.with_suffix(".tasks")

    @property
    def _command(self) -> list[str]:
        if self.watched:
            return command("doubles.watched", (str(self._told_file), self.module, *self.arguments))
        return command(self.module, self.arguments)

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise ProgramFailedError(f"{self.module} was not started")
        return self._process

    def open_files(self) -> list[str]:
        """Return what its descriptors stand for."""
        found = []
        for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # it was closed meanwhile
                found.append(str(descriptor.readlink()))
        return sorted(found)

    async def start(self) -> "Program":
        """Start it, and wait for its ready line if it says one."""
        assert not self.alive, f"{self.module} runs already"
        with self.log.open("ab") as sink:
            self._process = await asyncio.create_subprocess_exec(
                *self.prefix,
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if self._says_ready else sink,
                stderr=sink,
                env={
                    **os.environ,
                    "PYTHONUNBUFFERED": "1",
                    "PYTHONPATH": str(TESTS),  # for programs of ours with a fault wrapped in
                    # Secrets are looked for in all that the most talkative level tells.
                    "CLOUD_CONNECT_LOG__LEVEL": "debug",
                    "CLOUD_CONNECT_RELAY_LOG__LEVEL": "debug",
                    **self.environment,
                },
                start_new_session=True,
            )
        if self._says_ready:
            assert self._process.stdout is not None
            try:
                async with asyncio.timeout(READY_TIMEOUT):
                    line = await self._process.stdout.readline()
            except TimeoutError:
                line = b""
            if not line:
                await self.crash()
                raise ProgramFailedError(f"{self.module} did not start: {self.last_words()}")
            self.ready = json.loads(line)
            remember_document(self.module, self.ready)
        return self

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs; to whatever a prefix has forked, too."""
        if not self.alive:
            return
        if self.prefix:
            os.killpg(self.pid, number)
        else:
            self._running.send_signal(number)

    def kill(self) -> None:
        """``kill -9``: it gets no chance to say anything."""
        self.signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.signal(signal.SIGTERM)

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does (SIGSTOP)."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        self.signal(signal.SIGCONT)

    async def ended(self, *, within: float = STOP_TIMEOUT) -> int:
        """Wait for its end and return its exit status."""
        async with asyncio.timeout(within):
            return await self._running.wait()

    async def crash(self) -> None:
        """Kill it and wait until it is gone."""
        self.kill()
        await self.ended()

    async def restart(self) -> None:
        """Kill it and start it again."""
        await self.crash()
        await self.start()

    async def stop(self) -> int:
        """End it in order; whatever is left after its time is killed."""
        if not self.alive:
            return -1 if self._process is None else self._running.returncode or 0
        self.thaw()
        self.terminate()
        try:
            return await self.ended()
        except TimeoutError:
            self.kill()
            return await self.ended()

    def last_words(self) -> str:
        """Return the end of what it said on stderr."""
        words = self.log.read_text(errors="replace") if self.log.exists() else ""
        return words.strip()[-1500:] or "no reason given"


def command(module: str, arguments: Sequence[str]) -> list[str]:
    """Return the words that run one of our programs."""
    return [sys.executable, "-m", module, *arguments]


@asynccontextmanager
async def running(program: Program) -> AsyncIterator[Program]:
    """Run the program until the block ends, however it ends."""
    try:
        yield await program.start()
    finally:
        await program.stop()


@asynccontextmanager
async def running_relay(
    data_dir: Path,
    *arguments: str,
    log: Path,
    environment: Mapping[str, str] | None = None,
    watched: bool = False,
) -> AsyncIterator[Program]:
    """Run a relay, which has the same ports after a restart: agents and callers know no others."""
    serve = ("serve", "--data-dir", str(data_dir), "--json", *arguments)
    relay = Program(
        "cloud_connect_relay",
        *(*serve, "--port", "0", "--tunnel-port", "0"),
        log=log,
        environment=environment,
        watched=watched,
    )
    async with running(relay):
        ports = ("--port", str(relay.ready["port"]))
        relay.arguments = (*serve, *ports, "--tunnel-port", str(relay.ready["tunnel_port"]))
        yield relay


async def said(
    module: str,
    *arguments: str,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> tuple[int, dict[str, Any], str]:
    """Run a command of ours with ``--json``; return status, document and errors."""
    process = await asyncio.create_subprocess_exec(
        *prefix,
        *command(module, (*arguments, "--json")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(READY_TIMEOUT):
            output, errors = await process.communicate(stdin.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    decoded: dict[str, Any] = json.loads(output) if output.strip() else {}
    remember_document(module, decoded)
    note("said", errors)
    return process.returncode or 0, decoded, errors.decode(errors="replace")


async def told(
    module: str, *arguments: str, stdin: str = "", prefix: Sequence[str] = ()
) -> dict[str, Any]:
    """Run a command of ours that must succeed; return its document."""
    status, document, errors = await said(module, *arguments, stdin=stdin, prefix=prefix)
    if status:
        raise ProgramFailedError(f"{module} {arguments[0]} ended with {status}: {errors.strip()}")
    return document
