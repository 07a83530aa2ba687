"""A relay with TLS and one agent enrolled at it, as real processes; nothing of Procore."""

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from doubles.certificates import Authority
from doubles.observing import until
from doubles.program import Program, running_relay, told
from doubles.world_agent import Agent

__all__ = ["SecurePair", "open_pair"]


@dataclass(kw_only=True)
class SecurePair:
    """What runs.

    Attributes:
        host: The relay's name, as the agent dials it.
    """

    host: str
    relay: Program
    agent: Agent
    api_key: str
    ca_file: Path

    @property
    def tunnel_port(self) -> int:
        port: int = self.relay.ready["tunnel_port"]
        return port

    async def connector(self) -> dict[str, Any]:
        """How the relay lists the agent."""
        return await self._ask("GET", f"/api/connectors/{self.agent.connector_id}")

    async def datasource(self, *, company_id: int) -> str:
        """Save a data source of a live company on the agent; return its id."""
        details = {
            "title": "Procore",
            "settings": {"companyId": str(company_id), "environment": "live"},
            "useConnector": True,
            "connectorId": self.agent.connector_id,
        }
        made: str = (await self._ask("POST", "/api/datasources", json=details))["id"]
        return made

    async def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        trust = ssl.create_default_context(cafile=str(self.ca_file))
        trust.check_hostname = False  # the test asks by address
        async with httpx.AsyncClient(
            headers={"Authorization": f"Bearer {self.api_key}"}, verify=trust, trust_env=False
        ) as client:
            answer = await client.request(method, f"{self.relay.ready['api_url']}{path}", **options)
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
            return found

    async def until_listed(self, *, within: float, **wanted: object) -> float:
        """Wait until the relay lists the agent so; return the seconds."""

        async def listed() -> bool:
            try:
                found = await self.connector()
            except httpx.HTTPError:
                return False
            return all(found[name] == value for name, value in wanted.items())

        return await until(listed, within=within, what=f"listed as {wanted}")


@asynccontextmanager
async def open_pair(
    folder: Path,
    *,
    host: str = "localhost",
    prefix: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[SecurePair]:
    """Start the relay on 127.0.0.1 and enrol the agent; the test starts that.

    Args:
        host: The name in the relay's certificate.
        prefix: Words before each command of the agent.
        settings: Variables of the agent.
    """
    authority = Authority.make()
    certificate, key = authority.issue(folder, host)
    ca_file = authority.trusted(folder)
    store = ("--data-dir", str(folder / "relay"))
    made = await told("cloud_connect_relay", "init", *store)
    tls = ("--tls-cert", str(certificate), "--tls-key", str(key))
    async with running_relay(folder / "relay", *tls, log=folder / "relay.log") as relay:
        home = folder / "agent"
        token = await told(
            "cloud_connect_relay", "token", "create", *store, "--subscription", "Default"
        )
        enrolled = await told(
            "cloud_connect_agent",
            *_enrolling(home, host, relay, ca_file),
            stdin=token["token"],
            prefix=prefix,
        )
        tunnel = f"wss://{host}:{relay.ready['tunnel_port']}/tunnel"
        agent = Agent(
            name="pc",
            home=home,
            connector_id=enrolled["connector_id"],
            program=Program(
                "cloud_connect_agent",
                *("run", "--home", str(home)),
                log=folder / "agent.log",
                says_ready=False,
                environment={
                    "CLOUD_CONNECT_RELAY__TUNNEL_URL": tunnel,
                    "CLOUD_CONNECT_RELAY__FOLLOW_TUNNEL": "false",
                    **(settings or {}),
                },
                prefix=prefix,
            ),
            tunnel=None,
            procore=None,
        )
        yield SecurePair(
            host=host,
            relay=relay,
            agent=agent,
            api_key=made["api_key"],
            ca_file=ca_file,
        )


def _enrolling(home: Path, host: str, relay: Program, ca_file: Path) -> tuple[str, ...]:
    url = f"https://{host}:{relay.ready['port']}"
    return ("enrol", "--home", str(home), "--relay", url, "--ca", str(ca_file))
