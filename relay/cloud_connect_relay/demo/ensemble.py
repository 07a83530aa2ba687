"""A relay, a simulator and an enrolled agent on loopback, each a process of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
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
) -> AsyncIterator[Ensemble]:
    """Start all three, enrol the agent, sign it in, and wait until it is listed.

    Args:
        folder: Where their files go; it must exist and be private.

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
    ):
        tell("Relay ready", relay["api_url"])
        tell("Procore simulator ready", simulator["api_url"])
        await _enrol(
            api,
            home,
            relay_url=relay["api_url"],
            policy=policy,
            simulator=simulator,
            tell=tell,
        )
        async with program(
            "cloud_connect_agent",
            *("run", "--home", str(home)),
            log=folder / "agent.log",
            says_ready=False,
        ) as agent:
            connector = await _listed(api, agent["ended"], folder / "agent.log")
            tell("Listed under Connectors", _connector_line(connector))
            yield Ensemble(
                api=api,
                api_url=relay["api_url"],
                api_key=made["api_key"],
                administrator=made["administrator"],
                simulator=simulator,
                connector=connector,
                home=home,
                data_dir=data_dir,
                pids={
                    "relay": relay["pid"],
                    "simulator": simulator["pid"],
                    "agent": agent["pid"],
                },
            )


async def _enrol(
    api: httpx.AsyncClient,
    home: Path,
    *,
    relay_url: str,
    policy: str,
    simulator: dict[str, Any],
    tell: Tell,
) -> None:
    token = (await api.post("/api/enrolment-tokens", json={"expires_in": 600})).json()["token"]
    at_home = ("--home", str(home))
    enrolled = await run_program(
        "cloud_connect_agent",
        *("enrol", *at_home, "--relay", relay_url, "--name", "demo-pc", "--policy", policy),
        stdin=token,
    )
    tell("Agent enrolled", f"{enrolled['connector_id']}, {policy}")
    app = simulator["environments"][ENVIRONMENT]
    environment = ("--environment", ENVIRONMENT.replace("_", "-"))
    urls = ("--api-url", simulator["api_url"], "--login-url", simulator["login_url"])
    await run_program(
        "cloud_connect_agent",
        *("procore", "app", *at_home, *environment, *urls),
        *("--client-id", app["client_id"], "--secret-stdin"),
        stdin=app["client_secret"],
    )
    await run_program(
        "cloud_connect_agent",
        *("procore", "login", *at_home, *environment, "--grant", "client-credentials"),
    )
    tell("Signed in to Procore", "credentials stay with the agent")


async def _listed(api: httpx.AsyncClient, ended: Callable[[], bool], log: Path) -> dict[str, Any]:
    try:
        async with asyncio.timeout(LISTED_TIMEOUT):
            while not ended():
                items = (await api.get("/api/connectors")).json()["items"]
                online = [item for item in items if item["status"] == "online" and item["procore"]]
                if online:
                    found: dict[str, Any] = online[0]
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
    return f"{connector['name']} is {connector['status']}{measured}"
