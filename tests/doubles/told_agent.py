"""A control socket whose agent says what a test wants it to say."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.control_server import serve_control
from cloud_connect_agent.paths import AgentPaths

__all__ = ["NOW", "ToldAgent", "moment", "status_document"]

NOW = datetime(2026, 3, 4, 10, 0, 0, tzinfo=UTC)


def moment(seconds: float) -> str:
    """A time of the wire, so many seconds after ``NOW``."""
    return (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def status_document(**changes: Any) -> dict[str, Any]:
    """What an agent that is well says of itself, but for *changes*."""
    return {
        "state": "connected",
        "connected": True,
        "since": moment(-390),
        "error": None,
        "last_round_trip_ms": 12.34,
        "last_round_trip_at": moment(-3),
        "relay": "https://relay.example.com",
        "proxy": None,
        "connector_id": "con_3f2504e04f8911d3",
        "name": "site office",
        "version": "9.8.7",
        "in_flight": 2,
        "paused": False,
        "pause_seconds_left": None,
        "draining": False,
        "problems": [],
        "journal": {"state": "ok", "results_to_tell": 0},
        "calls": {"last_minute": 14, "failed_last_minute": 0, "last_errors": []},
        "procore": [
            {
                "environment": "live",
                "account": "default",
                "grant": "client-credentials",
                "client_id": "app",
                "state": "ready",
                "budget": [
                    {
                        "company_id": 7,
                        "limit": 3600,
                        "remaining": 3512,
                        "resets_at": moment(600),
                    }
                ],
            }
        ],
        "policy": {"class": "read-only", "rules": 3, "pass_through": "none"},
        **changes,
    }


@dataclass
class ToldAgent:
    """What it says, and what it was asked for.

    Attributes:
        refusal: Why it does nothing, if it refuses.
    """

    status: dict[str, Any] = field(default_factory=status_document)
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    refusal: str | None = None

    async def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer as the running agent does."""
        match request["command"]:
            case "status":
                return {"status": self.status}
            case "pause" | "resume" as command:
                self.asked.append(request)
                if self.refusal is not None:
                    raise CloudConnectError(self.refusal)
                self.status = self.status | {
                    "paused": command == "pause",
                    "pause_seconds_left": request.get("seconds"),
                }
        return {}

    @asynccontextmanager
    async def running(self, paths: AgentPaths) -> AsyncIterator[None]:
        """Answer on the control socket of *paths* meanwhile."""
        paths.create()
        async with serve_control(paths.control_socket, self.answer):
            yield
