"""A relay, a simulator and enrolled agents on loopback, each a process of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from cloud_connect_relay.demo.processes import ProgramError, last_words, program, run_program

__all__ = ["ENVIRONMENT", "Ensemble", "Tell", "start_ensemble"]

Tell = Callable[[str, str], None]
"""Receives each step as it happens: its title and one line of detail."""

ENVIRONMENT: Final = "developer_sandbox"
LISTED_TIMEOUT: Final = 20.0  # seconds until the agent must be listed as online
POLL_INTERVAL: Final = 0.05  # seconds between looks at the list of connectors
_FREE_PORTS: Final = (
    "--port",
    "0",
    "--login-port",
    "0",
    "--admin-port",
    "0",
    "--storage-port",
    "0",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """What runs, and how to reach it."""

    api: httpx.AsyncClient
    api_url: str
    api_key: str
    administrator: dict[str, str]
    simulator: dict[str, Any]
    connector: dict[str, Any]
    home: Path
    data_dir: Path
    pids: dict[str, int]
    logs: dict[str, Path]
    ended: dict[str, Callable[[], bool]]

    async def check(self) -> None:
        """Raise if one of the programs has ended.

        Raises:
            ProgramError: With its name and last words.
        """
        for name, ended in self.ended.items():
            if ended():
                words = (await last_words(self.logs[name])).splitlines()[-1]
                raise ProgramError(
                    f"The {name} has ended, so the demo ends, too. It said last: {words}"
                )


def _nothing(_title: str, _detail: str) -> None:
    pass


@asynccontextmanager
async def start_ensemble(
    folder: Path,
    *,
    tell: Tell = _nothing,
    policy: str = "read-write",
    simulator_arguments: tuple[str, ...] = (),
    relay_arguments: tuple[str, ...] = (),
    hosted: bool = False,
) -> AsyncIterator[Ensemble]:
    """Start all three, enrol the agent, sign it in, and wait until it is listed.

    Args:
        folder: Where their files go; it must exist and be private.
        hosted: Start a second agent, as the relay's operator would for data sources that do not
            use Cloud Connect.

    Raises:
        ProgramError: If one of them does not start or refuses a step.
    """
    data_dir, home = folder / "relay", folder / "agent"
    store = ("--data-dir", str(data_dir))
    made = await run_program("cloud_connect_relay", "init", *store)
    async with (
        program(
            "cloud_connect_relay",
            *("serve", *store, "--port", "0", "--tunnel-port", "0", "--json"),
            *relay_arguments,
            log=folder / "relay.log",
        ) as relay,
        program(
            "procore_simulator",
            *_FREE_PORTS,
            "--json",
            # So that "Authorize" works here as it does where an app's owner registered it.
            *("--redirect-uri", f"{relay['api_url']}/oauth/callback"),
            *simulator_arguments,
            log=folder / "simulator.log",
        ) as simulator,
        httpx.AsyncClient(
            base_url=relay["api_url"],
            headers={"Authorization": f"Bearer {made['api_key']}"},
            timeout=httpx.Timeout(60, connect=5),
            trust_env=False,
        ) as api,
        AsyncExitStack() as agents,
    ):
        tell("Relay ready", relay["api_url"])
        tell("Procore simulator ready", simulator["api_url"])
        enrolment = _Enrolment(
            api=api, relay_url=relay["api_url"], policy=policy, simulator=simulator, tell=tell
        )
        async with asyncio.TaskGroup() as tasks:
            enrolling = [tasks.create_task(enrolment.enrol(home, "demo-pc"), name="enrol")]
            if hosted:
                enrolling.append(
                    tasks.create_task(
                        enrolment.enrol(folder / "hosted", "demo-hosted", hosted=True),
                        name="enrol-hosted",
                    )
                )
        started = {"relay": relay, "simulator": simulator}
        logs = {name: folder / f"{name}.log" for name in (*started, "agent", "hosted")}
        for name, at in (("agent", home), ("hosted", folder / "hosted"))[: len(enrolling)]:
            started[name] = await agents.enter_async_context(
                program(
                    "cloud_connect_agent",
                    *("run", "--home", str(at)),
                    log=logs[name],
                    says_ready=False,
                )
            )
        ended = {name: one["ended"] for name, one in started.items()}
        connectors = []
        for name, enrolled in zip(("agent", "hosted"), enrolling, strict=False):
            connectors.append(await _listed(api, enrolled.result(), ended[name], logs[name]))
            tell("Listed under Connectors", _connector_line(connectors[-1]))
        yield Ensemble(
            api=api,
            api_url=relay["api_url"],
            api_key=made["api_key"],
            administrator=made["administrator"],
            simulator=simulator,
            connector=connectors[0],
            home=home,
            data_dir=data_dir,
            pids={name: one["pid"] for name, one in started.items()},
            logs=logs,
            ended=ended,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Enrolment:
    """What it takes to enrol agents and to sign them in."""

    api: httpx.AsyncClient
    relay_url: str
    policy: str
    simulator: dict[str, Any]
    tell: Tell

    async def enrol(self, home: Path, name: str, *, hosted: bool = False) -> str:
        """Enrol an agent, sign it in and return the connector's id."""
        asked = {"expires_in": 600, "hosted": hosted}
        token = (await self.api.post("/api/enrolment-tokens", json=asked)).json()["token"]
        at_home = ("--home", str(home))
        await asyncio.to_thread(_keep_out_of_keyrings, home)
        enrolled = await run_program(
            "cloud_connect_agent",
            *("enrol", *at_home, "--relay", self.relay_url, "--name", name),
            *("--policy", self.policy),
            stdin=token,
        )
        connector_id: str = enrolled["connector_id"]
        kind = "hosted beside the relay, " if hosted else ""
        self.tell("Agent enrolled", f"{connector_id}, {kind}{self.policy}")
        app = self.simulator["environments"][ENVIRONMENT]
        environment = ("--environment", ENVIRONMENT.replace("_", "-"))
        await run_program(
            "cloud_connect_agent",
            *("procore", "app", *at_home, *environment),
            *("--api-url", self.simulator["api_url"]),
            *("--login-url", self.simulator["login_url"]),
            *("--client-id", app["client_id"], "--secret-stdin"),
            stdin=app["client_secret"],
        )
        await run_program(
            "cloud_connect_agent",
            *("procore", "login", *at_home, *environment, "--grant", "client-credentials"),
        )
        self.tell("Signed in to Procore", "credentials stay with the agent")
        return connector_id


def _keep_out_of_keyrings(home: Path) -> None:
    """Leave nothing of a rehearsal in the keyring of the person who tries it."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = home / "agent.toml"
    settings.touch(mode=0o600)
    settings.write_text('[vault]\nkey = "key-file"\n')


async def _listed(
    api: httpx.AsyncClient, connector_id: str, ended: Callable[[], bool], log: Path
) -> dict[str, Any]:
    try:
        async with asyncio.timeout(LISTED_TIMEOUT):
            while not ended():
                found: dict[str, Any] = (await api.get(f"/api/connectors/{connector_id}")).json()
                if found["status"] == "online" and found["procore"]:
                    return found
                await asyncio.sleep(POLL_INTERVAL)
        raise ProgramError(f"The agent ended at once: {await last_words(log)}")
    except TimeoutError as exc:
        raise ProgramError(
            f"The agent was not listed as online after {LISTED_TIMEOUT:.0f} s."
        ) from exc


def _connector_line(connector: dict[str, Any]) -> str:
    trip = connector.get("round_trip_ms")
    measured = f", round trip {trip:.1f} ms" if trip is not None else ""
    hosted = ", hosted" if connector["hosted"] else ""
    return f"{connector['name']} is {connector['status']}{hosted}{measured}"
