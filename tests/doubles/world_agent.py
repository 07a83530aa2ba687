"""An enrolled agent of a world: its process, its files and what lies around it."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloud_connect.errors import CloudConnectError
from cloud_connect.signing import SigningKey, to_text
from cloud_connect_agent.control import ask
from doubles.chaos_proxy import ChaosProxy
from doubles.observing import rows
from doubles.program import Program, said

__all__ = ["Agent"]


@dataclass(kw_only=True)
class Agent:
    """One enrolled agent.

    Attributes:
        tunnel: What lies between it and the relay, if the world has proxies there.
        procore: The same between it and Procore.
    """

    name: str
    home: Path
    connector_id: str
    program: Program
    tunnel: ChaosProxy | None = None
    procore: ChaosProxy | None = None

    async def status(self) -> dict[str, Any]:
        """What ``cloud-connect status --json`` says."""
        _, document, _ = await said("cloud_connect_agent", "status", "--home", str(self.home))
        return document

    async def state(self) -> dict[str, Any] | None:
        """What it answers on its control socket, without a program for each look."""
        place = self.home / "state" / "control.sock"
        try:
            answer = await asyncio.to_thread(ask, place, {"command": "status"})
        except CloudConnectError:
            return None
        found: dict[str, Any] = answer["status"]
        return found

    def inject(self, fault: str) -> None:
        """Have its next start go wrong as :mod:`doubles.faulty_agent` says."""
        self.program.module = "doubles.faulty_agent"
        self.program.arguments = (fault, "run", "--home", str(self.home))

    def mend(self) -> None:
        """Have its next start be the product as it is."""
        self.program.module = "cloud_connect_agent"
        self.program.arguments = ("run", "--home", str(self.home))

    def pin(self, key: SigningKey) -> None:
        """Have its policy name the key that a caller signs with."""
        policy = self.home / "policy.toml"
        keys = f'\n[signatures]\nkeys = ["{to_text(key.public_key)}"]\n'
        policy.write_text(policy.read_text() + keys)

    @property
    def journal_file(self) -> Path:
        """Its record of calls."""
        return self.home / "state" / "journal.sqlite3"

    def journal(self) -> list[dict[str, Any]]:
        """Every row of its journal, read beside it."""
        return rows(self.journal_file, "SELECT * FROM calls")

    @property
    def log_text(self) -> str:
        """Everything it logged."""
        file = self.home / "logs" / "agent.log"
        return file.read_text(errors="replace") if file.exists() else self.program.last_words()
