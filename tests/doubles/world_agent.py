"""An enrolled agent of a world: its process, its files and what lies around it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cloud_connect.errors import CloudConnectError
from cloud_connect.signing import SigningKey, to_text
from cloud_connect_agent.control import ask
from doubles.canaries import remember_document
from doubles.chaos_proxy import ChaosProxy
from doubles.observing import rows
from doubles.program import Program, said, told

if TYPE_CHECKING:
    from doubles.world import World

__all__ = ["ENVIRONMENT", "Agent", "enrol"]

ENVIRONMENT: Final = "developer_sandbox"


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


async def enrol(
    world: "World",
    name: str,
    *,
    token: str | None = None,
    group: str | None = None,
    hosted: bool = False,
    policy: str = "read-write",
    tunnel: ChaosProxy | None = None,
    procore: ChaosProxy | None = None,
    environment: Mapping[str, str] | None = None,
) -> Agent:
    """Enrol an agent and have it sign in to Procore; it does not run yet.

    Args:
        token: Its join token; one is made unless it is given.
    """
    home = world.folder / f"agent-{name}"
    if token is None:
        asked = {"expires_in": 600, "group": group, "hosted": hosted}
        made = await world.api.post("/api/enrolment-tokens", json=asked)
        assert made.status_code == 201, made.text
        remember_document("join-token", made.json())
        token = str(made.json()["token"])
    at_home = ("--home", str(home))
    enrolled = await told(
        "cloud_connect_agent",
        *("enrol", *at_home, "--relay", world.relay.ready["api_url"]),
        *("--name", name, "--policy", policy),
        stdin=token,
    )
    app = world.simulator["environments"][ENVIRONMENT]
    named = ("--environment", ENVIRONMENT.replace("_", "-"))
    api_url = procore.url if procore is not None else world.simulator["api_url"]
    await told(
        "cloud_connect_agent",
        *("procore", "app", *at_home, *named, "--api-url", api_url),
        *("--login-url", world.simulator["login_url"]),
        *("--client-id", app["client_id"], "--secret-stdin"),
        stdin=app["client_secret"],
    )
    await told(
        "cloud_connect_agent",
        *("procore", "login", *at_home, *named, "--grant", "client-credentials"),
    )
    if tunnel is not None:
        url = f"ws://127.0.0.1:{tunnel.port}/tunnel"
        environment = {
            "CLOUD_CONNECT_RELAY__TUNNEL_URL": url,
            "CLOUD_CONNECT_RELAY__FOLLOW_TUNNEL": "false",  # not around the proxy
            **(environment or {}),
        }
    return Agent(
        name=name,
        home=home,
        connector_id=enrolled["connector_id"],
        program=Program(
            "cloud_connect_agent",
            *("run", *at_home),
            log=world.folder / f"agent-{name}.log",
            says_ready=False,
            environment=environment,
        ),
        tunnel=tunnel,
        procore=procore,
    )
