"""A real PostgreSQL server of the test run: on a Unix socket, in a folder that goes with it."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import psutil

from doubles.tools import tool

__all__ = ["PostgresServer", "postgres_server", "rows_of"]

_BINARIES = Path("/usr/lib/postgresql")  # where Debian keeps them, a folder for each version


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """A running server.

    Attributes:
        folder: Where its socket is.
    """

    folder: Path

    def database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"relay_{uuid4().hex[:12]}"
        _run("createdb", "--host", str(self.folder), "--username", "postgres", name)
        return f"postgresql+asyncpg://postgres@/{name}?host={self.folder}"

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Keep its connections, and answer nothing, until the block ends."""
        pid = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        postmaster = psutil.Process(pid)
        stopped = [postmaster, *postmaster.children()]
        try:
            for process in stopped:
                process.suspend()
            yield
        finally:
            for process in stopped:
                process.resume()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it crash, and start it again when the block ends."""
        _control(self.folder, "-m", "immediate", "stop")
        try:
            yield
        finally:
            _start(self.folder)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server until the block ends; it keeps what it promises (fsync stays on).

    Without PostgreSQL the test is skipped.
    """
    tool("initdb", folders=_binaries())
    folder = Path(tempfile.mkdtemp(prefix="cc-postgres-"))
    account = _account()
    if account:
        shutil.chown(folder, account["user"], account["group"])
    data = folder / "data"
    try:
        _run("initdb", "-D", str(data), "-U", "postgres", "--auth=trust", "-E", "UTF8", **account)
        _start(folder)
        try:
            yield PostgresServer(folder=folder)
        finally:
            _control(folder, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def rows_of(url: str, statement: str) -> list[dict[str, Any]]:
    """Read a database of :meth:`PostgresServer.database` beside the relays that use it."""
    parts = urlsplit(url)
    where = ("--host", parse_qs(parts.query)["host"][0], "--username", "postgres")
    wrapped = f"SELECT row_to_json(found) FROM ({statement}) AS found"  # noqa: S608 - a test's own
    told = _run("psql", *where, "-X", "-A", "-t", "-d", parts.path[1:], "-c", wrapped)
    return [json.loads(line) for line in told.splitlines()]


def _start(folder: Path) -> None:
    options = f"-k {folder} -c listen_addresses='' -c max_connections=200"
    _control(folder, "-t", "60", "-l", str(folder / "log"), "-o", options, "start")


def _control(folder: Path, *words: str) -> None:
    _run("pg_ctl", "-D", str(folder / "data"), "-w", *words, **_account())


def _account() -> dict[str, Any]:
    """The account that runs it: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    import pwd  # Windows has none, and imports this for its fixture

    postgres = pwd.getpwnam("postgres")
    return {"user": postgres.pw_uid, "group": postgres.pw_gid, "extra_groups": []}


def _run(program: str, *arguments: str, **account: Any) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [tool(program, folders=_binaries()), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        cwd="/",
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
        **account,
    )
    assert done.returncode == 0, f"{program}: {done.stderr}"
    return done.stdout


def _binaries() -> list[Path]:
    """Where the programs are, the newest version first."""
    return sorted(_BINARIES.glob("*/bin"), reverse=True)
