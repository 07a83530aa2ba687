"""The running agent as the window asks it, over the control socket."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cloud_connect_agent.control import AgentNotAnsweringError, AgentNotRunningError, ask
from cloud_connect_agent.monitor.reading import AgentStatus, Identity, Reading
from cloud_connect_agent.paths import AgentPaths

__all__ = ["WatchedAgent"]

_PATIENCE: Final = 2.0  # seconds for an answer from the agent, which needs milliseconds


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedAgent:
    """What the window asks and tells; each method blocks for seconds at most.

    Attributes:
        identity: What is known of the PC while no agent answers.
    """

    paths: AgentPaths
    identity: Identity
    now: Callable[[], datetime] = _now

    def read(self) -> Reading:
        """Return how the agent fares at this moment, be it that none answers."""
        try:
            answer = ask(self.paths.control_socket, {"command": "status"}, timeout=_PATIENCE)
        except AgentNotRunningError as exc:
            return Reading.of_silence(
                self.identity, answering=isinstance(exc, AgentNotAnsweringError), why=exc.message
            )
        status = AgentStatus.of(answer.get("status"))
        if status is None:
            why = "The agent is of another version than this window; update the older one."
            return Reading.of_silence(self.identity, answering=True, why=why)
        return Reading.of_status(status, self.identity, now=self.now())

    def pause(self, seconds: float | None) -> None:
        """Have the agent take no calls, for *seconds* or until somebody resumes.

        Raises:
            CloudConnectError: If it does not; the message says why.
        """
        ask(
            self.paths.control_socket,
            {"command": "pause", "seconds": seconds},
            timeout=_PATIENCE,
        )

    def resume(self) -> None:
        """Have the agent take calls again.

        Raises:
            CloudConnectError: If it does not; the message says why.
        """
        ask(self.paths.control_socket, {"command": "resume"}, timeout=_PATIENCE)
